"""What a member asks for over HTTP ends, whatever whoever answers does."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

import pytest

from services.member import operator
from services.member.operator import Log, Unreachable

HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "header": (HEAD + b"Endless: ", b"a"),
    "hints": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
}


@contextmanager
def answering(first: bytes, again: Iterator[bytes]) -> Iterator[str]:
    """The base URL of somebody who answers everybody with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        connection.sendall(first)
                        for more in again:
                            connection.sendall(more)
                            ended.wait(0.01)

        ended = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("way", ENDLESS)
@pytest.mark.parametrize("asked", [Log.checkpoint, lambda log: log.put("/", {})], ids=["get", "put"])
def test_an_answer_that_does_not_end_is_none(asked: Callable[[Log], object], way: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(operator, "ANSWER_S_MAX", 0.3)
    first, more = ENDLESS[way]
    with answering(first, repeat(more)) as url:
        log = Log(url)
        try:
            for _ in range(2):  # and the next question is asked all the same
                with pytest.raises(Unreachable):
                    asked(log)
        finally:
            log.close()


def test_what_was_compressed_on_the_way_is_read():
    body = gzip.compress(b"a note")
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering(head + body, iter(())) as url:
        log = Log(url)
        try:
            assert log.checkpoint() == b"a note"
        finally:
            log.close()

"""What gets lost between a program and its ledger is asked for again, or said to be unsure; it never happens twice."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from benchmarks import servers
from contracts import commands
from contracts.commands import EnrollCustomer
from services.ledger import remote as remote_ledger
from services.ledger import wireform
from services.ledger.client import Accepted, LedgerUnavailable, Outcome, Running
from services.ledger.remote import LedgerRefused, RemoteLedger
from tests.services.ledger import builders
from tests.services.ledger.builders import Books
from tests.services.ledger.http_ledger import TOKEN, application, served

Answer = Callable[[Request], Response]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    with builders.running(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'sparks.db'}") as books:
        yield books


@pytest.fixture(scope="module")
def url(books: Books) -> Iterator[str]:
    with served(application(books.ledger, books.queries)) as url:
        yield url


def enrolling(name: str) -> list[commands.Request]:
    return [builders.request(EnrollCustomer(name, "saver"))]


def assert_unavailable(asking: Callable[[], object]) -> None:
    with pytest.raises(LedgerUnavailable):
        asking()


@contextmanager
def breaking(*, answers: int, back_url: str) -> Iterator[tuple[str, list[bytes]]]:
    """A way to `back_url` that breaks after the request was carried, before the answer comes back, until `answers`."""
    bodies: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", servers.free_port()))

    def carry() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, httpx.Client() as onwards:
                body = _body_of(connection)
                headers = {"Authorization": f"Bearer {TOKEN}"}
                response = onwards.post(back_url + wireform.PATH + "submit", content=body, headers=headers)
                bodies.append(body)
                if len(bodies) >= answers:
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(response.content)}\r\nConnection: close\r\n\r\n"
                    connection.sendall(head.encode() + response.content)

    thread = threading.Thread(target=carry, name="breaking-way")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", bodies
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _body_of(connection: socket.socket) -> bytes:
    """The body of one HTTP request."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65_536)
    return body


def test_an_answer_that_gets_lost_is_asked_for_again_and_nothing_happens_twice(books: Books, url: str) -> None:
    size = books.queries.head().size
    with breaking(answers=2, back_url=url) as (way, bodies), closing(RemoteLedger(way, token=TOKEN)) as remote:
        (outcome,) = remote.submit(enrolling("lost-once"))

    assert isinstance(outcome, Accepted)
    assert (outcome.index, outcome.repeated) == (size, True)
    assert books.queries.head().size == size + 1
    assert bodies[0] == bodies[1]


def test_what_gets_lost_twice_is_unavailable_though_it_may_have_happened(books: Books, url: str) -> None:
    asked = enrolling("lost-twice")
    with breaking(answers=99, back_url=url) as (way, bodies), closing(RemoteLedger(way, token=TOKEN)) as remote:
        assert_unavailable(lambda: remote.submit(asked))

    assert len(bodies) == 2
    assert books.ledger.submit(asked)[0].repeated  # type: ignore[union-attr]


def test_an_async_caller_is_asked_for_again_too(books: Books, url: str) -> None:
    async def scenario(way: str) -> Outcome:
        remote = RemoteLedger(way, token=TOKEN)
        try:
            return await remote.ask(enrolling("lost-async")[0])
        finally:
            await remote.aclose()
            remote.close()

    with breaking(answers=2, back_url=url) as (way, _):
        outcome = asyncio.run(scenario(way))

    assert isinstance(outcome, Accepted)


def test_nobody_there_is_unavailable() -> None:
    with closing(RemoteLedger(f"http://127.0.0.1:{servers.free_port()}", token=TOKEN)) as remote:
        assert_unavailable(remote.head)


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A ledger that always answers so."""
    app = FastAPI()
    app.add_api_route(wireform.PATH + "{method}", answer, methods=["POST"])
    with served(app) as url:
        yield url


def test_an_answer_that_takes_too_long_is_unavailable_and_not_asked_twice() -> None:
    may_answer = threading.Event()
    asked: list[str] = []

    def late(request: Request) -> Response:
        asked.append(request.url.path)
        may_answer.wait()
        return Response()

    with answering(late) as url, closing(RemoteLedger(url, token=TOKEN, answer_s_max=0.2)) as remote:
        assert_unavailable(remote.head)
        may_answer.set()

    assert len(asked) == 1


def test_a_crowd_that_no_call_can_carry_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_ledger, "WAITING_MAX", 3)

    async def scenario() -> list[str]:
        remote = RemoteLedger(f"http://127.0.0.1:{servers.free_port()}", token=TOKEN)
        answers = await asyncio.gather(*(remote.read([]) for _ in range(4)), return_exceptions=True)
        await remote.aclose()
        remote.close()
        return [str(answer) for answer in answers]

    *first, fourth = asyncio.run(scenario())

    assert fourth == "the ledger is busy: too many requests wait"
    assert set(first) == {"the ledger cannot be reached"}


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_cannot_is_unavailable(status: int) -> None:
    def broken(request: Request) -> Response:
        return Response(status_code=status)

    with answering(broken) as url, closing(RemoteLedger(url, token=TOKEN)) as remote:
        assert_unavailable(remote.head)


def test_the_wrong_token_is_no_reason_to_try_again(url: str) -> None:
    with closing(RemoteLedger(url, token="another")) as remote, pytest.raises(LedgerRefused):
        remote.head()


def test_what_runs_when_asked_again_is_our_own_first_attempt() -> None:
    asked: list[str] = []

    def running(request: Request) -> Response:
        asked.append(request.url.path)
        return Response(wireform.to_body([wireform.of_outcome(Running())]))

    with answering(running) as url:
        with closing(RemoteLedger(url, token=TOKEN)) as remote:
            assert remote.submit(enrolling("x")) == [Running()]
        with breaking(answers=2, back_url=url) as (way, _), closing(RemoteLedger(way, token=TOKEN)) as remote:
            assert_unavailable(lambda: remote.submit(enrolling("x")))


# --- a ledger and its standby ----------------------------------------------------------------------------------------


@contextmanager
def standing_by() -> Iterator[tuple[str, list[str]]]:
    """A ledger that says that it does not write, and what it was asked."""
    asked: list[str] = []

    def stands_by(request: Request) -> Response:
        asked.append(request.url.path)
        return Response(status_code=503)

    with answering(stands_by) as url:
        yield url, asked


def test_the_one_that_writes_is_found_and_asked_first_from_then_on(books: Books, url: str) -> None:
    with standing_by() as (standby, asked), closing(RemoteLedger(standby, url, token=TOKEN)) as remote:
        assert isinstance(remote.submit(enrolling("found"))[0], Accepted)
        remote.head()

    assert len(asked) == 1


def test_a_ledger_that_is_gone_is_passed_over(url: str) -> None:
    gone = f"http://127.0.0.1:{servers.free_port()}"

    async def scenario() -> Outcome:
        remote = RemoteLedger(gone, url, token=TOKEN)
        try:
            return await remote.ask(enrolling("passed-over")[0])
        finally:
            await remote.aclose()
            remote.close()

    assert isinstance(asyncio.run(scenario()), Accepted)


def test_one_that_does_not_answer_is_not_asked_first_again(url: str) -> None:
    may_answer = threading.Event()

    def late(_request: Request) -> Response:
        may_answer.wait()
        return Response()

    with answering(late) as silent, closing(RemoteLedger(silent, url, token=TOKEN, answer_s_max=0.5)) as remote:
        assert_unavailable(remote.head)
        remote.head()
        may_answer.set()


def test_where_nobody_writes_the_ledger_is_unavailable() -> None:
    with (
        standing_by() as (one, asked),
        standing_by() as (other, asked_too),
        closing(RemoteLedger(one, other, token=TOKEN)) as remote,
    ):
        assert_unavailable(lambda: remote.submit(enrolling("nobody")))

    assert (len(asked), len(asked_too)) == (1, 1)

"""Tills that buy over HTTP as fast as they are answered, in a process of their own.

    python -m benchmarks.tills LOAD PORT CONNECTIONS

LOAD is a pickled list of (token, body) in JSON bytes, one purchase each. The answers are parsed by httptools, so that
the load stays light. Prints one JSON object: seconds, statuses, and every latency in order of length.
"""

import asyncio
import json
import pickle
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import httptools

READ_BYTES: Final = 65_536
_HEAD: Final = (
    "POST /v1/authorizations HTTP/1.1\r\nHost: till\r\nAuthorization: Bearer {token}\r\n"
    'Idempotency-Key: "{key}"\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n'
)


class _Answer:
    """Collects one answer."""

    def __init__(self) -> None:
        self.body = b""
        self.is_complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True


async def _till(port: int, purchases: list[tuple[int, bytes]], found_s: list[float], statuses: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while purchases:
        _, request = purchases.pop()
        began_s = time.monotonic()
        writer.write(request)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.is_complete:
            received = await reader.read(READ_BYTES)
            if not received:
                raise ConnectionResetError("the gateway closed the connection")
            parser.feed_data(received)
        found_s.append(time.monotonic() - began_s)
        statuses[f"{parser.get_status_code()} {json.loads(answer.body).get('status', '')}"] += 1
    writer.close()


def request_of(number: int, token: str, body: bytes) -> bytes:
    """The bytes of one purchase."""
    return _HEAD.format(token=token, key=f"bench-{number}", length=len(body)).encode() + body


async def _buy(
    purchases: list[tuple[int, bytes]], port: int, connections: int
) -> tuple[float, list[float], Counter[str]]:
    found_s: list[float] = []
    statuses: Counter[str] = Counter()
    began_s = time.monotonic()
    await asyncio.gather(*(_till(port, purchases, found_s, statuses) for _ in range(connections)))
    return time.monotonic() - began_s, sorted(found_s), statuses


def main() -> None:
    """Buy what the command line says."""
    load: list[tuple[str, bytes]] = pickle.loads(Path(sys.argv[1]).read_bytes())
    purchases = [(number, request_of(number, token, body)) for number, (token, body) in enumerate(load)]
    seconds, found_s, statuses = asyncio.run(_buy(purchases, int(sys.argv[2]), int(sys.argv[3])))
    figures = {"seconds": seconds, "statuses": statuses, "latencies_s": found_s}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()

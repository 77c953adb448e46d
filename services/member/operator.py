"""What a member reads over HTTP: the log of the operator or of another member, and the operator's payloads."""

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import httpx

from contracts.units import UnixSeconds
from contracts.wire import signatures
from services.ledger import deliveries, tiles
from services.ledger.deliveries import NUMBER, PATH, RECEIPT, SCHEME, Page
from services.ledger.merkle import HASH_BYTES
from services.ledger.tiles import TILE_HEIGHT, TILE_WIDTH

TIMEOUT_S: Final = 10
ANSWER_S_MAX: Final = 60
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class Unreachable(Exception):
    """The other side did not answer as it should; asking again later may help."""


class Log:
    """A log's public files below `base_url`; nothing is checked here but form."""

    def __init__(self, base_url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """`timeout_s` is for each step of an answer; all of it may take `ANSWER_S_MAX`. Redirects are not followed."""
        self.base_url: Final = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._client = self._connected()

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Any answer but a failure of the server. Raises Unreachable."""
        answer = self._answer("GET", path, headers=headers)
        if answer.status_code >= 500:
            raise Unreachable(f"{self.base_url}{path}: HTTP {answer.status_code}")
        return answer

    def _connected(self) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, timeout=self._timeout_s)

    def _answer(self, method: str, path: str, **asked: Any) -> httpx.Response:
        """Any answer that is not too long and does not take too long. Raises Unreachable."""
        client = self._client
        # What comes before the body may be sent one byte at a time, too: only closing the connection ends that.
        ending = threading.Timer(ANSWER_S_MAX, client.close)
        ending.daemon = True
        ending.start()
        try:
            with client.stream(method, path, **asked) as coming:
                body = self._body(path, coming)
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"{self.base_url}{path}: {error!r}") from error
        finally:
            ending.cancel()
            if client.is_closed:
                self._client = self._connected()
        headers = {name: value for name, value in coming.headers.items() if name != "content-encoding"}  # it is decoded
        return httpx.Response(coming.status_code, headers=headers, content=body, request=coming.request)

    def _body(self, path: str, coming: httpx.Response) -> bytes:
        """All of an answer, unless it is too long or takes too long."""
        body, give_up_at = bytearray(), monotonic() + ANSWER_S_MAX
        for chunk in coming.iter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX or monotonic() > give_up_at:
                raise Unreachable(f"{self.base_url}{path}: the answer does not end")
        return bytes(body)

    def put(self, path: str, body: dict[str, str]) -> None:
        """Raises Unreachable unless it was taken."""
        answer = self._answer("PUT", path, json=body)
        if not answer.is_success:
            raise Unreachable(f"{self.base_url}{path}: HTTP {answer.status_code}: {answer.text[:200]}")

    def checkpoint(self) -> bytes:
        """The note that is published now."""
        return self._file("/log/checkpoint")

    def tile(self, level: int, n: int, *, size: int) -> bytes:
        """A row of hashes of the tree of `size`."""
        width = min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - n * TILE_WIDTH)
        row = self._file(f"/log/{tiles.tile_path(level, n, width)}")
        if len(row) != width * HASH_BYTES:
            raise Unreachable(f"{self.base_url}: tile {level}/{n} has {len(row)} bytes")
        return row

    def bundle(self, n: int, *, size: int) -> list[bytes]:
        """The entries [256 n, 256 n + 256) of the tree of `size`."""
        width = min(TILE_WIDTH, size - n * TILE_WIDTH)
        found = tiles.parse_bundle(self._file(f"/log/{tiles.tile_path('entries', n, width)}"), width)
        if found is None:
            raise Unreachable(f"{self.base_url}: bundle {n} is malformed")
        return found

    def _file(self, path: str) -> bytes:
        answer = self.get(path)
        if answer.status_code != 200:
            raise Unreachable(f"{self.base_url}{path}: HTTP {answer.status_code}")
        return answer.content


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How a member proves itself to the operator: its id and the seed of one of its keys."""

    origin: str
    member_id: str
    seed: bytes = field(repr=False)


class Payloads:
    """The payloads that the operator gives this member; each page is signed for with the call for the next."""

    def __init__(self, log: Log, credentials: Credentials, now_s: Callable[[], UnixSeconds]) -> None:
        self._log = log
        self._credentials = credentials
        self._now_s = now_s
        self._receipt: str | None = None

    def page(self, first: int) -> Page:
        """The page that begins at entry `first`. Raises Unreachable."""
        answer = self._ask(first)
        if answer.status_code == 409 and answer.json().get("code") == "delivery_not_signed_for":
            # A page was sent and never arrived: have it again, sign for it, go on.
            self._receipt = None
            again = self._read(self._ask(int(answer.json()["first"])))
            if again.first == first:
                return again
            answer = self._ask(first)
        return self._read(answer)

    def _ask(self, first: int) -> httpx.Response:
        mine, now_s = self._credentials, self._now_s()
        target = f"{PATH}?from={first}"
        message = deliveries.call_bytes(
            origin=mine.origin, member_id=mine.member_id, method="GET", target=target, time_s=now_s
        )
        shown = _base64(signatures.sign(mine.seed, message))
        headers = {"Authorization": f'{SCHEME} member="{mine.member_id}", time="{now_s}", signature="{shown}"'}
        if self._receipt is not None:
            headers[RECEIPT] = self._receipt
        return self._log.get(target, headers)

    def _read(self, answer: httpx.Response) -> Page:
        if answer.status_code != 200:
            raise Unreachable(f"{self._log.base_url}{PATH}: HTTP {answer.status_code}: {answer.text[:200]}")
        try:
            page, number = deliveries.from_bytes(answer.content), int(answer.headers[NUMBER])
        except (ValueError, KeyError) as error:
            raise Unreachable(f"{self._log.base_url}{PATH}: {error}") from error
        mine = self._credentials
        message = deliveries.receipt_bytes(
            origin=mine.origin,
            member_id=mine.member_id,
            number=number,
            page_range=(page.first, page.after),
            sha256=hashlib.sha256(answer.content).digest(),
        )
        self._receipt = _base64(signatures.sign(mine.seed, message)) if number else None
        return page


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()

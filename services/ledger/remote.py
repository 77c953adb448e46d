"""The ledger in another process: `client.Ledger` over HTTP, the counterpart of `services.ledger.app`.

What gets lost on the way is asked once more with the same ids, which is safe because an id is answered once; what gets
lost again, or takes too long, is LedgerUnavailable. Where there is a standby, both are tried in turn: the one that does
not write says so at once.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import httpx

from contracts import state
from contracts.commands import Request
from contracts.state import Decided, Row
from contracts.units import UnixSeconds
from services.ledger import wireform
from services.ledger.client import Erasable, Evidence, Head, LedgerUnavailable, Outcome, PackEvidence, Recorded, Running
from services.ledger.coalesce import Coalesced

Q = TypeVar("Q")
A = TypeVar("A")

ANSWER_S_MAX: Final = 10.0
CONNECT_S_MAX: Final = 2.0
CALLS_MAX: Final = 4
"""Calls of one kind that an event loop has under way; more would only make their batches smaller."""
READS_MAX: Final = 200
"""`read`s that share a call."""
WAITING_MAX: Final = 20_000
"""Questions of one kind that wait for a call; more would only be answered too late."""


class LedgerRefused(Exception):
    """The ledger does not take this program's calls: it expects another token, or speaks another version."""


@dataclass(frozen=True, slots=True)
class _Lane:
    """What belongs to one event loop: its connections, and the calls that its tasks share."""

    http: httpx.AsyncClient
    asks: Coalesced[Request, Outcome]
    reads: Coalesced[Sequence[str], list[Row | None]]


class RemoteLedger:
    """Ask and read over HTTP. Threads and event loops may share one; see `client.Ledger` for the methods.

    base_urls  of the ledger and its standbys
    """

    def __init__(self, *base_urls: str, token: str, answer_s_max: float = ANSWER_S_MAX) -> None:
        self._places = _Places(base_urls)
        self._options: dict[str, Any] = {
            "headers": {"Authorization": f"Bearer {token}", "Content-Type": wireform.MEDIA_TYPE},
            "timeout": httpx.Timeout(answer_s_max, connect=CONNECT_S_MAX),
            "trust_env": False,  # programs of one installation meet without a proxy
        }
        self._http = httpx.Client(**self._options)
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()

    def close(self) -> None:
        """Close the connections of the methods that are not `async`."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections that belong to the running event loop."""
        lane = self._lanes.pop(asyncio.get_running_loop(), None)
        if lane is not None:
            await lane.http.aclose()

    # Asking

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        calls = wireform.in_calls(wireform.of_requests(requests))
        return [outcome for call in calls for outcome in _outcomes(*self._call("submit", call))]

    async def ask(self, request: Request) -> Outcome:
        return await _ask_unless_crowded(self._lane().asks, request)

    # Reading

    def rows(self, keys: Sequence[str]) -> list[Row | None]:
        return _rows(keys, self._call("rows", list(keys))[0])

    def stored(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = self._call("rows", list(keys))[0]
        return found

    async def read(self, keys: Sequence[str]) -> list[Row | None]:
        return await _ask_unless_crowded(self._lane().reads, keys)

    def find(self, kind: str, *, after: str = "", limit: int = 100) -> list[tuple[str, Row]]:
        found = self._call("find", [kind, after, limit])[0]
        rows = _rows([key for key, _ in found], [values for _, values in found])
        return [(key, row) for (key, _), row in zip(found, rows, strict=True) if row is not None]

    def entries_of(self, accounts: Sequence[str], *, before: int | None = None, limit: int = 50) -> list[Recorded]:
        found = self._call("entries_of", [list(accounts), before, limit])[0]
        return [wireform.to_recorded(recorded) for recorded in found]

    def entry(self, index: int) -> Recorded | None:
        found = self._call("entry", [index])[0]
        return None if found is None else wireform.to_recorded(found)

    def evidence(self, index: int) -> Evidence | None:
        found = self._call("evidence", [index])[0]
        return None if found is None else wireform.to_entry_evidence(found)

    def packs(self, device_id: str, *, from_s: UnixSeconds, to_s: UnixSeconds) -> list[PackEvidence]:
        found = self._call("packs", [device_id, from_s, to_s])[0]
        return [wireform.to_evidence(pack) for pack in found]

    def refusals(self, device_id: str, *, after_seq: int, to_seq: int) -> list[tuple[int, Decided]]:
        found = self._call("refusals", [device_id, after_seq, to_seq])[0]
        return [wireform.to_refusal(refusal) for refusal in found]

    def erasable(self, customer_id: str) -> Erasable:
        return wireform.to_erasable(self._call("erasable", [customer_id])[0])

    def balances(self, index: int, *, after: str = "", limit: int = 10_000) -> list[tuple[str, int]]:
        return [(key, balance) for key, balance in self._call("balances", [index, after, limit])[0]]

    def head(self) -> Head:
        return wireform.to_head(self._call("head", [])[0])

    def final_size_now(self) -> int:
        found: int = self._call("final_size", [])[0]
        return found

    async def final_size(self) -> int:
        found: int = (await _call_async(self._lane().http, self._places, "final_size", []))[0]
        return found

    # Calling

    def _call(self, method: str, arguments: list[Any]) -> tuple[Any, bool]:
        """The answer, and whether the call was sent twice."""
        body, calling = wireform.to_body(arguments), _Calling(self._places)
        for url in calling:
            try:
                calling.take(self._http.post(url + wireform.PATH + method, content=body))
            except httpx.TransportError as error:
                calling.fail(error)
        return calling.answer()

    def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            lane = self._lanes[loop] = _open_lane(httpx.AsyncClient(**self._options), self._places)
        return lane


async def _ask_unless_crowded(coalesced: Coalesced[Q, A], question: Q) -> A:
    if coalesced.waiting >= WAITING_MAX:
        raise LedgerUnavailable("the ledger is busy: too many requests wait")
    return await coalesced.ask(question)


def _open_lane(http: httpx.AsyncClient, places: "_Places") -> _Lane:
    async def ask(requests: Sequence[Request]) -> list[Outcome]:
        calls = wireform.in_calls(wireform.of_requests(requests))
        return [outcome for call in calls for outcome in _outcomes(*await _call_async(http, places, "submit", call))]

    async def read(reads: Sequence[Sequence[str]]) -> list[list[Row | None]]:
        keys = [key for wanted in reads for key in wanted]
        found = iter(_rows(keys, (await _call_async(http, places, "rows", keys))[0]))
        return [[next(found) for _ in wanted] for wanted in reads]

    return _Lane(
        http=http,
        asks=Coalesced(ask, batch_max=wireform.REQUESTS_MAX, calls_max=CALLS_MAX),
        reads=Coalesced(read, batch_max=READS_MAX, calls_max=CALLS_MAX),
    )


async def _call_async(
    http: httpx.AsyncClient, places: "_Places", method: str, arguments: list[Any]
) -> tuple[Any, bool]:
    """`RemoteLedger._call` without blocking."""
    body, calling = wireform.to_body(arguments), _Calling(places)
    for url in calling:
        try:
            calling.take(await http.post(url + wireform.PATH + method, content=body))
        except httpx.TransportError as error:
            calling.fail(error)
    return calling.answer()


class _Places:
    """Where a ledger may be: the one that answered last is asked first."""

    def __init__(self, base_urls: Sequence[str]) -> None:
        self._urls = [url.rstrip("/") for url in base_urls]
        self._first = 0

    def in_turn(self) -> list[str]:
        return self._urls[self._first :] + self._urls[: self._first]

    def prefer(self, url: str) -> None:
        self._first = self._urls.index(url)

    def avoid(self, url: str) -> None:
        self._first = (self._urls.index(url) + 1) % len(self._urls)


class _Calling:
    """One call on its way: where it is sent next, and what came of it."""

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._url = ""
        self._found: list[Any] = []
        self._is_broken = False
        self._was_lost = False
        self._error = LedgerUnavailable("the ledger cannot be reached")

    def __iter__(self) -> Iterator[str]:
        for url in self._places.in_turn():
            self._url, self._is_broken = url, False
            yield url
            if self._is_broken:
                yield url  # a connection that idled may have been closed under us
            if self._found:
                self._places.prefer(url)
                return

    def take(self, response: httpx.Response) -> None:
        """What one place answered; raises LedgerRefused if no other would answer otherwise."""
        self._is_broken = False
        if response.is_server_error:
            self._error = LedgerUnavailable(f"the ledger answers {response.status_code}")
        else:
            self._found.append(_answer(response))

    def fail(self, error: httpx.TransportError) -> None:
        """One place did not answer; raises LedgerUnavailable if there is no time left for another."""
        if isinstance(error, httpx.ConnectTimeout):
            self._error = LedgerUnavailable("the ledger cannot be reached in time")
        elif isinstance(error, httpx.TimeoutException):
            self._places.avoid(self._url)
            raise LedgerUnavailable("the ledger takes too long") from error
        else:
            self._is_broken = self._was_lost = True

    def answer(self) -> tuple[Any, bool]:
        """The answer, and whether an earlier attempt got lost; raises LedgerUnavailable if there is none."""
        if not self._found:
            raise self._error
        return self._found[0], self._was_lost


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return wireform.from_body(response.content)
    raise LedgerRefused(f"the ledger answers {response.status_code}: {response.text[:200]}")


def _outcomes(values: list[Any], was_sent_twice: bool) -> list[Outcome]:
    outcomes = [wireform.to_outcome(value) for value in values]
    if was_sent_twice and any(isinstance(outcome, Running) for outcome in outcomes):
        # What is running is our own first attempt, not another caller's.
        raise LedgerUnavailable("the connection broke while the ledger was at work")
    return outcomes


def _rows(keys: Sequence[str], found: list[Any]) -> list[Row | None]:
    return [None if data is None else state.from_bytes(key, data) for key, data in zip(keys, found, strict=True)]

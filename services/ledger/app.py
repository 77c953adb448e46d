"""The ledger's HTTP face: the public log, and the calls by which the platform's other programs reach the writer.

`log_router` is for everyone and may be cached by anyone. `internal_router` is for holders of the internal token, in
CBOR (`wireform`); the public proxy does not forward it.
"""

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from contracts import state
from contracts.units import UnixSeconds
from services.ledger import tiles, wireform
from services.ledger.client import LedgerUnavailable
from services.ledger.local import LocalLedger
from services.ledger.members import Members
from services.ledger.notes import VerifierKey
from services.ledger.queries import Queries
from services.ledger.tiles import TILE_WIDTH, TilePath
from services.problems import Problem, responses

CHECKPOINT_CACHE_S: Final = 1
TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_FOR_A_MOMENT: Final = {"Cache-Control": f"public, max-age={CHECKPOINT_CACHE_S}"}
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,18}")


# The public log (C2SP tlog-tiles, standards.md 1.5)


def log_router(
    queries: Queries,
    log_key: VerifierKey,
    *,
    now_s: Callable[[], UnixSeconds] = lambda: 0,
    members: Members | None = None,
) -> APIRouter:
    """Routes of everything under `/log/`, and of the proofs. What is committed is published: each batch is signed."""
    router = APIRouter(tags=["log"])

    @router.get("/log/checkpoint", response_class=Response, responses=_answers(TEXT))
    def checkpoint() -> Response:
        """The newest signed checkpoint (C2SP tlog-checkpoint); with the members' cosignatures where they are recent."""
        with _ledger_errors():
            return Response(queries.published(now_s()), media_type=TEXT, headers=_FOR_A_MOMENT)

    @router.get("/log/tile/{path:path}", response_class=Response, responses=_answers(BYTES))
    def tile(path: str) -> Response:
        """A tile `{L}/{N}[.p/{W}]` or entry bundle `entries/{N}[.p/{W}]` (C2SP tlog-tiles); it never changes."""
        named = tiles.parse_path(f"tile/{path}")
        with _ledger_errors():
            found = _resource(queries, named) if named else None
        if found is None:
            raise Problem("not_found", "The newest checkpoint has no such tile.")
        return Response(found, media_type=BYTES, headers=_FOR_EVER)

    @router.get("/log/keys", response_class=Response, responses=_answers(TEXT))
    def keys() -> Response:
        """The log's verifier key, the members' valid ones, and `quorum k`: how many of them make a checkpoint final."""
        with _ledger_errors():
            cosigners = members.cosigners() if members else []
            quorum = members.quorum() if members else 0
        keys = [log_key, *(key for cosigner in cosigners for key in cosigner.keys)]
        lines = "".join(f"{key.text()}\n" for key in keys)
        return Response(f"{lines}quorum {quorum}\n", media_type=TEXT, headers=_FOR_A_MOMENT)

    @router.get("/v1/entries/{index}/proof", response_class=Response, responses=_answers(TEXT))
    def proof(index: str) -> Response:
        """A C2SP tlog-proof file of one entry, which verifies without this platform."""
        with _ledger_errors():
            found = queries.proof(int(index)) if _INDEX.fullmatch(index) else None
        if found is None:
            raise Problem("not_found", "The newest checkpoint has no such entry.")
        return Response(found, media_type=TEXT, headers=_FOR_A_MOMENT)

    return router


def _resource(queries: Queries, named: TilePath) -> bytes | None:
    """The bytes of a tile or an entry bundle; None if the log has not all of it."""
    if named.level != "entries":
        return queries.tile(named.level, named.n, named.width)
    entries = queries.entries(named.n * TILE_WIDTH, named.width)
    return tiles.entry_bundle(entries) if len(entries) == named.width else None


def _answers(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type.partition(";")[0]: {"schema": {"type": "string"}}}
    served: dict[int | str, dict[str, Any]] = {200: {"description": "As C2SP specifies it.", "content": content}}
    return served | responses("not_found", "ledger_unavailable")


# The internal calls


def internal_router(ledger: LocalLedger, token: str) -> APIRouter:
    """Routes of `client.Ledger` for programs that show `token`."""
    expected = f"Bearer {token}".encode()

    async def authorize(request: Request) -> None:
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, expected):
            raise Problem("unauthorized", "The internal calls need the internal token.")

    router = APIRouter(include_in_schema=False, dependencies=[Depends(authorize)])

    @router.post(wireform.PATH + "{method}")
    async def call(method: str, request: Request) -> Response:
        answer_to = _CALLS.get(method)
        if answer_to is None:
            raise Problem("not_found", f"There is no call {method}.")
        arguments = _arguments(await request.body())
        with _ledger_errors():
            # A thread waits for the commit; how many do is bounded by the programs' calls under way.
            answer = await run_in_threadpool(answer_to, ledger, arguments)
        return Response(wireform.to_body(answer), media_type=wireform.MEDIA_TYPE)

    return router


@contextmanager
def _ledger_errors() -> Iterator[None]:
    """Early and with Retry-After, so that those who wait are not asked to wait longer."""
    try:
        yield
    except LedgerUnavailable as error:
        raise Problem("ledger_unavailable", str(error)) from error


def _arguments(body: bytes) -> list[Any]:
    try:
        arguments = wireform.from_body(body)
    except ValueError as error:
        raise Problem("malformed_body", "The body is no CBOR.") from error
    if not isinstance(arguments, list):
        raise Problem("malformed_body", "The body is the array of the arguments.")
    return arguments


def _submit(ledger: LocalLedger, arguments: list[bytes]) -> list[Any]:
    try:
        requests = wireform.to_requests(arguments)
    except ValueError as error:
        raise Problem("malformed_body", str(error)) from error
    return [wireform.of_outcome(outcome) for outcome in ledger.submit(requests)]


def _rows(ledger: LocalLedger, keys: list[str]) -> list[bytes | None]:
    return ledger.stored(keys)


def _find(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any]:
    kind, after, limit = arguments
    return [[key, state.to_bytes(row)] for key, row in ledger.find(kind, after=after, limit=limit)]


def _entries_of(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any]:
    accounts, before, limit = arguments
    return [wireform.of_recorded(entry) for entry in ledger.entries_of(accounts, before=before, limit=limit)]


def _entry(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any] | None:
    (index,) = arguments
    recorded = ledger.entry(index)
    return None if recorded is None else wireform.of_recorded(recorded)


def _evidence(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any] | None:
    (index,) = arguments
    evidence = ledger.evidence(index)
    return None if evidence is None else wireform.of_entry_evidence(evidence)


def _packs(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any]:
    device_id, from_s, to_s = arguments
    return [wireform.of_evidence(pack) for pack in ledger.packs(device_id, from_s=from_s, to_s=to_s)]


def _refusals(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any]:
    device_id, after_seq, to_seq = arguments
    found = ledger.refusals(device_id, after_seq=after_seq, to_seq=to_seq)
    return [wireform.of_refusal(refusal) for refusal in found]


def _erasable(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any]:
    (customer_id,) = arguments
    return wireform.of_erasable(ledger.erasable(customer_id))


def _balances(ledger: LocalLedger, arguments: Sequence[Any]) -> list[Any]:
    index, after, limit = arguments
    return [list(balance) for balance in ledger.balances(index, after=after, limit=limit)]


def _head(ledger: LocalLedger, _arguments: Sequence[Any]) -> list[Any]:
    return wireform.of_head(ledger.head())


def _final_size(ledger: LocalLedger, _arguments: Sequence[Any]) -> int:
    return ledger.final_size_now()


_CALLS: Final[dict[str, Callable[[LocalLedger, list[Any]], Any]]] = {
    "submit": _submit,
    "rows": _rows,
    "find": _find,
    "entries_of": _entries_of,
    "entry": _entry,
    "evidence": _evidence,
    "packs": _packs,
    "refusals": _refusals,
    "erasable": _erasable,
    "balances": _balances,
    "head": _head,
    "final_size": _final_size,
}

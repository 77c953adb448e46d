"""The calls of the scope `fleet` on the quarantine: look, replay, discard."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response

from contracts.commands import DecideAgain
from services import calls
from services.database import reading, transaction
from services.encoding import cursor_of, number_of, text_of
from services.idempotency import Answer, Asked, asked_by
from services.identity import Scope
from services.moments import rfc3339
from services.operations.office import Office
from services.operations.shapes import (
    DeviceId,
    Discard,
    QuarantineItem,
    QuarantineItems,
    QuarantineMove,
    QuarantineReason,
    QuarantineState,
)
from services.problems import Problem
from services.setaside import quarantine
from services.setaside.quarantine import Quarantined, State

WAITING: Final = (State.OPEN, State.REPLAY_REQUESTED)
NEVER_REPLAYED: Final = ("equivocation", "declared_lost")
"""Their number is decided by other bytes, or given up by the unit itself: nothing could come of it."""

_ID_DIGITS_MAX: Final = 18


def quarantine_router(office: Office) -> APIRouter:
    """Return the router of everything under `/v1/quarantine`."""
    caller = office.tokens.organisation(Scope.FLEET)
    router = APIRouter(prefix="/v1/quarantine", tags=["fleet"], dependencies=[Depends(caller)])
    asking: Any = Depends(asked_by(caller))

    @router.get("", responses=calls.signed_in("invalid_cursor"))
    def list_quarantine(
        reason: QuarantineReason | None = None,
        device_id: DeviceId | None = None,
        state: QuarantineState | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> QuarantineItems:
        """Messages set aside, the oldest first; without `state`, those that nobody has dealt with."""
        states = WAITING if state is None else (State(state),)
        with reading(office.engine) as session:
            found = quarantine.find(
                session.connection(),
                reason=reason,
                device_id=device_id,
                states=states,
                after_id=number_of(cursor) or 0,
                limit=limit + 1,
            )
        page = found[:limit]
        next_cursor = cursor_of(str(page[-1].id)) if len(found) > limit else None
        return QuarantineItems(items=[_shown(row) for row in page], next_cursor=next_cursor)

    @router.post(
        "/{row_id}/replay",
        response_model=QuarantineMove,
        responses=calls.keyed("not_found", "invalid_state", "refused_again")
        | {202: {"description": "Ingestion judges it again", "model": QuarantineMove}},
    )
    def replay(row_id: str, asked: Asked = asking) -> Response:
        """Judge a message again: from step 1, or, if the ledger refused it, by its second decision."""
        return office.answers.answer(asked, lambda: _replay(office, asked, _row_of(office, row_id)))

    @router.post(
        "/{row_id}/discard", response_model=QuarantineMove, responses=calls.keyed("not_found", "invalid_state")
    )
    def discard(row_id: str, body: Discard, asked: Asked = asking) -> Response:
        """Put a message aside for good, saying why."""
        return office.answers.answer(asked, lambda: _discard(office, _row_of(office, row_id), body.reason))

    return router


def _replay(office: Office, asked: Asked, row: Quarantined) -> Answer:
    """Repeatable at any moment: a replay that was asked for is asked for, a second decision is the ledger's."""
    if row.reason in NEVER_REPLAYED:
        raise Problem("invalid_state", f"A message that is set aside as {row.reason} is never replayed.")
    if not row.is_whole or row.raw is None:
        raise Problem("invalid_state", "Not all bytes of this message were kept.")
    if row.entry_index is None or row.seq is None:
        _move(office, row, to=State.REPLAY_REQUESTED, states=WAITING)
        return Answer(202, _moved(row, State.REPLAY_REQUESTED))
    if row.state is State.DISCARDED:
        raise _dealt_with(row)
    accepted = office.ask(asked, DecideAgain(row.device_id, row.seq, row.raw))
    _move(office, row, to=State.REPLAYED, states=[*WAITING, State.REPLAYED])
    micro_sparks = accepted.result["micro_sparks"]
    return Answer(200, {**_moved(row, State.REPLAYED), "entry_index": accepted.index, "micro_sparks": micro_sparks})


def _discard(office: Office, row: Quarantined, reason: str) -> Answer:
    if row.state is not State.DISCARDED or row.note != reason:
        _move(office, row, to=State.DISCARDED, states=WAITING, note=reason)
    return Answer(200, _moved(row, State.DISCARDED))


def _move(office: Office, row: Quarantined, *, to: State, states: Sequence[State], note: str = "") -> None:
    with transaction(office.engine) as session:
        has_moved = quarantine.move(session.connection(), row.id, to=to, states=states, note=note)
    if not has_moved:
        raise _dealt_with(row)


def _dealt_with(row: Quarantined) -> Problem:
    return Problem("invalid_state", "Somebody has dealt with this message already.", extras={"state": row.state})


def _row_of(office: Office, text: str) -> Quarantined:
    row_id = _id_of(text)
    with reading(office.engine) as session:
        row = None if row_id is None else quarantine.get(session.connection(), row_id)
    if row is None:
        raise Problem("not_found", "The quarantine has no such row.")
    return row


def _id_of(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX else None


def _moved(row: Quarantined, state: State) -> dict[str, str]:
    return {"id": str(row.id), "state": str(state)}


def _shown(row: Quarantined) -> QuarantineItem:
    return QuarantineItem(
        id=str(row.id),
        device_id=row.device_id,
        reason=row.reason,
        seq=row.seq,
        entry_index=row.entry_index,
        count=row.count,
        first_seen=rfc3339(row.first_seen_s),
        last_seen=rfc3339(row.last_seen_s),
        raw=None if row.raw is None else text_of(row.raw),
        size_bytes=row.size_bytes,
        state=row.state,
        note=row.note or None,
    )

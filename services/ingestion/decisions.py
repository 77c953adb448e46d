"""What is asked of the ledger about a message, and what its answer makes of the message. Pure."""

import hashlib
from typing import Final

from contracts.commands import DeclareLost, RecordPack, Request
from contracts.effects import Reason
from contracts.wire import cbor
from services.ingestion.arrivals import INTERNAL_ERROR, Arrival, Became, Verdict, quarantined
from services.ledger.client import Accepted, Declined, Failed, Outcome, Reused

_ASIDE: Final = frozenset(
    {
        Reason.UNKNOWN_DEVICE,
        Reason.UNKNOWN_KEY,
        Reason.DEVICE_SUSPENDED,
        Reason.MALFORMED_COSE,
        Reason.MALFORMED_PACK,
        Reason.EQUIVOCATION,
        Reason.DECLARED_LOST,
        Reason.TOO_FAR_AHEAD,
    }
)


def record_request(arrival: Arrival) -> Request:
    """Ask that a pack be decided. The same message always has the same id, so that it is decided once."""
    command = RecordPack(arrival.device_id, arrival.payload)
    return Request(_id(command.KIND, arrival), arrival.sha256, command)


def lost_request(arrival: Arrival, *, parked: tuple[int, ...], last_seq: int) -> Request:
    """Ask that numbers be void. The same gap pack may be asked again once the unit stands elsewhere."""
    command = DeclareLost(arrival.device_id, arrival.payload, parked)
    return Request(_id(command.KIND, arrival, last_seq, parked), arrival.sha256, command)


def verdict_of(arrival: Arrival, seq: int, outcome: Outcome, *, is_first: bool) -> Verdict:
    """What the ledger's answer means for the message that was asked about.

    is_first  we asked only once, so what the ledger had already it has from another message
    """
    match outcome:
        case Accepted(index=index, result={"outcome": "void"}):
            return Verdict(Became.VOID, seq=seq, entry_index=index)
        case Accepted(index=index, result=result, repeated=repeated):
            reason = str(result.get("reason", ""))
            is_other = repeated and is_first and arrival.was is not Became.WAITING
            return Verdict(Became.DUPLICATE if is_other else Became(str(result["outcome"])), reason, seq, index)
        case Declined(reason=Reason.NOTHING_LOST):
            return Verdict(Became.VOID, seq=seq)
        case Declined(reason=Reason.DUPLICATE):
            return Verdict(Became.DUPLICATE, seq=seq)
        case Declined(reason=Reason.TOO_EARLY):
            return Verdict(Became.WAITING, seq=seq)
        case Declined(reason=Reason.NOT_YET_DUE, facts=facts):
            return Verdict(Became.WAITING, seq=seq, due_s=facts["due_s"])
        case _:
            return _aside(arrival, seq, outcome)


def _aside(arrival: Arrival, seq: int, outcome: Outcome) -> Verdict:
    """Set aside, but for a parked pack of a unit that is suspended, which goes on waiting."""
    match outcome:
        case Declined(reason=Reason.DEVICE_SUSPENDED) if arrival.was is Became.WAITING:
            return Verdict(Became.WAITING, seq=seq)
        case Declined(reason=reason) if reason in _ASIDE:
            return quarantined(reason, seq)
        case Failed() | Reused():
            return quarantined(INTERNAL_ERROR, seq)
    raise ValueError(f"the ledger answers a message with {outcome}")


def _id(*parts: object) -> bytes:
    values = [[part.device_id, part.sha256] if isinstance(part, Arrival) else part for part in parts]
    return hashlib.sha256(cbor.encode(["ingestion", *values])).digest()

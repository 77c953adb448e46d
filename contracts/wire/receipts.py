"""What the platform tells a unit: receipts of what is on the ledger, and instructions.

Payloads of COSE messages with content type CBOR: maps with text keys and integers from 0 to 2^53. A reader
ignores keys that it does not know, since the platform may add some; anything else that is odd makes the whole
message unreadable.
"""

from dataclasses import dataclass
from typing import Any, Final

from contracts.wire.cbor import NotDeterministic, decode, encode

_INTEGER_MAX: Final = 2**53
_HASH_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything of a unit up to number `seq` is decided and on the ledger.

    pack     SHA-256 of the message with number `seq` (of the gap pack, where that number is void)
    index    of the ledger's entry that decided it
    origin   the name of the ledger's log
    refused  (seq, reason) of the packs refused since the last receipt
    """

    device_id: str
    seq: int
    pack: bytes
    index: int
    origin: str
    refused: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the packs from number `from_seq` on again."""

    device_id: str
    id: str
    issued_s: int
    expires_s: int
    from_seq: int


@dataclass(frozen=True, slots=True)
class EventCall:
    """A demand event from `start_s` to `end_s`, Unix seconds.

    discharge_w  power to discharge with; None leaves it to the unit
    reserve_pct  charge that stays in the battery; the owner's own floor goes first
    """

    device_id: str
    id: str
    issued_s: int
    expires_s: int
    start_s: int
    end_s: int
    discharge_w: int | None
    reserve_pct: int


@dataclass(frozen=True, slots=True)
class EventCancelled:
    """The event that the instruction with id `event` called does not take place."""

    device_id: str
    id: str
    issued_s: int
    expires_s: int
    event: str


Instruction = Resend | EventCall | EventCancelled


def write(message: Receipt | Instruction) -> bytes:
    """Return the payload that says `message`."""
    if isinstance(message, Receipt):
        return encode(
            {
                "device": message.device_id,
                "seq": message.seq,
                "pack": message.pack,
                "index": message.index,
                "origin": message.origin,
                "refused": message.refused,
            }
        )
    return encode(_envelope(message) | _content(message))


def read_receipt(payload: bytes) -> Receipt | None:
    """Return the receipt that `payload` is, or None."""
    match _map_of(payload):
        case {
            "device": str(device_id),
            "seq": int(seq),
            "pack": bytes(pack),
            "index": int(index),
            "origin": str(origin),
            "refused": list(refused),
        } if _are_counts(seq, index) and len(pack) == _HASH_LENGTH and all(map(_is_refusal, refused)):
            pairs = tuple((refused_seq, reason) for refused_seq, reason in refused)
            return Receipt(device_id, seq, pack, index, origin, pairs)
    return None


def read_instruction(payload: bytes) -> Instruction | None:
    """Return the instruction that `payload` is, or None, also for a type of instruction that is not known."""
    fields = _map_of(payload)
    match fields:
        case {
            "device": str(device_id),
            "id": str(id_),
            "issued_s": int(issued_s),
            "expires_s": int(expires_s),
        } if _are_counts(issued_s, expires_s):
            envelope = (device_id, id_, issued_s, expires_s)
        case _:
            return None
    match fields:
        case {"type": "resend", "from_seq": int(from_seq)} if _are_counts(from_seq):
            return Resend(*envelope, from_seq)
        case {"type": "event_cancelled", "event": str(event)}:
            return EventCancelled(*envelope, event)
        case {"type": "event", "start_s": int(start_s), "end_s": int(end_s), "reserve_pct": int(reserve_pct)}:
            discharge_w = fields.get("discharge_w", 0)
            if _are_counts(start_s, end_s, discharge_w, reserve_pct) and reserve_pct <= 100:
                return EventCall(*envelope, start_s, end_s, fields.get("discharge_w"), reserve_pct)
    return None


def _envelope(message: Instruction) -> dict[str, object]:
    return {
        "device": message.device_id,
        "id": message.id,
        "issued_s": message.issued_s,
        "expires_s": message.expires_s,
    }


def _content(message: Instruction) -> dict[str, object]:
    match message:
        case Resend(from_seq=from_seq):
            return {"type": "resend", "from_seq": from_seq}
        case EventCancelled(event=event):
            return {"type": "event_cancelled", "event": event}
        case EventCall(discharge_w=discharge_w):
            content = {"start_s": message.start_s, "end_s": message.end_s, "reserve_pct": message.reserve_pct}
            power = {} if discharge_w is None else {"discharge_w": discharge_w}
            return {"type": "event", **content, **power}


def _map_of(payload: bytes) -> dict[Any, Any]:
    """The map that `payload` encodes, or an empty one."""
    try:
        fields = decode(payload)
    except NotDeterministic:
        return {}
    return fields if type(fields) is dict else {}


def _are_counts(*values: object) -> bool:
    """Whether all of these are integers from 0 to 2^53 (a bool is none)."""
    return all(type(value) is int and 0 <= value <= _INTEGER_MAX for value in values)


def _is_refusal(item: object) -> bool:
    match item:
        case [seq, str()]:
            return _are_counts(seq)
    return False

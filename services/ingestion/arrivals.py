"""A message under judgement, and the verdict on it. Steps 1 and 2 of interfaces.md 1: is it the unit's, can it be read.

Pure: the unit's row comes as an argument.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from contracts import evidence
from contracts.evidence import Authentic
from contracts.metering import Refusal
from contracts.state import Unit
from contracts.units import UnixSeconds
from contracts.wire import cose
from contracts.wire.cose import Sign1
from contracts.wire.packs import BadPack, GapPack, Pack
from services.setaside.quarantine import Quarantined

EQUIVOCATION: Final = "equivocation"
DECLARED_LOST: Final = "declared_lost"
TOO_FAR_AHEAD: Final = "too_far_ahead"
INTERNAL_ERROR: Final = "internal_error"
"""A bug kept us from judging the message. Not a reason of the interface: it is replayed once the bug is mended."""

Content: TypeAlias = Pack | GapPack | BadPack


class Became(StrEnum):
    """What a message ended in. Each is in exactly one of these at any moment; only the third and fourth can change."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    WAITING = "waiting"
    DUPLICATE = "duplicate"
    VOID = "void"


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """One message to be judged.

    was  what it is now: None if it just came, WAITING if it is parked, QUARANTINED if its replay was asked for
    row  where it is in quarantine, if it is there
    """

    device_id: str
    payload: bytes
    was: Became | None = None
    row: Quarantined | None = None
    sha256: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.payload).digest())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message.

    reason       why it is refused or quarantined
    seq          its number, if it was read
    entry_index  of the ledger's entry that decided it
    due_s        ledger time from which a waiting pack may be decided; None: only the order is missing
    """

    became: Became
    reason: str = ""
    seq: int | None = None
    entry_index: int | None = None
    due_s: UnixSeconds | None = None

    @property
    def keeps_raw(self) -> bool:
        """Are the bytes kept in quarantine?"""
        return self.reason != TOO_FAR_AHEAD


def quarantined(reason: str, seq: int | None = None) -> Verdict:
    """Set aside for `reason`."""
    return Verdict(Became.QUARANTINED, reason, seq)


def of_quarantine(row: Quarantined) -> Arrival:
    """The message of a row whose bytes are all kept, to be judged again."""
    return Arrival(row.device_id, row.raw or b"", Became.QUARANTINED, row)


def parse(arrival: Arrival) -> Sign1 | Verdict:
    """The message by its outer form, cheapest tests first."""
    parsed = cose.parse(arrival.payload, content_type=cose.SENML_CBOR)
    return parsed if isinstance(parsed, Sign1) else quarantined(parsed)


def examine(sign1: Sign1, unit: Unit | None) -> Content | Verdict:
    """What the unit says in a message that is surely its own and has its place; else why it is set aside."""
    examined = evidence.examine(sign1, unit)
    if not isinstance(examined, Authentic):
        return quarantined(examined)
    content = examined.content
    if content.seq is None:
        return quarantined(Refusal.MALFORMED_PACK)
    if isinstance(content, GapPack) and unit is not None and content.device_id != unit.device_id:
        # It holds no number, so there is no place in which the ledger could refuse it.
        return quarantined(Refusal.WRONG_DEVICE, content.seq)
    return content

"""Is a unit's message really the unit's: which key must have signed it, and did it.

interfaces.md 1, step 1 and "Keys". Executing a command trusts that this was asked before it was submitted; whoever
verifies the ledger asks again.
"""

from dataclasses import dataclass
from enum import StrEnum

from contracts.commands import Command, DeclareLost, RecordPack
from contracts.state import Unit
from contracts.wire import cose, packs, signatures
from contracts.wire.cose import Sign1
from contracts.wire.packs import BadPack, GapPack, Pack


class Doubt(StrEnum):
    """Why a message cannot be pinned on its unit, in the order in which it is tested."""

    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_KEY = "unknown_key"
    DEVICE_SUSPENDED = "device_suspended"
    BAD_SIGNATURE = "bad_signature"


@dataclass(frozen=True, slots=True)
class Authentic:
    """A message that its unit signed, and what it says."""

    content: Pack | GapPack | BadPack


def examine(sign1: Sign1, unit: Unit | None) -> Authentic | Doubt:
    """Pin a parsed message on the unit whose topic it came by, or say why that cannot be done."""
    if unit is None:
        return Doubt.UNKNOWN_DEVICE
    content = packs.read(sign1.payload)
    public_key = key_for(unit, kid=sign1.kid, content=content)
    if public_key is None:
        return Doubt.UNKNOWN_KEY
    if unit.suspended:
        return Doubt.DEVICE_SUSPENDED
    if not cose.is_signed_by(sign1, public_key):
        return Doubt.BAD_SIGNATURE
    return Authentic(content)


def key_for(unit: Unit, *, kid: bytes, content: Pack | GapPack | BadPack) -> bytes | None:
    """The unit's key that the message must be signed with, or None if `kid` names none that may sign it.

    A gap pack is signed with the newest key whatever its number; a pack whose number cannot be read with any key
    that is not revoked.
    """
    for place, known in enumerate(unit.keys):
        if known.revoked or signatures.key_id(known.public_key) != kid:
            continue
        if isinstance(content, GapPack):
            may_sign = place == len(unit.keys) - 1
        elif content.seq is None:
            may_sign = True
        else:
            may_sign = known.signs(content.seq)
        if may_sign:
            return known.public_key
    return None


def is_authentic(command: Command, unit: Unit | None) -> bool:
    """Does the evidence of a command bear the signature that it needs? Commands without evidence do."""
    if not isinstance(command, RecordPack | DeclareLost):
        return True
    sign1 = cose.parse(command.message, content_type=cose.SENML_CBOR)
    return isinstance(sign1, Sign1) and isinstance(examine(sign1, unit), Authentic)

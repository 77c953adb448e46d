"""Is a unit's message really the unit's: which key must have signed it, and did it.

interfaces.md 1, step 1 and "Keys". Executing a command trusts that this was asked before it was submitted; whoever
verifies the ledger asks again.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

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


class Check(NamedTuple):
    """A signature that decides whether a message is its unit's (`signatures.verify`)."""

    public_key: bytes
    signed_bytes: bytes
    signature: bytes


def examine(sign1: Sign1, unit: Unit | None) -> Authentic | Doubt:
    """Pin a parsed message on the unit whose topic it came by, or say why that cannot be done."""
    check = _check(sign1, unit)
    if isinstance(check, Doubt):
        return check
    return Authentic(packs.read(sign1.payload)) if signatures.verify(*check) else Doubt.BAD_SIGNATURE


def _check(sign1: Sign1, unit: Unit | None) -> Check | Doubt:
    if unit is None:
        return Doubt.UNKNOWN_DEVICE
    public_key = key_for(unit, kid=sign1.kid, content=packs.read(sign1.payload))
    if public_key is None:
        return Doubt.UNKNOWN_KEY
    if unit.suspended:
        return Doubt.DEVICE_SUSPENDED
    return Check(public_key, sign1.signed_bytes(), sign1.signature)


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


def check_of(command: Command, unit: Unit | None) -> Check | bool:
    """The signature that decides whether `command` is authentic, or the answer where none does."""
    if not isinstance(command, RecordPack | DeclareLost):
        return True
    sign1 = cose.parse(command.message, content_type=cose.SENML_CBOR)
    check = _check(sign1, unit) if isinstance(sign1, Sign1) else None
    return check if isinstance(check, Check) else False


def is_authentic(command: Command, unit: Unit | None) -> bool:
    """Does the evidence of a command bear the signature that it needs? Commands without evidence do."""
    check = check_of(command, unit)
    return signatures.verify(*check) if isinstance(check, Check) else check

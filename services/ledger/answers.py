"""Which answers are given again when a request is asked again, and how a remembered rejection is sealed."""

import hashlib
from typing import Any, Final, NamedTuple

import cbor2

from contracts.checkout import ExpireHold
from contracts.commands import CloseAccount, DeclareLost, EraseCustomer, RecordPack, ReleaseDeferred, Request
from contracts.effects import Reason, Rejected
from contracts.units import UnixSeconds
from contracts.wire import cbor
from services.ledger.client import Accepted, Declined, Failed, Outcome, Reused, reason_of

# What HTTP answers with 422 is not stored (interfaces.md 3): the same key may be used again with another body.
UNPROCESSABLE: Final = frozenset(
    {
        Reason.APPROVAL_KEY_EXPIRED,
        Reason.APPROVED_TWICE,
        Reason.APPROVER_NOT_MEMBER,
        Reason.BAD_APPROVAL,
        Reason.BAD_KEY_SIGNATURE,
        Reason.CAPTURE_ABOVE_HOLD,
        Reason.EVENT_TOO_SOON,
        Reason.INVALID_AMOUNT,
        Reason.INVALID_COSIGN_NAME,
        Reason.INVALID_ERASURE,
        Reason.INVALID_EVENT,
        Reason.INVALID_ID,
        Reason.INVALID_HOUR,
        Reason.INVALID_MEMBER,
        Reason.INVALID_MEMBER_KEY,
        Reason.INVALID_NAMEPLATE,
        Reason.INVALID_QUORUM,
        Reason.KEY_NOT_PROVEN,
        Reason.REFUND_ABOVE_SALE,
        Reason.REFUND_TOO_LATE,
        Reason.TOO_FEW_APPROVALS,
        Reason.UNKNOWN_IDENTITY_LEVEL,
        Reason.UNKNOWN_LEVEL,
        Reason.UNKNOWN_RECIPIENT,
        Reason.UNKNOWN_ROLE,
    }
)
_UNDECIDED: Final = UNPROCESSABLE | {Reason.OTHER_CONTRACTS}
"""Another body may be answered otherwise, and so may the same one by another contract set."""
# A message that is not in its place now may be next time; and what the writer asks of itself it may ask again.
_ASKED_AGAIN: Final = (RecordPack, DeclareLost, ExpireHold, ReleaseDeferred, CloseAccount, EraseCustomer)


class Known(NamedTuple):
    """How a request was answered, and the digest of what was asked then; Failed: the answer cannot be read now."""

    digest: bytes
    outcome: Accepted | Declined | Failed

    def again(self, request: Request) -> Outcome:
        """The answer to the same id now."""
        if request.digest != self.digest:
            return Reused()
        if not isinstance(self.outcome, Accepted):
            return self.outcome
        return Accepted(self.outcome.index, self.outcome.at_s, self.outcome.result, repeated=True)


def is_remembered(request: Request, rejected: Rejected) -> bool:
    """Must this request be rejected alike when it is asked again?"""
    return rejected.reason not in _UNDECIDED and not isinstance(request.command, _ASKED_AGAIN)


def rejection_row(
    request: Request, rejected: Rejected, *, at_s: UnixSeconds, size: int
) -> tuple[bytes, bytes, str, bytes, int, int, bytes]:
    """The row of table `rejections` by which it is remembered, at the tree size `size`."""
    reason, facts = str(rejected.reason), cbor.encode(dict(rejected.facts))
    sealed = seal(id=request.id, digest=request.digest, reason=reason, facts=facts, at_s=at_s, size=size)
    return request.id, request.digest, reason, facts, at_s, size, sealed


def seal(*, id: bytes, digest: bytes, reason: str, facts: bytes, at_s: UnixSeconds, size: int) -> bytes:
    """SHA-256 over the fields of a remembered rejection."""
    return hashlib.sha256(cbor.encode([id, digest, reason, facts, at_s, size])).digest()


def declined(reason: str, facts: bytes) -> Declined:
    """The answer that a remembered rejection gives."""
    return Declined(reason_of(reason), cbor.decode(facts))


def result_of(data: bytes) -> dict[str, Any]:
    """The contract's answer as stored; first answers are read from there too, so that a repeat is the same."""
    result: dict[str, Any] = cbor2.loads(data)
    return result

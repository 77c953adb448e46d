"""Who has to approve a governed command, what they sign, and whether they did.

A proposal is approved by more than `approvals_above_bp` of the members that are present when it is executed, each with
a `govern` key that is valid then. What exactly is signed names the log, the command and a serial, so that no signature
says yes to anything else, or twice.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Final

from contracts import state
from contracts.effects import Draft, Reason, Rejected
from contracts.governed import Governed
from contracts.programmes import Programme
from contracts.state import Ledger, Member, MemberKey, Membership
from contracts.units import BP_ONE, UnixSeconds
from contracts.wire import cbor, signatures

GOVERN: Final = "govern"
COSIGN: Final = "cosign"
USES: Final = frozenset({GOVERN, COSIGN})


def approve_bytes(origin: str, command: Governed) -> bytes:
    """What a member signs to approve `command` in the log `origin`: deterministic CBOR of all but the approvals."""
    said = [getattr(command, field.name) for field in fields(command) if field.name != "approvals"]
    return cbor.encode(["sparks-approval", origin, command.KIND, *said])


def possession_bytes(
    *, origin: str, member_id: str, public_key: bytes, use: str, from_s: UnixSeconds, until_s: UnixSeconds
) -> bytes:
    """What a member's new key signs, so that nobody names a key that they do not hold: deterministic CBOR."""
    return cbor.encode(["sparks-member-key", origin, member_id, use, public_key, from_s, until_s])


def proven_key(
    seed: bytes, *, origin: str, member_id: str, use: str, from_s: UnixSeconds, until_s: UnixSeconds
) -> tuple[bytes, str, UnixSeconds, UnixSeconds, bytes]:
    """A new key as whoever holds its `seed` has it proposed: with its own signature."""
    public_key = signatures.public_key_of(seed)
    message = possession_bytes(
        origin=origin, member_id=member_id, public_key=public_key, use=use, from_s=from_s, until_s=until_s
    )
    return public_key, use, from_s, until_s, signatures.sign(seed, message)


def origin_of(draft: Draft) -> str:
    """The name of the log, which all that is signed names."""
    ledger = draft.get(state.LEDGER_KEY, Ledger)
    return ledger.origin if ledger else ""


def needed(programme: Programme, members: int) -> int:
    """How many of that many members have to approve; none where there are none."""
    return members * programme.approvals_above_bp // BP_ONE + 1 if members else 0


def membership_of(draft: Draft) -> Membership:
    """The members as they are; none before the first is admitted."""
    return draft.get(state.MEMBERSHIP_KEY, Membership) or Membership()


def count(draft: Draft, membership: Membership) -> None:
    """Note that a proposal was carried: what was signed for another one before is void."""
    draft.put(state.MEMBERSHIP_KEY, replace(membership, serial=membership.serial + 1))


def refusal(
    draft: Draft, command: Governed, *, candidate: Member | None = None, alone: Member | None = None
) -> Rejected | None:
    """Why `command` is not approved, or None if it is. Asked last: TOO_FEW_APPROVALS says that all else is well.

    candidate  has to sign besides the members, and is none of them yet
    alone      a present member whose own approval is enough
    """
    membership = membership_of(draft)
    voters = {member_id: _present(draft, member_id) for member_id in membership.members}
    if candidate is not None:
        voters[candidate.member_id] = candidate
    signed = _signers(draft, command, voters)
    if isinstance(signed, Rejected):
        return signed
    if alone is not None and alone.member_id in signed:
        return None
    enough, given = needed(draft.programme, len(membership.members)), len(signed.intersection(membership.members))
    if candidate is not None:
        enough, given = enough + 1, min(given, enough) + (candidate.member_id in signed)
    return None if given >= enough else Rejected(Reason.TOO_FEW_APPROVALS, {"needed": enough, "given": given})


def signer_key(member: Member, message: bytes, signature: bytes, *, at_s: UnixSeconds) -> MemberKey | Reason:
    """The member's `govern` key, valid at `at_s`, that signed `message`; or why it counts for nothing."""
    ended = False
    for key in member.keys:
        if key.use == GOVERN and signatures.verify(key.public_key, message, signature):
            if key.is_valid(at_s):
                return key
            ended = True
    return Reason.APPROVAL_KEY_EXPIRED if ended else Reason.BAD_APPROVAL


def _signers(draft: Draft, command: Governed, voters: Mapping[str, Member]) -> set[str] | Rejected:
    """Which of `voters` approve, each once; one approval that is none refuses them all."""
    message = approve_bytes(origin_of(draft), command)
    signed: set[str] = set()
    for approval in command.approvals:
        if not _is_approval(approval):
            return Rejected(Reason.BAD_APPROVAL)
        member_id, signature = approval
        if member_id not in voters:
            return Rejected(Reason.APPROVER_NOT_MEMBER)
        if member_id in signed:
            return Rejected(Reason.APPROVED_TWICE)
        found = signer_key(voters[member_id], message, signature, at_s=draft.at_s)
        if isinstance(found, Reason):
            return Rejected(found)
        signed.add(member_id)
    return signed


def _is_approval(value: object) -> bool:
    """What a command's tuples hold is for the contracts to look at (`contracts.commands`)."""
    return isinstance(value, tuple) and [type(part) for part in value] == [str, bytes]


def _present(draft: Draft, member_id: str) -> Member:
    member = draft.get(state.member_key(member_id), Member)
    if member is None:
        raise LookupError(f"the membership names {member_id}, which has no row")
    return member

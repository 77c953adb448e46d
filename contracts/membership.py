"""Who is a member, with which role and keys, and how many co-signatures make a checkpoint final.

Every change is approved by the members (`approvals`); a member's own keys also by itself. Keys keep the time in which
they are valid, so that what was signed goes on to verify after they have ended and after the member has gone.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from contracts import approvals, state
from contracts.approvals import COSIGN, GOVERN
from contracts.effects import Draft, Effects, Reason, Rejected
from contracts.governed import AddMemberKey, AdmitMember, ChangeMember, RemoveMember, RetireMemberKey, SetQuorum
from contracts.programmes import ALL_COLLECTIONS
from contracts.state import Member, MemberKey, Membership
from contracts.units import UnixSeconds
from contracts.wire import signatures
from contracts.wire.signatures import PUBLIC_KEY_LENGTH

TEXT_LENGTH_MAX: Final = 200
_MEMBER_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
_URL: Final = re.compile(r"https?://[!-~]+")
# A C2SP key name, of what every witness takes (standards.md 1.2).
_COSIGN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9./_-]*")


def admit(draft: Draft, command: AdmitMember) -> Effects | Rejected:
    """An organisation becomes a member. The first one is approved by itself alone, for there is nobody else."""
    membership = approvals.membership_of(draft)
    if command.serial != membership.serial:
        return _stale(membership.serial)
    if not _MEMBER_ID.fullmatch(command.member_id):
        return Rejected(Reason.INVALID_MEMBER)
    if draft.get(state.member_key(command.member_id), Member) is not None:
        return Rejected(Reason.MEMBER_EXISTS)
    keys = _keys_of(command)
    if keys is None:
        return Rejected(Reason.INVALID_MEMBER_KEY)
    candidate = Member(
        member_id=command.member_id,
        name=command.name,
        role=command.role,
        url=command.url,
        cosign_name=command.cosign_name,
        keys=keys,
        admitted_s=draft.at_s,
    )
    proofs = tuple(proof for *_, proof in command.keys)
    rejected = _fault(draft, candidate, membership) or _key_fault(draft, candidate, proofs, membership)
    if rejected is None and not any(key.use == GOVERN for key in keys):
        rejected = Reason.LAST_GOVERN_KEY
    if rejected is not None:
        return Rejected(rejected)
    refused = approvals.refusal(draft, command, candidate=candidate)
    if refused is not None:
        return refused
    draft.put(state.member_key(command.member_id), candidate)
    present = tuple(sorted((*membership.members, command.member_id)))
    approvals.count(draft, replace(membership, members=present))
    return draft.effects(member=command.member_id, members=len(present))


def change(draft: Draft, command: ChangeMember) -> Effects | Rejected:
    """A member has another name, role or address. Under another co-signing name the keys of the old one end now.

    One key under two names would count twice with whoever knows both: a cosignature does not sign its name.
    """
    membership = approvals.membership_of(draft)
    if command.serial != membership.serial:
        return _stale(membership.serial)
    member = _present(draft, command.member_id)
    if member is None:
        return Rejected(Reason.UNKNOWN_MEMBER)
    changed = replace(member, name=command.name, role=command.role, url=command.url, cosign_name=command.cosign_name)
    if command.cosign_name != member.cosign_name:
        ended = tuple(_ended(key, draft.at_s) if key.use == COSIGN else key for key in member.keys)
        changed = replace(changed, keys=ended)
    fault = _fault(draft, changed, membership)
    if fault is not None:
        return Rejected(fault)
    if _falls_short(draft, membership, changed, at_s=draft.at_s):
        return Rejected(Reason.QUORUM_OUT_OF_REACH, {"quorum": membership.quorum})
    refused = approvals.refusal(draft, command)
    if refused is not None:
        return refused
    draft.put(state.member_key(command.member_id), changed)
    approvals.count(draft, membership)
    return draft.effects(member=command.member_id)


def add_key(draft: Draft, command: AddMemberKey) -> Effects | Rejected:
    """A member signs with one more key; the one before may be valid at the same time."""
    member = _present(draft, command.member_id)
    if member is None:
        return Rejected(Reason.UNKNOWN_MEMBER)
    if command.serial != member.serial:
        return _stale(member.serial)
    name = member.cosign_name if command.use == COSIGN else ""
    key = MemberKey(command.public_key, command.use, command.from_s, command.until_s, name)
    grown = replace(member, keys=(*member.keys, key), serial=member.serial + 1)
    fault = _key_fault(draft, grown, (command.proof,), approvals.membership_of(draft))
    if fault is not None:
        return Rejected(fault)
    refused = approvals.refusal(draft, command, alone=member)
    if refused is not None:
        return refused
    draft.put(state.member_key(command.member_id), grown)
    return draft.effects(member=command.member_id, from_s=command.from_s, until_s=command.until_s)


def retire_key(draft: Draft, command: RetireMemberKey) -> Effects | Rejected:
    """A key ends sooner; its successor is added first, so that the member never falls silent."""
    member = _present(draft, command.member_id)
    if member is None:
        return Rejected(Reason.UNKNOWN_MEMBER)
    if command.serial != member.serial:
        return _stale(member.serial)
    until_s = max(command.until_s, draft.at_s)
    found = next((key for key in member.keys if key.public_key == command.public_key), None)
    if found is None or found.until_s <= until_s:
        return Rejected(Reason.UNKNOWN_MEMBER_KEY)
    keys = tuple(_ended(key, until_s) if key is found else key for key in member.keys)
    left = replace(member, keys=keys, serial=member.serial + 1)
    if found.use == GOVERN and not left.has_key(GOVERN, until_s):
        return Rejected(Reason.LAST_GOVERN_KEY)
    membership = approvals.membership_of(draft)
    if _falls_short(draft, membership, left, at_s=until_s):
        return Rejected(Reason.QUORUM_OUT_OF_REACH, {"quorum": membership.quorum})
    refused = approvals.refusal(draft, command, alone=member)
    if refused is not None:
        return refused
    draft.put(state.member_key(command.member_id), left)
    return draft.effects(member=command.member_id, until_s=until_s)


def remove(draft: Draft, command: RemoveMember) -> Effects | Rejected:
    """A member goes: from this moment on it signs nothing. The last one stays, or anybody could be the first again."""
    membership = approvals.membership_of(draft)
    if command.serial != membership.serial:
        return _stale(membership.serial)
    member = _present(draft, command.member_id)
    if member is None:
        return Rejected(Reason.UNKNOWN_MEMBER)
    if len(membership.members) == 1:
        return Rejected(Reason.LAST_MEMBER)
    gone = replace(member, removed_s=draft.at_s)
    if _falls_short(draft, membership, gone, at_s=draft.at_s):
        return Rejected(Reason.QUORUM_OUT_OF_REACH, {"quorum": membership.quorum})
    refused = approvals.refusal(draft, command)
    if refused is not None:
        return refused
    draft.put(state.member_key(command.member_id), gone)
    present = tuple(member_id for member_id in membership.members if member_id != command.member_id)
    former = (*membership.former, command.member_id)
    approvals.count(draft, replace(membership, members=present, former=former))
    return draft.effects(member=command.member_id, removed_s=draft.at_s)


def set_quorum(draft: Draft, command: SetQuorum) -> Effects | Rejected:
    """So many co-signatures make a checkpoint final from now on; never more than there are members that can."""
    membership = approvals.membership_of(draft)
    if command.serial != membership.serial:
        return _stale(membership.serial)
    cosigners = sum(member.has_key(COSIGN, draft.at_s) for member in _members(draft, membership.members))
    if not 0 <= command.quorum <= cosigners:
        return Rejected(Reason.INVALID_QUORUM, {"cosigners": cosigners})
    refused = approvals.refusal(draft, command)
    if refused is not None:
        return refused
    approvals.count(draft, replace(membership, quorum=command.quorum))
    return draft.effects(quorum=command.quorum)


# What a member may be


def _fault(draft: Draft, member: Member, membership: Membership) -> Reason | None:
    """The first thing that is wrong with what is said of a member, its keys apart."""
    if not _NAME.fullmatch(member.name) or len(member.name) > TEXT_LENGTH_MAX:
        return Reason.INVALID_MEMBER
    if member.role not in draft.programme.role_collections:
        return Reason.UNKNOWN_ROLE
    if member.url and (not _URL.fullmatch(member.url) or len(member.url) > TEXT_LENGTH_MAX):
        return Reason.INVALID_MEMBER
    sees_all = ALL_COLLECTIONS in draft.programme.role_collections[member.role]
    is_name = _COSIGN_NAME.fullmatch(member.cosign_name) and len(member.cosign_name) <= TEXT_LENGTH_MAX
    if not is_name or not member.cosign_name.endswith("/all" if sees_all else "/given"):
        return Reason.INVALID_COSIGN_NAME
    others = (other for other in _everyone(draft, membership) if other.member_id != member.member_id)
    names = {name for other in others for name in (other.cosign_name, *(key.name for key in other.keys))}
    return Reason.COSIGN_NAME_TAKEN if member.cosign_name in names else None


def _key_fault(draft: Draft, member: Member, proofs: tuple[bytes, ...], membership: Membership) -> Reason | None:
    """The first thing that is wrong with the newest keys of a member, as many as there are proofs."""
    programme, at_s = draft.programme, draft.at_s
    added = member.keys[len(member.keys) - len(proofs) :]
    for key in added:
        if len(key.public_key) != PUBLIC_KEY_LENGTH or key.use not in approvals.USES:
            return Reason.INVALID_MEMBER_KEY
        lasts_s, latest_s = key.until_s - key.from_s, at_s + programme.member_key_s_max
        if not (0 <= key.from_s <= latest_s and 0 < lasts_s <= programme.member_key_s_max and at_s < key.until_s):
            return Reason.INVALID_MEMBER_KEY
    if sum(at_s < key.until_s for key in member.keys) > programme.member_keys_max:
        return Reason.TOO_MANY_KEYS
    everyone = (other for other in _everyone(draft, membership) if other.member_id != member.member_id)
    public_keys = [key.public_key for other in (*everyone, member) for key in other.keys]
    if len(set(public_keys)) != len(public_keys):
        return Reason.KEY_IN_USE
    is_held = all(_is_held(draft, member, key, proof) for key, proof in zip(added, proofs, strict=True))
    return None if is_held else Reason.KEY_NOT_PROVEN


def _is_held(draft: Draft, member: Member, key: MemberKey, proof: bytes) -> bool:
    """Did the key itself sign for whom, for what and for how long it is?"""
    message = approvals.possession_bytes(
        origin=approvals.origin_of(draft),
        member_id=member.member_id,
        public_key=key.public_key,
        use=key.use,
        from_s=key.from_s,
        until_s=key.until_s,
    )
    return signatures.verify(key.public_key, message, proof)


def _keys_of(command: AdmitMember) -> tuple[MemberKey, ...] | None:
    """The keys that a command names, or None if they are of another shape (`contracts.commands`)."""
    if not all(_is_key(key) for key in command.keys):
        return None
    return tuple(
        MemberKey(public_key, use, from_s, until_s, command.cosign_name if use == COSIGN else "")
        for public_key, use, from_s, until_s, _ in command.keys
    )


def _is_key(value: object) -> bool:
    return isinstance(value, tuple) and [type(part) for part in value] == [bytes, str, int, int, bytes]


def _ended(key: MemberKey, until_s: UnixSeconds) -> MemberKey:
    return key._replace(until_s=min(key.until_s, until_s))


def _falls_short(draft: Draft, membership: Membership, changed: Member, *, at_s: UnixSeconds) -> bool:
    """Would a change of one member put the quorum out of reach? Keys that lapse may; nothing that is decided does."""
    before = [member.has_key(COSIGN, at_s) for member in _members(draft, membership.members)]
    was = draft.get(state.member_key(changed.member_id), Member)
    lost = was is not None and was.has_key(COSIGN, at_s) and not changed.has_key(COSIGN, at_s)
    return lost and sum(before) - 1 < membership.quorum


# Members


def _present(draft: Draft, member_id: str) -> Member | None:
    member = draft.get(state.member_key(member_id), Member)
    return member if member is not None and not member.removed_s else None


def _everyone(draft: Draft, membership: Membership) -> Iterator[Member]:
    """Whoever is or was a member: an organisation's keys are nobody else's for ever."""
    return _members(draft, (*membership.members, *membership.former))


def _members(draft: Draft, member_ids: tuple[str, ...]) -> Iterator[Member]:
    rows = (draft.get(state.member_key(member_id), Member) for member_id in member_ids)
    return (member for member in rows if member is not None)


def _stale(serial: int) -> Rejected:
    return Rejected(Reason.STALE_SERIAL, {"serial": serial})

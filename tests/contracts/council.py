"""What members of a story decide: governed commands made by throwing dice, signed by all who can sign."""

from collections.abc import Callable
from typing import Final, TypeAlias

from contracts import bundle
from contracts.approvals import GOVERN
from contracts.governed import (
    ActivateContracts,
    AddMemberKey,
    AdmitMember,
    ChangeMember,
    Governed,
    RemoveMember,
    RetireMemberKey,
    SetQuorum,
)
from contracts.memory import Memory
from tests.contracts.members import a_candidate, a_new_key, approved, member_of, members_of

KINDS: Final = (
    AdmitMember.KIND,
    ChangeMember.KIND,
    AddMemberKey.KIND,
    RetireMemberKey.KIND,
    RemoveMember.KIND,
    SetQuorum.KIND,
    ActivateContracts.KIND,
)
MEMBERS_MAX: Final = 5
_Dice: TypeAlias = Callable[[int], int]


def decided(kind: str, view: Memory, number: int, dice: _Dice) -> Governed:
    """A command of this kind, approved by everybody whose first key is valid; `number` is new each time."""
    members = members_of(view)
    signers = [name for name in members.members if member_of(view, name).keys[0].is_valid(view.at_s)]
    if kind == AdmitMember.KIND or not members.members:
        is_full = len(members.members) >= MEMBERS_MAX
        name = members.members[0] if is_full else f"member-{number}"
        candidate = a_candidate(name, serial=members.serial, at_s=view.at_s)
        return approved(candidate, *signers, *(() if is_full else (name,)))
    name = members.members[dice(len(members.members))]
    return approved(_about(kind, view, name, number, dice), *signers)


def _about(kind: str, view: Memory, name: str, number: int, dice: _Dice) -> Governed:
    member, serial = member_of(view, name), members_of(view).serial
    if kind == ChangeMember.KIND:
        return ChangeMember(serial, name, f"Member {number}", member.role, "", member.cosign_name, ())
    if kind == AddMemberKey.KIND:
        return a_new_key(view, name, f"{name} key {number}", use=GOVERN)
    if kind == RetireMemberKey.KIND:
        return RetireMemberKey(member.serial, name, member.keys[-1].public_key, 0, ())
    if kind == RemoveMember.KIND:
        return RemoveMember(serial, name, ())
    if kind == ActivateContracts.KIND:
        sources = {"__init__.py": f"# {number}".encode()}
        return ActivateContracts(serial, bundle.version_of(sources), bundle.to_bytes(sources), None, b"", ())
    return SetQuorum(serial, dice(3), ())

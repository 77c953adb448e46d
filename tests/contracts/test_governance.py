"""Whatever is asked in whatever order, too few members change nothing and no approval counts twice."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import approvals
from contracts.approvals import COSIGN, GOVERN
from contracts.effects import Effects
from contracts.governed import (
    AddMemberKey,
    AdmitMember,
    Approvals,
    ChangeMember,
    Governed,
    RemoveMember,
    RetireMemberKey,
    SetQuorum,
)
from contracts.memory import Memory
from contracts.state import Member
from contracts.wire import signatures
from tests.contracts.members import (
    ORIGIN,
    ROLES,
    YEAR_S,
    a_candidate,
    a_new_key,
    a_seed,
    an_open_ledger,
    member_of,
    members_of,
    public_key,
    tell,
)

NAMES = tuple(ROLES)


class Council:
    """A ledger, its members by name, and everything that anybody ever signed."""

    def __init__(self, dice: random.Random) -> None:
        self.view = an_open_ledger()
        self.dice = dice
        self.signed: list[Approvals] = []
        self.spent: set[bytes] = set()
        self.keys = 0

    def command(self) -> Governed:
        dice, view, name = self.dice, self.view, self.dice.choice(NAMES)
        serial = members_of(view).serial - (dice.random() < 0.1)
        known = view.get(f"member/{name}")
        if not isinstance(known, Member):
            return a_candidate(name, serial=serial, at_s=view.at_s)
        own = known.serial - (dice.random() < 0.1)
        self.keys += 1
        new_key = a_new_key(view, name, f"{name} key {self.keys}", use=dice.choice((GOVERN, COSIGN)))
        old_key = dice.choice(known.keys).public_key
        return dice.choice(
            (
                replace(new_key, serial=own),
                replace(new_key, serial=own),
                RetireMemberKey(own, name, old_key, view.at_s + dice.randrange(-9, 99), ()),
                RemoveMember(serial, name, ()),
                SetQuorum(serial, dice.randrange(4), ()),
                ChangeMember(serial, name, "Renamed", known.role, "", known.cosign_name, ()),
            )
        )

    def approved(self, command: Governed) -> Governed:
        """Signed by some with keys that they have, had or never had, or with what was signed for something else."""
        if self.signed and self.dice.random() < 0.15:
            return replace(command, approvals=self.dice.choice(self.signed))
        message = approvals.approve_bytes(ORIGIN, command)
        voters = self.dice.sample(NAMES, self.dice.randrange(len(NAMES) + 1))
        given = tuple((name, signatures.sign(self.seed(name, command), message)) for name in voters)
        self.signed.append(given)
        return replace(command, approvals=given)

    def seed(self, name: str, command: Governed) -> bytes:
        known = self.view.get(f"member/{name}")
        keys = known.keys if isinstance(known, Member) else ()
        mine = [f"{name} {GOVERN}", *(f"{name} key {number}" for number in range(1, self.keys + 1))]
        owned = {public_key(seed): seed for seed in mine}
        valid = [owned[key.public_key] for key in keys if key.public_key in owned and key.is_valid(self.view.at_s)]
        return a_seed(self.dice.choice(valid or mine) if self.dice.random() < 0.95 else f"{name} {COSIGN}")

    def approvers(self, before: Memory, command: Governed) -> set[str]:
        """Who of those present before really signed with a key for it: counted here by itself, not by the contract."""
        message = approvals.approve_bytes(ORIGIN, command)
        return {
            name
            for name, signature in command.approvals
            if name in members_of(before).members
            and any(
                key.use == GOVERN
                and key.from_s <= before.at_s < key.until_s
                and signatures.verify(key.public_key, message, signature)
                for key in member_of(before, name).keys
            )
        }


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_fewer_than_enough_present_members_change_nothing_and_no_approval_counts_twice(seed: int):
    council = Council(random.Random(seed))
    for _ in range(40):
        if council.dice.random() < 0.05:
            council.view.at_s += YEAR_S // 2
        before = Memory(council.view.programme, council.view.at_s, council.view.index, dict(council.view.rows))
        command = council.approved(council.command())

        answer = tell(council.view, command)

        if not isinstance(answer, Effects):
            assert council.view.rows == before.rows
            continue
        present = members_of(before).members
        approvers = council.approvers(before, command)
        alone = isinstance(command, AddMemberKey | RetireMemberKey) and command.member_id in approvers
        majority = 2 * len(approvers) > len(present)
        founding = isinstance(command, AdmitMember) and not present
        assert alone or majority or founding
        if isinstance(command, AdmitMember):
            assert command.member_id in {name for name, _ in command.approvals}
        used = {signature for _, signature in command.approvals}
        assert not used & council.spent
        council.spent |= used
        assert members_of(council.view).members

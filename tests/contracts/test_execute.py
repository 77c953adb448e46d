"""The one door: whatever is asked, the answer is effects or a rejection, and never an exception."""

import random
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import effects, execute
from contracts.checkout import ExpireHold
from contracts.commands import BY_KIND, Command
from contracts.effects import Effects, Reason, Rejected
from contracts.memory import Memory
from contracts.state import ZERO_HASH, Row
from tests.contracts.builders import CODE, a_gap_message, a_ledger, a_message, a_record, buy, with_cents, with_sparks
from tests.contracts.story import FREQUENT, MAKERS, a_town

NAMES = ("ann", "unit-1", "SHOP", "TILL", "sale", "saver", "verified", "toronto", "", "Ünit/1")
BYTES = (CODE, b"k" * 32, ZERO_HASH, b"", a_message(), a_gap_message(1, 3))
POOLS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.sampled_from(NAMES),
    bytes: st.sampled_from(BYTES) | st.binary(max_size=40),
    int: st.sampled_from([-1, 0, 1, 2, 3_600, 10_000]) | st.integers(),
}


def a_busy_ledger() -> Memory:
    """Ann holds unit-1 and has a hold of 10 cents called `sale`."""
    view = with_cents(100)
    buy(view, 10, capture=False)
    return view


def of_kind(kind: type[Command]) -> st.SearchStrategy[Command]:
    hints = get_type_hints(kind)
    types = [hints[field.name] for field in fields(kind)]
    return st.builds(kind, *(POOLS[of] if of in POOLS else st.from_type(of) for of in types))


@pytest.mark.parametrize("kind", sorted(BY_KIND))
@given(data=st.data())
@settings(max_examples=30)
def test_any_values_in_a_command_are_answered(kind: str, data: st.DataObject):
    view = a_busy_ledger()
    rows = dict(view.rows)

    answer = execute.execute(view, data.draw(of_kind(BY_KIND[kind])))

    assert view.rows == rows
    if isinstance(answer, Effects):
        assert effects.to_bytes(answer, command_salt=b"", rows=effects.row_bytes(answer))
    else:
        assert isinstance(answer.reason, Reason)


class Watched(Memory):
    """A memory that notes which keys are read."""

    __slots__ = ("read",)

    def __init__(self, of: Memory) -> None:
        super().__init__(of.programme, of.at_s, of.index, of.rows)
        self.read: set[str] = set()

    def get(self, key: str) -> Row | None:
        self.read.add(key)
        return super().get(key)


def test_what_a_command_is_said_to_read_first_it_does_read():
    story, dice = a_town(deposit_cents=100), random.Random(7).randrange
    kinds = (*MAKERS, *FREQUENT)
    for _ in range(600):
        command = story.command(kinds[dice(len(kinds))], dice)
        watched = Watched(story.view)
        if isinstance(execute.execute(watched, command), Effects):
            assert set(execute.first_reads(command)) <= watched.read
        story.tell(command)
        story.wait(dice)


def test_a_rejection_says_why_and_nothing_of_the_state():
    answer = execute.execute(a_ledger(), ExpireHold("none"))

    assert answer == Rejected(Reason.UNKNOWN_AUTHORIZATION)


def test_the_contract_set_s_version_is_of_its_code_and_its_parameters():
    assert len(execute.version()) == 32
    assert execute.version() == execute.version("ontario")
    with pytest.raises(FileNotFoundError):
        execute.version("atlantis")


def test_the_second_reads_of_a_pack_are_the_rows_of_its_units_holder() -> None:
    view = with_sparks(a_ledger(), hours=1)

    keys = execute.second_reads(view, a_record(2))

    assert [type(view.rows[key]).__name__ for key in keys] == ["Customer", "Earnings", "Avoided", "Account"]


def test_a_pack_that_begins_a_day_reads_what_was_filed_on_it() -> None:
    view = a_ledger(claimed=False)

    (key,) = execute.second_reads(view, a_record())

    assert key.startswith("day/")

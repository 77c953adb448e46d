"""The re-executed state keeps what is known now, and remembers which numbers were decided without keeping the packs."""

from hypothesis import given
from hypothesis import strategies as st

from contracts import state
from contracts.state import Account, Decided
from services.ledger.reexecution import Replayed, Written


def decided(seq: int, *, refusal: str = "") -> dict[str, state.Row | None]:
    return {state.pack_key("unit-1", seq): Decided(bytes(32), refusal, 0, 0, 0)}


@given(st.sets(st.integers(1, 60)))
def test_exactly_the_decided_numbers_are_known(numbers: set[int]):
    replayed = Replayed()

    for seq in sorted(numbers):
        list(replayed.apply(decided(seq)))

    assert {seq for seq in range(-1, 70) if replayed.is_decided("unit-1", seq)} == numbers
    assert not replayed.is_decided("unit-2", 1)


def test_an_accepted_pack_is_handed_out_and_a_refused_one_kept():
    replayed = Replayed()

    accepted = list(replayed.apply(decided(1)))
    refused = list(replayed.apply(decided(2, refusal="too_late")))

    assert ([key for key, _ in accepted], refused) == (["pack/unit-1/1"], [])
    assert [key for key, _ in replayed.remaining()] == ["pack/unit-1/2"]


def test_a_row_has_the_index_of_the_entry_that_last_wrote_it_until_it_is_dropped():
    replayed = Replayed()

    for replayed.index, row in ((3, Account(1)), (7, Account(2))):
        list(replayed.apply({"account/spark/fees": row}))
    assert replayed.pop("account/spark/fees") == Written(Account(2), 7)

    list(replayed.apply({"account/spark/fees": None}))
    assert replayed.get("account/spark/fees") is None

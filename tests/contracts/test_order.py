"""Messages of one unit in any order: the same decisions in the end, and nothing is stuck."""

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import recording, state
from contracts.commands import DeclareLost, RecordPack
from contracts.effects import Effects, Rejected
from contracts.memory import Memory
from contracts.state import ZERO_HASH, Decided
from contracts.units import DAY_S
from contracts.wire.packs import Interval
from tests.contracts.builders import (
    MONDAY_NOON_S,
    a_gap,
    a_malformed_message,
    a_record,
    an_interval,
    decided,
    do,
    hash_of,
    late_ledger,
    meter,
)

FIVE_MINUTES_S = 300
OTHER = b"\x07" * 32


class Parking:
    """What an ingestion does with one unit's messages, as far as the order is concerned."""

    def __init__(self, view: Memory) -> None:
        self.view = view
        self.parked: dict[int, RecordPack] = {}

    def receive(self, message: RecordPack | DeclareLost) -> None:
        if isinstance(message, DeclareLost):
            do(self.view, DeclareLost(message.device_id, message.message, tuple(sorted(self.parked))))
        else:
            answer = do(self.view, message)
            content = recording.content_of(message.message)
            if isinstance(answer, Rejected) and answer.reason == "too_early" and content is not None:
                self.parked.setdefault(content.seq or 0, message)
        while (waiting := self.parked.pop(meter(self.view).seq + 1, None)) is not None:
            assert isinstance(do(self.view, waiting), Effects)


def a_history(lost: set[int], bad: set[int], length: int) -> list[RecordPack]:
    """What is left of a unit's packs: some lost on the way, some refused, their chain intact."""
    chain: list[RecordPack] = []
    for k in range(length):
        prev = hash_of(chain[-1]) if chain else ZERO_HASH
        load_wh = -1 if k + 1 in bad else 100
        start_s = MONDAY_NOON_S + FIVE_MINUTES_S * k
        chain.append(a_record(k + 1, prev, Interval(start_s, FIVE_MINUTES_S, 100, load_wh, 0, 0, 0, 0)))
    return [pack for seq, pack in enumerate(chain, start=1) if seq not in lost]


NUMBERS = st.sets(st.integers(1, 10))


@given(lost=NUMBERS, bad=NUMBERS, data=st.data())
@settings(max_examples=100)
def test_any_order_of_any_messages_ends_in_the_same_decisions(lost: set[int], bad: set[int], data: st.DataObject):
    sent = a_history(lost, bad, 10)
    gap = a_gap(min(lost, default=1), 11)
    in_order, shuffled = Parking(late_ledger()), Parking(late_ledger())
    messages: list[RecordPack | DeclareLost] = [*sent, gap]
    for message in messages:
        in_order.receive(message)

    repeats = data.draw(st.lists(st.sampled_from(sent), max_size=4)) if sent else []
    messages = [*data.draw(st.permutations(sent + repeats)), gap]
    for message in messages:
        shuffled.receive(message)

    assert not shuffled.parked
    assert meter(shuffled.view).seq == 10
    assert decisions(shuffled.view) == decisions(in_order.view)


def decisions(view: Memory) -> dict[str, object]:
    """All that is known at the end, but for which entry did it."""
    return {
        "packs": [(row.sha256, row.refusal, row.start_s) if (row := decided(view, seq)) else None for seq in range(12)],
        "meter": (meter(view).hash, meter(view).last_end_s, meter(view).day_micro_sparks, meter(view).day_runs),
        "earned": view.rows.get(state.earnings_key("ann")),
    }


def any_message() -> st.SearchStrategy[RecordPack | DeclareLost]:
    seqs = st.integers(1, 9)
    prevs = st.sampled_from([ZERO_HASH, OTHER])
    starts = st.sampled_from([MONDAY_NOON_S, MONDAY_NOON_S + FIVE_MINUTES_S, MONDAY_NOON_S - 40 * DAY_S])
    sound = st.builds(
        lambda seq, prev, start: a_record(seq, prev, an_interval(start, duration_s=300)), seqs, prevs, starts
    )
    bad = st.builds(lambda seq, prev: RecordPack("unit-1", a_malformed_message(seq, prev)), seqs, prevs)
    return sound | bad | st.builds(a_gap, seqs, seqs)


@given(st.lists(any_message(), max_size=25))
@settings(max_examples=100)
def test_whatever_comes_every_number_up_to_the_last_is_decided_once_or_void(messages):
    parking = Parking(late_ledger())
    decided_once: dict[int, Decided] = {}
    for message in messages:
        seq_before = meter(parking.view).seq
        parking.receive(message)
        assert meter(parking.view).seq >= seq_before
        for seq in range(1, 11):
            row = decided(parking.view, seq)
            if row is not None:
                assert seq <= meter(parking.view).seq
                assert decided_once.setdefault(seq, row) == row

    # Nothing is stuck: one gap pack ends what is still missing, and what is parked follows.
    parking.receive(a_gap(1, 11))
    assert (meter(parking.view).seq, parking.parked, meter(parking.view).voids) == (10, {}, ())

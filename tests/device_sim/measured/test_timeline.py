"""The order of rows, and the clock that follows them."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from contracts.units import DAY_S
from contracts.wire.packs import Interval
from device_sim.measured.rows import DEFAULT_ZONE, MeasuredHome, Row
from device_sim.measured.timeline import Timeline, Turn

YEAR_S = 365 * DAY_S


def a_home(name: str, *starts_s: int) -> MeasuredHome:
    intervals = [Interval(start_s, 300, 0, 0, 0, 0, 0, 0) for start_s in starts_s]
    rows = tuple(Row(Path("flows.csv"), line, interval) for line, interval in enumerate(intervals, start=2))
    return MeasuredHome(
        name=name,
        pv_nameplate_w=0,
        battery_capacity_wh=0,
        battery_power_w=0,
        zone=DEFAULT_ZONE,
        rows=rows,
    )


def played(*homes: MeasuredHome) -> list[tuple[str, int, int]]:
    """Return name, start and clock of each turn, on a platform that accepts what is not ahead of the clock."""
    timeline = Timeline(homes, catch_up=lambda: None)
    turns = []
    for turn in timeline:
        turns.append((turn.home.name, turn.row.start_s, turn.clock_s))
        if turn.row.end_s <= turn.clock_s:
            timeline.accepted(turn)
    return turns


def test_the_home_whose_next_row_starts_earliest_is_sent_first_and_ties_go_by_name() -> None:
    turns = played(a_home("b", 0, 300, 600), a_home("a", 300, 900))

    assert [turn[:2] for turn in turns] == [("b", 0), ("a", 300), ("b", 300), ("b", 600), ("a", 900)]


def test_within_a_home_rows_keep_the_order_of_the_file() -> None:
    assert [start_s for _, start_s, _ in played(a_home("a", 600, 0, 900, 300))] == [600, 0, 900, 300]


def test_the_clock_is_the_largest_end_sent_so_far() -> None:
    assert [clock_s for _, _, clock_s in played(a_home("a", 600, 0, 900))] == [900, 900, 1200]


def test_a_year_mistyped_once_does_not_move_the_clock() -> None:
    assert played(a_home("a", 0, YEAR_S, 300)) == [("a", 0, 300), ("a", YEAR_S, 300), ("a", 300, 600)]


def test_a_long_gap_in_a_home_moves_the_clock_because_its_next_row_goes_on_from_there() -> None:
    assert [clock_s for _, _, clock_s in played(a_home("a", 0, YEAR_S, YEAR_S))] == [300, *[YEAR_S + 300] * 2]


def test_a_leap_that_no_later_row_confirms_does_not_move_the_clock() -> None:
    assert [clock_s for _, _, clock_s in played(a_home("a", 0, YEAR_S))] == [300, 300]


def test_thirty_days_after_the_last_accepted_end_is_no_leap_yet() -> None:
    at_most_s = 300 + 30 * DAY_S

    assert played(a_home("a", 0, at_most_s, 300))[1][2] == at_most_s + 300
    assert played(a_home("a", 0, at_most_s + 1, 300))[1][2] == 300


def test_a_home_of_which_nothing_was_accepted_is_measured_against_the_others() -> None:
    turns = played(a_home("a", 0, 300), a_home("b", YEAR_S, 600))

    assert turns == [("a", 0, 300), ("a", 300, 600), ("b", YEAR_S, 600), ("b", 600, 900)]


def test_the_first_row_of_all_sets_the_clock_whenever_it_was_measured() -> None:
    assert played(a_home("a", YEAR_S, 0))[0] == ("a", YEAR_S, YEAR_S + 300)


def test_a_leap_is_counted_from_what_was_accepted_not_from_what_was_sent() -> None:
    timeline = Timeline([a_home("a", 0, 20 * DAY_S, 40 * DAY_S, 300)], catch_up=lambda: None)
    clocks_s = []
    for turn in timeline:
        clocks_s.append(turn.clock_s)
        if turn.row.start_s == 0:
            timeline.accepted(turn)

    assert clocks_s == [300, 20 * DAY_S + 300, 20 * DAY_S + 300, 20 * DAY_S + 300]


@given(st.lists(st.lists(st.integers(0, 3 * YEAR_S), max_size=8), max_size=5))
def test_every_row_has_one_turn_and_the_clock_never_goes_back(homes: list[list[int]]) -> None:
    turns = played(*[a_home(f"home-{number}", *starts_s) for number, starts_s in enumerate(homes)])

    clocks_s = [clock_s for _, _, clock_s in turns]
    assert clocks_s == sorted(clocks_s)
    for number, starts_s in enumerate(homes):
        assert [start_s for name, start_s, _ in turns if name == f"home-{number}"] == starts_s


@given(st.lists(st.lists(st.integers(0, YEAR_S), max_size=8), max_size=4))
def test_a_sender_that_hears_of_acceptance_only_when_it_catches_up_gets_the_same_turns(homes: list[list[int]]) -> None:
    made = [a_home(f"home-{number}", *starts_s) for number, starts_s in enumerate(homes)]
    waiting: list[Turn] = []

    def catch_up() -> None:
        for turn in waiting:
            if turn.row.end_s <= turn.clock_s:
                timeline.accepted(turn)
        waiting.clear()

    timeline = Timeline(made, catch_up=catch_up)
    turns = []
    for turn in timeline:
        turns.append((turn.home.name, turn.row.start_s, turn.clock_s))
        waiting.append(turn)

    assert turns == played(*made)

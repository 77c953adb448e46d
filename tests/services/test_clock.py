"""Clocks that never go back."""

import pytest

from services.clock import SimulatedClock, SystemClock


class Hands:
    """The machine's two clocks, moved by the test."""

    def __init__(self) -> None:
        self.wall_s = 1_782_810_000.5
        self.monotonic_s = 77.0

    def clock(self) -> SystemClock:
        return SystemClock(wall=lambda: self.wall_s, monotonic=lambda: self.monotonic_s)

    def move(self, s: float) -> None:
        self.wall_s += s
        self.monotonic_s += s


def test_the_system_clock_starts_at_the_wall_clock_and_goes_on():
    hands = Hands()
    clock = hands.clock()
    assert clock.now_s() == 1_782_810_000

    hands.move(10)

    assert clock.now_s() == 1_782_810_010
    assert clock.drift_s() == 0
    assert not clock.is_adrift()


@pytest.mark.parametrize(("jump_s", "is_adrift"), [(60, False), (61, True), (-60, False), (-86_400, True)])
def test_a_wall_clock_that_jumps_is_reported_and_not_followed(jump_s, is_adrift):
    hands = Hands()
    clock = hands.clock()

    hands.wall_s += jump_s

    assert clock.now_s() == 1_782_810_000
    assert clock.drift_s() == jump_s
    assert clock.is_adrift() == is_adrift


def test_the_machines_own_clocks_are_the_default():
    assert abs(SystemClock().drift_s()) <= 1


def test_a_simulated_clock_stands_until_it_is_moved_and_never_goes_back():
    clock = SimulatedClock(100)

    clock.advance_to(250)
    clock.advance_to(200)

    assert clock.now_s() == 250


def test_a_simulated_clock_that_runs_goes_on_from_where_it_stands():
    hands = Hands()
    clock = SimulatedClock(100, monotonic=lambda: hands.monotonic_s)
    clock.advance_to(200)
    hands.move(1_000)

    clock.run()
    clock.run()
    hands.move(5)
    assert clock.now_s() == 205

    clock.advance_to(203)
    assert clock.now_s() == 205
    clock.advance_to(300)
    hands.move(7)
    assert clock.now_s() == 307

"""The order in which the rows of many homes are sent, and the simulated clock that follows them.

File order within a home; among homes the one whose next row starts earliest, ties by name. The clock is the largest
end sent so far, with one exception: a row that starts more than 30 days after the last accepted one moves it only
if the home has a next readable row and that is not earlier. One mistyped year then meets a clock that is behind it,
instead of carrying the clock away from all the rows that follow.

"The last accepted one" is the home's own. A home of which nothing was accepted yet is measured against the latest
end accepted of any; as long as nothing was accepted at all, every row moves the clock.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from contracts.units import DAY_S
from device_sim.measured.rows import MeasuredHome, Row

LEAP_S_MAX: Final = 30 * DAY_S


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose row is sent next, and what the clock shows (UTC seconds) when it is."""

    home: MeasuredHome
    row: Row
    clock_s: int


class Timeline:
    """Iterate to get the turns; report with `accepted` which of them the platform took.

    catch_up  is called before a leap is judged, and returns once `accepted` was called for every turn taken so far
              that was accepted; so a sender need not wait for each answer
    """

    def __init__(self, homes: Sequence[MeasuredHome], *, catch_up: Callable[[], None]) -> None:
        self._homes: Final = {home.name: home for home in homes}
        self._catch_up: Final = catch_up
        self._clock_s: int | None = None
        self._accepted_end_s: dict[str, int] = {}

    def accepted(self, turn: Turn) -> None:
        """Remember that the platform accepted this row: leaps are counted from its end."""
        before_s = self._accepted_end_s.get(turn.home.name, turn.row.end_s)
        self._accepted_end_s[turn.home.name] = max(before_s, turn.row.end_s)

    def __iter__(self) -> Iterator[Turn]:
        """Yield every readable row once."""
        waiting = [(home.rows[0].start_s, name, 0) for name, home in self._homes.items() if home.rows]
        heapify(waiting)
        while waiting:
            _, name, index = heappop(waiting)
            home = self._homes[name]
            following = home.rows[index + 1] if index + 1 < len(home.rows) else None
            yield Turn(home, home.rows[index], self._tick(home, home.rows[index], following))
            if following is not None:
                heappush(waiting, (following.start_s, name, index + 1))

    def _tick(self, home: MeasuredHome, row: Row, following: Row | None) -> int:
        """Return what the clock shows when `row` is sent, having moved it if the row may.

        Nothing follows a home's last row, so nothing confirms it: if it leaps, the clock stays. It is sent all the
        same, and refused as ahead of the clock, unless other homes have taken the clock that far.
        """
        if self._clock_s is None:
            self._clock_s = row.end_s
        elif not self._is_leap(home, row) or (following is not None and following.start_s >= row.start_s):
            self._clock_s = max(self._clock_s, row.end_s)
        return self._clock_s

    def _is_leap(self, home: MeasuredHome, row: Row) -> bool:
        # What was accepted since the last report can only turn a leap into none, once anything was accepted.
        if not self._accepted_end_s or row.start_s - self._latest_s(home, row) > LEAP_S_MAX:
            self._catch_up()
        return row.start_s - self._latest_s(home, row) > LEAP_S_MAX

    def _latest_s(self, home: MeasuredHome, row: Row) -> int:
        return self._accepted_end_s.get(home.name, max(self._accepted_end_s.values(), default=row.start_s))

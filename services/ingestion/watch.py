"""Which units to look at again, and when: a number is missing, a pack waits, or more can be decided at once.

Pure: moments come as arguments, in seconds of a clock that goes on steadily. What is here can be lost; it begins
again from the parking place.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from contracts.units import UnixSeconds

MISSING_S_MIN: Final = 0.5
"""interfaces.md 1, step 3: how long a number is missing before it is asked for."""

ASK_PAUSE_S: Final = 30
"""At most one resend command to a unit in this time."""


@dataclass(slots=True)
class Watched:
    """One unit that is watched.

    heard_seq   the highest number that it surely has
    next_seq    the number that is missing, as seen last
    since_s     since when
    asked_s     when we asked for it last, or None
    heard_s     when it spoke last
    look_at_s   when to look, or None: once it speaks
    due_s       ledger time for which its next pack waits, or None
    """

    heard_seq: int = 0
    next_seq: int = 0
    since_s: float = 0.0
    asked_s: float | None = None
    heard_s: float = 0.0
    look_at_s: float | None = None
    due_s: UnixSeconds | None = None


@dataclass(slots=True)
class Watch:
    """The units that are watched, by id, and when each is to be looked at."""

    units: dict[str, Watched] = field(default_factory=dict)
    _agenda: list[tuple[float, str]] = field(default_factory=list)
    _calendar: list[tuple[UnixSeconds, str]] = field(default_factory=list)

    def hear(self, device_id: str, seq: int, now_s: float) -> None:
        """The unit spoke, and has number `seq`, which is not decided."""
        watched = self.units.get(device_id)
        if watched is None:
            watched = self.units[device_id] = Watched(since_s=now_s)
        watched.heard_seq = max(watched.heard_seq, seq)
        watched.heard_s = now_s
        earliest_s = watched.since_s + MISSING_S_MIN if watched.asked_s is None else watched.asked_s + ASK_PAUSE_S
        self.look_at(device_id, max(now_s, earliest_s))

    def look_at(self, device_id: str, at_s: float) -> None:
        """Look at the unit at `at_s`, unless that is to be earlier anyway."""
        watched = self.units.setdefault(device_id, Watched(since_s=at_s))
        if watched.look_at_s is None or at_s < watched.look_at_s:
            watched.look_at_s = at_s
            heapq.heappush(self._agenda, (at_s, device_id))

    def look_at_all(self, device_ids: Iterable[str], at_s: float) -> None:
        """`look_at` for each."""
        for device_id in device_ids:
            self.look_at(device_id, at_s)

    def due(self, now_s: float, limit: int) -> list[str]:
        """Up to `limit` units that are to be looked at now; each comes once."""
        found: list[str] = []
        while self._agenda and self._agenda[0][0] <= now_s and len(found) < limit:
            at_s, device_id = heapq.heappop(self._agenda)
            watched = self.units.get(device_id)
            if watched is not None and watched.look_at_s == at_s:
                watched.look_at_s = None
                found.append(device_id)
        return found

    def wait_until(self, device_id: str, due_s: UnixSeconds) -> None:
        """The unit's next pack waits for this ledger time."""
        watched = self.units[device_id]
        if watched.due_s != due_s:
            watched.due_s = due_s
            heapq.heappush(self._calendar, (due_s, device_id))

    def come_due(self, ledger_s: UnixSeconds) -> set[str]:
        """The units whose next pack has waited long enough at this ledger time; each comes once."""
        found = set()
        while self._calendar and self._calendar[0][0] <= ledger_s:
            due_s, device_id = heapq.heappop(self._calendar)
            watched = self.units.get(device_id)
            if watched is not None and watched.due_s == due_s:
                watched.due_s = None
                found.add(device_id)
        return found

    def is_missing(self, device_id: str, next_seq: int, now_s: float) -> bool:
        """Number `next_seq` is missing; say whether to ask for it now, and see to it that it is looked at again."""
        watched = self.units[device_id]
        if watched.next_seq != next_seq:
            # The first missing number counts from when the gap was seen, each later one from when it became the first.
            watched.since_s = now_s if watched.next_seq else watched.since_s
            watched.next_seq = next_seq
        if now_s - watched.since_s < MISSING_S_MIN:
            self.look_at(device_id, watched.since_s + MISSING_S_MIN)
            return False
        # What we asked for may lie at the broker while the unit is away: asking again before it spoke would make it
        # answer several times at once, and give up a number that it has.
        return watched.asked_s is None or watched.heard_s > watched.asked_s

    def asked(self, device_id: str, now_s: float) -> None:
        """The unit was asked."""
        self.units[device_id].asked_s = now_s

    def forget(self, device_id: str) -> None:
        """Nothing of it waits or is missing."""
        self.units.pop(device_id, None)

"""What time it is: the machine's, or a simulated one that a demo or replay moves.

Owns where moments come from. Refuses to be asked by a contract: there, time is an argument.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from contracts.units import Seconds, UnixSeconds

DRIFT_S_MAX: Final[Seconds] = 60
"""interfaces.md 1, step 4: a wall clock further away raises an alarm and is not followed."""


class Clock(Protocol):
    """Anything that tells the time and never goes back."""

    def now_s(self) -> UnixSeconds:
        """UTC now, in whole Unix seconds."""
        ...


class SystemClock:
    """The wall clock at the start, and from then on the monotonic one: a jump of the wall clock is not followed."""

    def __init__(
        self, *, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead_of_monotonic = wall() - monotonic()

    def now_s(self) -> UnixSeconds:
        return int(self._monotonic() + self._ahead_of_monotonic)

    def drift_s(self) -> Seconds:
        """How far the wall clock has gone ahead of this one (below zero: behind)."""
        return int(self._wall() - self._monotonic() - self._ahead_of_monotonic)

    def is_adrift(self) -> bool:
        """Has the wall clock gone so far away that somebody must look?"""
        return abs(self.drift_s()) > DRIFT_S_MAX


class SimulatedClock:
    """A clock that stands until it is moved, and never goes back. Threads may share it."""

    def __init__(self, start_s: UnixSeconds, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._at_s = start_s
        self._running_since: float | None = None

    def now_s(self) -> UnixSeconds:
        with self._lock:
            return self._now_s()

    def advance_to(self, at_s: UnixSeconds) -> None:
        """Move on to `at_s`; a moment that has passed changes nothing."""
        with self._lock:
            if at_s <= self._now_s():
                return
            self._at_s = at_s
            if self._running_since is not None:
                self._running_since = self._monotonic()

    def run(self) -> None:
        """Let it go on in real time from where it stands."""
        with self._lock:
            if self._running_since is None:
                self._running_since = self._monotonic()

    def _now_s(self) -> UnixSeconds:
        if self._running_since is None:
            return self._at_s
        return self._at_s + int(self._monotonic() - self._running_since)

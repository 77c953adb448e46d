"""What the tests of a takeover wait for."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

TAKEOVER_S_MAX: Final = 20.0
"""Far above the 5 s that it may take: only a takeover that does not come meets it."""
POLL_S: Final = 0.02


def wait_until(happened: Callable[[], bool], *, within_s: float = TAKEOVER_S_MAX) -> float:
    """Return after how many seconds it has happened; fails if it does not."""
    start, pause = monotonic(), threading.Event()
    while not happened():
        assert monotonic() - start < within_s, f"it did not happen within {within_s} s"
        pause.wait(POLL_S)
    return monotonic() - start

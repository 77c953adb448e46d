"""What the tests of a takeover wait for and look at."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

from sqlalchemy import Engine, select

from services import database
from services.ledger.tables import EPOCHS

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


def epochs(engine: Engine) -> list[tuple[int, str, int]]:
    """Epoch, holder and first entry of each."""
    with database.reading(engine) as session:
        columns = (EPOCHS.c.epoch, EPOCHS.c.holder, EPOCHS.c.first_index)
        found = session.execute(select(*columns).order_by(EPOCHS.c.epoch))
        return [(epoch, holder, first) for epoch, holder, first in found]

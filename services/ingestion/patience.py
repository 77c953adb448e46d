"""Waiting for the ledger or the database to come back: again and again, less and less often, until it does."""

from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from services.database import DatabaseUnavailable
from services.ledger.client import LedgerUnavailable

T = TypeVar("T")

PAUSE_S_FIRST: Final = 0.05
PAUSE_S_MAX: Final = 2.0

log = structlog.get_logger(__name__)


class Stopping(Exception):
    """The program is to end while something was waited for; nothing of it was acknowledged."""


class Patience:
    """Calls until it is answered.

    pause  waits that many seconds; returns True at once if the program is to end
    """

    def __init__(self, pause: Callable[[float], bool]) -> None:
        self._pause = pause
        self.is_waiting = False

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns once it neither raises LedgerUnavailable nor DatabaseUnavailable."""
        pause_s = PAUSE_S_FIRST
        while True:
            try:
                answer = function()
            except (LedgerUnavailable, DatabaseUnavailable) as error:
                if not self.is_waiting:
                    log.warning("waiting", error=str(error))
                self.is_waiting = True
            else:
                self.is_waiting = False
                return answer
            self.rest(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def rest(self, pause_s: float) -> None:
        """Wait; raises Stopping if the program is to end."""
        if self._pause(pause_s):
            raise Stopping

"""Publishes each day's statement once the day is over, for as long as a program runs."""

import threading
from typing import Final

import structlog

from contracts.units import LocalDay
from services.database import DatabaseUnavailable
from services.ledger.client import LedgerUnavailable
from services.problems import Problem
from services.statements.publishing import Publishing

LOOK_S: Final = 60.0
STOP_S_MAX: Final = 10.0
"""A tree over a million balances takes longer; it is begun again from its seed."""

log = structlog.get_logger()


class Daily:
    """A thread that looks once a minute; several programs may: a statement is published once."""

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self._done: LocalDay | None = None
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="statements", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is cut off is gone on with at the next start."""
        self._is_stopping.set()
        self._thread.join(STOP_S_MAX)

    def look(self) -> None:
        """Publish yesterday's statement unless it is. Raises Problem, LedgerUnavailable, DatabaseUnavailable."""
        day = self._publishing.yesterday()
        if day == self._done or day < self._publishing.opened_on():
            return
        if not self._publishing.is_done(day):
            self._publishing.publish(day)
        self._done = day

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except (LedgerUnavailable, DatabaseUnavailable) as error:
                log.warning("statement_waits", error=str(error))
            except Problem as problem:
                log.error("statement_refused", code=problem.document["code"])
            if self._is_stopping.wait(LOOK_S):
                return

"""Moves payloads until it kills itself: `python -m tests.services.ledger.crashing_archiver URL FOLDER MOMENT`."""

import os
import signal
import sys
from pathlib import Path

from sqlmodel import Session

from services import database
from services.ledger import archiving
from services.ledger.segments import Written
from tests.services.ledger.builders import NOON_S

ENTRIES_EACH = 32


def strike(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def meet(moment: str) -> None:
    """Have it end at this moment of the first segment."""
    take_out = archiving._take_out

    def taken_out(session: Session, written: Written, now_s: int) -> None:
        take_out(session, written, now_s)
        strike()

    if moment == "in_file":
        os.fsync = strike
    if moment == "before_transaction":
        archiving._take_out = strike
    if moment == "before_commit":
        archiving._take_out = taken_out


def main() -> None:
    url, folder, moment = sys.argv[1:]
    meet(moment)
    engine = database.engine(url, segments=Path(folder))
    archiving.archive(
        engine,
        before_s=NOON_S + 1,
        now_s=NOON_S,
        entries_each=ENTRIES_EACH,
        on_progress=strike if moment == "after_commit" else lambda _done, _total: None,
    )


if __name__ == "__main__":
    main()

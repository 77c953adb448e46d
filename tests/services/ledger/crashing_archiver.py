"""Moves payloads until it kills itself: `python -m tests.services.ledger.crashing_archiver URL FOLDER MOMENT`."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine
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

    def taken_out(session: Session, inside: range, written: Sequence[Written], now_s: int, *, is_part: bool) -> None:
        take_out(session, inside, written, now_s, is_part=is_part)
        strike()

    done = archiving._let_go

    def let_go(engine: Engine, inside: range, written: Sequence[Written], now_s: int, *, is_part: bool) -> None:
        done(engine, inside, written, now_s, is_part=is_part)
        strike()

    if moment == "in_file":
        os.fsync = strike
    if moment == "before_transaction":
        archiving._take_out = strike
    if moment == "after_commit":
        archiving._let_go = let_go
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
        on_progress=lambda _done, _total: None,
    )


if __name__ == "__main__":
    main()

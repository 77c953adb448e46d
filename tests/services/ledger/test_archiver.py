"""The ledger moves what is old by itself, and never waits for it."""

from pathlib import Path

import pytest

from contracts.units import DAY_S
from services.ledger.archiver import Archiver
from tests.services.ledger.builders import Books, fund, running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "segments"


def an_archiver(books: Books, *, days: int | None, later_days: int = 0, may_run: bool = True) -> Archiver:
    def now_s() -> int:
        return books.clock.now_s() + later_days * DAY_S

    return Archiver(
        books.engine,
        older_than_days=days,
        now_s=now_s,
        size=books.queries.size,
        may_run=lambda: may_run,
        entries_each=32,
    )


@pytest.mark.parametrize(
    ("choices", "moves"),
    [
        ({"days": 30, "later_days": 31}, True),
        ({"days": 30, "later_days": 29}, False),
        ({"days": None, "later_days": 9_999}, False),
        ({"days": 30, "later_days": 31, "may_run": False}, False),
    ],
)
def test_what_is_older_than_the_setting_moves_while_this_process_writes(sqlite_url, folder, choices, moves):
    with running(sqlite_url, segments=folder) as books:
        books.accept(*(fund(more) for more in range(1, 40)))

        an_archiver(books, **choices).round()

    assert bool(list(folder.glob("*.segment"))) == moves


def test_it_starts_and_stops(sqlite_url, folder):
    with running(sqlite_url, segments=folder) as books:
        archiver = an_archiver(books, days=30)
        archiver.start()
        archiver.stop()

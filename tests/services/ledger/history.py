"""A long history that is the same in every process: homes that tell their day, batch after batch."""

from collections.abc import Iterator
from typing import Final

from contracts.commands import Request
from tests.services.ledger.builders import Home, fund

HOMES: Final = 20
PACKS: Final = 100
BATCH: Final = HOMES


def opening() -> list[Request]:
    """The requests that come before the first pack."""
    return [fund(), *(asked for home in _homes() for asked in home.joining())]


def packs() -> Iterator[list[Request]]:
    """Batches of one pack of each home."""
    homes = _homes()
    for _ in range(PACKS):
        yield [home.record() for home in homes]


def _homes() -> list[Home]:
    return [Home(f"unit-{number}", f"customer-{number}") for number in range(HOMES)]

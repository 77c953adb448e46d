"""A platform on each engine, and one statement with proofs for a whole file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invariants import assert_books_hold
from tests.services.customers.platform import Platform, a_platform


@pytest.fixture
def platform(database_url: str, tmp_path: Path) -> Iterator[Platform]:
    with a_platform(database_url, tmp_path) as running:
        yield running
        assert_books_hold(running.engine)


@pytest.fixture
def sqlite_platform(sqlite_url: str, tmp_path: Path) -> Iterator[Platform]:
    """One on SQLite, where the engine makes no difference."""
    with a_platform(sqlite_url, tmp_path) as running:
        yield running
        assert_books_hold(running.engine)

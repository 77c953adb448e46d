"""A platform on each engine, whose books must hold at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invariants import assert_books_hold
from tests.services.customers.platform import Platform, Who, a_platform


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


@pytest.fixture(scope="module")
def a_customer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Who]:
    """Somebody on SQLite who lasts for a whole file: for calls that change nothing."""
    folder = tmp_path_factory.mktemp("platform")
    with a_platform(f"sqlite:///{folder / 'sparks.db'}", folder) as running:
        yield running.customer()

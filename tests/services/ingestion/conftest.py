"""One home on a platform of its own, on SQLite unless a test asks for both engines."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.services.ingestion.platform")

from tests.services.ingestion.platform import Platform, platform_at  # noqa: E402
from tests.services.ledger.builders import Home  # noqa: E402


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture
def platform(sqlite_url: str, home: Home) -> Iterator[Platform]:
    """A platform that knows `home`."""
    with platform_at(sqlite_url, home) as running:
        yield running


@pytest.fixture
def platform_on_each(database_url: str, home: Home) -> Iterator[Platform]:
    """The same on SQLite and on PostgreSQL."""
    with platform_at(database_url, home) as running:
        yield running

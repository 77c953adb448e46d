"""A database of its own for each test, on each engine in turn."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from services import database


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The engine of a migrated database."""
    database.migrate(database_url)
    engine = database.engine(database_url)
    yield engine
    engine.dispose()

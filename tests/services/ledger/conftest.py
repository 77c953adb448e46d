"""A ledger of one's own on each engine in turn."""

from collections.abc import Iterator

import pytest

from tests import invariants
from tests.services.ledger.builders import Books, running


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    """A running ledger whose books are looked over once the test is through."""
    with running(database_url) as books:
        yield books
        books.writer.stop()
        invariants.assert_books_hold(books.engine)

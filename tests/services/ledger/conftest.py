"""A ledger of one's own on each engine in turn."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite(
    "tests.invariants", "tests.services.ledger.builders", "tests.services.ledger.ledger_suite"
)

from tests import invariants  # noqa: E402
from tests.services.ledger.builders import Books, running  # noqa: E402


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    """A running ledger whose books are looked over once the test is through."""
    with running(database_url) as books:
        yield books
        books.writer.stop()
        invariants.assert_books_hold(books.engine)

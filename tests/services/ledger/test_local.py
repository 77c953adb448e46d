"""The ledger in the writer's own process does what a ledger must."""

import pytest

from services.ledger.local import LocalLedger
from tests.services.ledger.builders import Books
from tests.services.ledger.ledger_suite import LedgerSuite


class TestLocalLedger(LedgerSuite):
    @pytest.fixture
    def ledger(self, books: Books) -> LocalLedger:
        return books.ledger

"""Statements and proofs as they are asked for: out of the ledger, and out of the trees that are kept."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from contracts import state
from contracts.state import Statement
from contracts.units import LocalDay
from services.ledger.client import Ledger
from services.problems import Problem
from services.statements import document, shelf, trees


class Proving:
    """Raises Problem, LedgerUnavailable, DatabaseUnavailable.

    keys_of  which keys signed a checkpoint, in the form of `/log/keys`
    """

    def __init__(self, engine: Engine, ledger: Ledger, keys_of: Callable[[bytes], str]) -> None:
        self._engine = engine
        self._ledger = ledger
        self._keys_of = keys_of

    def listed(self, first: LocalDay, after: LocalDay) -> list[tuple[LocalDay, Statement]]:
        """What is published of the days first <= day < after, newest first."""
        days = list(reversed(range(first, after)))
        rows = self._ledger.rows([state.statement_key(day) for day in days])
        found = zip(days, rows, strict=True)
        return [(day, row) for day, row in found if isinstance(row, Statement) and row.root]

    def statement(self, day: LocalDay) -> dict[str, Any]:
        """The statement of a day with all that proves it; see `document.of_statement`."""
        (row,) = self._ledger.rows([state.statement_key(day)])
        is_published = isinstance(row, Statement) and bool(row.root)
        evidence = self._ledger.evidence(row.published_at) if isinstance(row, Statement) and is_published else None
        if evidence is None:
            raise Problem("unknown_statement", "No statement of that day is published.")
        return document.of_statement(evidence, keys=self._keys_of(evidence.checkpoint))

    def proof(self, day: LocalDay, account: str) -> dict[str, Any]:
        """The proof that an account is counted in a day's statement; see `document.of_account`."""
        statement = self.statement(day)
        kept = shelf.find(self._engine, day)
        if kept is None or kept.depth is None or kept.seed:
            raise Problem("not_found", "The proofs of that day are not kept.")
        leaves = shelf.leaves_of(self._engine, day, account)
        tiles = shelf.tiles_of(self._engine, day)
        parts = trees.parts_of(leaves, depth=kept.depth, read_tile=tiles) if leaves else []
        return document.of_account(account, parts, statement)

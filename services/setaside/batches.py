"""SQL for many rows at once, on either engine."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

ROWS_PER_STATEMENT: Final = 1_000
"""SQLite takes 32,766 parameters in a statement; our widest row has 13."""

_INSERT_BY_DIALECT: Final[dict[str, Callable[..., Any]]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def insert_into(connection: Connection, table: Table) -> Any:
    """Return the engine's own INSERT, which knows ON CONFLICT."""
    return _INSERT_BY_DIALECT[connection.dialect.name](table)


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut `items` into pieces that fit a statement."""
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        yield items[start : start + ROWS_PER_STATEMENT]

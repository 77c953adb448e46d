"""A ledger as a process that meets its fate in a commit: `python -m tests.services.ledger.contender URL PORT [FATE]`.

FATE is a signal and a moment, like `KILL:in_commit`: the process sends itself the signal in its third commit of packs,
or, as `KILL:in_commit:activate_contracts`, in the first commit of a command of that kind; with `:next` after that in
the commit that follows it.
Its log goes to standard output, a line each; the first line says that it serves.
"""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from services import observability
from services.ledger import entries, store
from services.ledger.connection import PostgresConnection, SqliteConnection
from services.ledger.local import LocalLedger
from services.ledger.store import Batch, Store
from services.ledger.tables import POSTINGS
from tests.services.ledger import history
from tests.services.ledger.builders import running
from tests.services.ledger.http_ledger import application, served

HOLDER = "contender"
FATEFUL_COMMIT = 3


def meet(fate: str) -> None:
    """Have the fateful commit meet it."""
    name, moment, *when = fate.split(":")
    is_fateful = _at_activation(*when) if when else _at_packs()
    commit = Store.commit

    def strike() -> None:
        # To this very thread: sent to the process, another one may take it, and this one goes on for a moment.
        signal.pthread_kill(threading.get_ident(), signal.Signals[f"SIG{name}"])

    def commit_fatefully(self: Store, batch: Batch) -> None:
        is_time = is_fateful(batch)
        if is_time and moment == "before_commit":
            strike()
        if is_time and moment == "in_commit":
            after_insert(strike)
        commit(self, batch)
        if is_time and moment == "after_commit":
            strike()

    store.Store.commit = commit_fatefully  # type: ignore[method-assign]


def _at_packs() -> Callable[[Batch], bool]:
    commits = iter(range(1, sys.maxsize))
    return lambda batch: len(batch.entries) == history.BATCH and next(commits) == FATEFUL_COMMIT


def _at_activation(kind: str, *following: str) -> Callable[[Batch], bool]:
    """Is this the commit of a command of this kind, or the one that follows it?"""
    seen: list[bool] = []

    def is_fateful(batch: Batch) -> bool:
        kinds = [entries.from_bytes(entry).kind for _, _, entry in batch.entries]
        seen.append(kind in kinds)
        return (len(seen) > 1 and seen[-2]) if following else seen[-1]

    return is_fateful


def after_insert(strike: Callable[[], None]) -> None:
    """Strike once the postings of the commit under way are with the database, uncommitted."""
    for connection in (PostgresConnection, SqliteConnection):
        insert = connection.insert

        def inserting(self: Any, table: Any, rows: Any, connection: Any = connection, insert: Any = insert) -> None:
            insert(self, table, rows)
            if table is POSTINGS:
                connection.insert = insert
                strike()

        connection.insert = inserting  # type: ignore[method-assign]


def main() -> None:
    url, port, *fate = sys.argv[1:]
    observability.configure_logging(sys.stdout)
    if fate:
        meet(fate[0])
    with running(url, holder=HOLDER, may_stand_by=True) as books:
        app = application(LocalLedger(books.writer, books.queries), books.queries)
        with served(app, port=int(port)):
            sys.stdout.write("serves\n")
            sys.stdout.flush()
            threading.Event().wait()


if __name__ == "__main__":
    main()

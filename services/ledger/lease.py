"""The lease: who may write, as one row that every commit of the writer checks and locks.

Each writer takes the next epoch. A transaction of an older epoch finds that the row is no longer its own and commits
nothing, whatever connection it still has and however long it was asleep. The lease's time is the database's clock.

How long somebody waits for the lease is decided elsewhere: by the death of the holder's session on PostgreSQL, by a
lock on a file beside the database on SQLite (`connection`, `lock_file`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from services.database import DatabaseUnavailable

LEASE_MS_MAX: Final = 3_000
"""A holder whose session has been silent for so long has lost it."""
RENEW_S: Final = 1.0
"""How often a holder that commits nothing renews it."""

MEMBER: Final = "member"
"""What the node of a member is called as a holder."""

KeepWaiting: TypeAlias = Callable[[float], bool]
"""Called while the lease is another's: waits for that many seconds at most, and says whether to go on."""


class AnotherWriter(Exception):
    """Another process writes to this ledger."""


class LeaseLost(DatabaseUnavailable):
    """Another process has taken the lease; nothing of the transaction was committed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a writer holds.

    epoch      1, 2, 3, ...: one more than that of the holder before
    before     that holder, or None of a new ledger
    silent_ms  how long ago that holder last renewed it; on SQLite, which touches a file instead, how long ago it began
    """

    epoch: int
    before: str | None
    silent_ms: int


class Statements:
    """The SQL of the lease for one engine; `now_ms` is its expression for the database's clock in Unix milliseconds."""

    def __init__(self, *, now_ms: str, parameter: str) -> None:
        self.before: Final = f"SELECT holder, {now_ms} - renewed_ms FROM lease"
        # After a restore there may be epochs and no lease.
        self.take: Final = f"""
            INSERT INTO lease (id, epoch, holder, renewed_ms)
            VALUES (1, 1 + coalesce((SELECT max(epoch) FROM epochs), 0), {parameter}, {now_ms})
            ON CONFLICT (id) DO UPDATE
            SET epoch = lease.epoch + 1, holder = excluded.holder, renewed_ms = excluded.renewed_ms
        """
        self.note: Final = """
            INSERT INTO epochs (epoch, holder, first_index, taken_ms)
            SELECT epoch, holder, coalesce((SELECT max("index") + 1 FROM entries), 0), renewed_ms FROM lease
            RETURNING epoch
        """
        self.renew: Final = f"UPDATE lease SET renewed_ms = {now_ms} WHERE epoch = {{epoch:d}}"
        self.age_ms: Final = f"SELECT {now_ms} - renewed_ms FROM lease"


ON_POSTGRESQL: Final = Statements(now_ms="(extract(epoch FROM clock_timestamp()) * 1000)::bigint", parameter="%s")
ON_SQLITE: Final = Statements(now_ms="CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", parameter="?")

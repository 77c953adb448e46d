"""A unit's durable memory: what it signed and no receipt covers, where it stands, its keys, what it was told.

One SQLite file holds one unit's outbox, or those of a whole fleet. A process that dies at any moment finds on
its next start exactly what was committed: no number is given twice, and a stored message keeps its bytes.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import RLock
from typing import Any, Final

from contracts.wire.packs import FIRST_PREV

SCHEMA_VERSION: Final = 1
LOCK_WAIT_S: Final = 0.5

_SCHEMA: Final = """
CREATE TABLE unit (
    device_id TEXT PRIMARY KEY,
    last_seq INTEGER NOT NULL, last_hash BLOB NOT NULL,
    covered_seq INTEGER NOT NULL, covered_hash BLOB NOT NULL,
    owed_wh TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE held (
    device_id TEXT NOT NULL, seq INTEGER NOT NULL, lost INTEGER, asked INTEGER NOT NULL,
    hash BLOB NOT NULL, message BLOB NOT NULL,
    PRIMARY KEY (device_id, seq)
);
CREATE TABLE signing_key (
    device_id TEXT NOT NULL, from_seq INTEGER NOT NULL, seed BLOB NOT NULL,
    PRIMARY KEY (device_id, from_seq)
) WITHOUT ROWID;
CREATE TABLE instruction (
    device_id TEXT NOT NULL, id TEXT NOT NULL, forget_at_s INTEGER NOT NULL, event BLOB,
    PRIMARY KEY (device_id, id)
) WITHOUT ROWID;
"""


class OutboxFailed(Exception):
    """The file cannot be opened, read or written; nothing of the batch in which this happened is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a unit stands: the last number it gave, and the last one that a receipt covers.

    last_hash     SHA-256 that the next pack names as its previous one
    covered_hash  the hash that the receipt of `covered_seq` named
    """

    last_seq: int = 0
    last_hash: bytes = FIRST_PREV
    covered_seq: int = 0
    covered_hash: bytes = FIRST_PREV


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A signed message that no receipt covers yet.

    lost   None for a pack; for a gap pack the first number that it does not give up
    asked  how often the platform asked for this number by name
    """

    seq: int
    message: bytes
    hash: bytes
    lost: int | None = None
    asked: int = 0


class OutboxFile:
    """One SQLite file; only one process at a time can have it open, so no number is given by two.

    Any thread may use it: each batch has the file to itself.
    """

    def __init__(self, path: Path) -> None:
        self._lock = RLock()
        self._depth = 0
        self._writing = False
        self._failed = False
        self.rollbacks = 0
        with _ours():
            # Seeds are inside: the file is nobody else's to read.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(path)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, path: Path) -> None:
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise OutboxFailed(f"{path}: outbox of version {version}, this program reads {SCHEMA_VERSION}")

    def of(self, device_id: str) -> "Outbox":
        """Return the outbox of one unit, empty if the file has not heard of it."""
        return Outbox(self, device_id)

    def close(self) -> None:
        with self._lock, _ours():
            self._connection.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Commit what is written inside, once, when the outermost batch ends; nothing if one raises."""
        with self._lock:
            self._depth += 1
            try:
                yield
                if self._depth == 1 and self._failed:
                    raise OutboxFailed("a part of this batch failed, so nothing of it is kept")
            except BaseException:
                self._failed = True
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._end()

    def _end(self) -> None:
        writing, failed = self._writing, self._failed
        self._writing = self._failed = False
        if not writing:
            return
        try:
            with _ours():
                self._connection.execute("ROLLBACK" if failed else "COMMIT")
        except OutboxFailed:
            failed = True
            if self._connection.in_transaction:
                self._connection.rollback()
            raise
        finally:
            self.rollbacks += failed

    def read(self, statement: str, *values: Any) -> list[Any]:
        """Return all rows of a query."""
        with self._lock, _ours():
            return self._connection.execute(statement, values).fetchall()

    def write(self, statement: str, *values: Any) -> int:
        """Execute one change in the open batch and return how many rows it touched."""
        if not self._depth:
            raise RuntimeError("a change needs an open batch")
        with _ours():
            if not self._writing:
                self._connection.execute("BEGIN IMMEDIATE")
                self._writing = True
            return self._connection.execute(statement, values).rowcount


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        raise OutboxFailed(f"outbox: {error}") from error


class Outbox:
    """One unit's part of an OutboxFile. Whoever changes it has opened `batch()` first."""

    def __init__(self, file: OutboxFile, device_id: str) -> None:
        self.device_id = device_id
        self._file = file
        self._load()

    def batch(self) -> AbstractContextManager[None]:
        return self._file.batch()

    def _load(self) -> None:
        rows = self._file.read(
            "SELECT last_seq, last_hash, covered_seq, covered_hash FROM unit WHERE device_id = ?",
            self.device_id,
        )
        names = ("last_seq", "last_hash", "covered_seq", "covered_hash")
        self._position = Position(**dict(zip(names, rows[0], strict=True))) if rows else Position()
        counted = self._file.read("SELECT count(*) FROM held WHERE device_id = ?", self.device_id)
        self._held_count: int = counted[0][0]
        self._rollbacks = self._file.rollbacks

    def _refresh(self) -> None:
        """What is kept in memory may be of a batch that was rolled back since."""
        if self._rollbacks != self._file.rollbacks:
            self._load()

    @property
    def position(self) -> Position:
        self._refresh()
        return self._position

    @property
    def held_count(self) -> int:
        """How many messages no receipt covers yet."""
        self._refresh()
        return self._held_count

    def move(self, position: Position) -> None:
        """Remember where the unit stands from now on."""
        self._file.write(
            "INSERT INTO unit VALUES (?, ?, ?, ?, ?, '{}') ON CONFLICT (device_id) DO UPDATE "
            "SET last_seq = ?2, last_hash = ?3, covered_seq = ?4, covered_hash = ?5",
            self.device_id,
            position.last_seq,
            position.last_hash,
            position.covered_seq,
            position.covered_hash,
        )
        self._position = position

    # What is held

    def put(self, held: Held) -> None:
        """Hold `held`, instead of what was held under its number."""
        before = self.held(held.seq)
        self._file.write(
            "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?)",
            self.device_id,
            held.seq,
            held.lost,
            held.asked,
            held.hash,
            held.message,
        )
        self._held_count += before is None

    def held(self, seq: int) -> Held | None:
        return self._first("seq = ?", seq)

    def first_after(self, seq: int) -> Held | None:
        return self._first("seq > ? ORDER BY seq", seq)

    def newest(self, *, seq_max: int) -> Held | None:
        """Return what is held under the highest number that is not above `seq_max`."""
        return self._first("seq <= ? ORDER BY seq DESC", seq_max)

    def held_from(self, seq: int) -> list[Held]:
        """Return all that is held under `seq` and higher numbers, in their order."""
        return self._select("seq >= ? ORDER BY seq", seq)

    def count_ask(self, seq: int) -> None:
        self._file.write("UPDATE held SET asked = asked + 1 WHERE device_id = ? AND seq = ?", self.device_id, seq)

    def drop_through(self, seq: int) -> None:
        """Forget all that is held under `seq` and lower numbers."""
        self._held_count -= self._file.write("DELETE FROM held WHERE device_id = ? AND seq <= ?", self.device_id, seq)

    def _first(self, condition: str, value: int) -> Held | None:
        found = self._select(f"{condition} LIMIT 1", value)
        return found[0] if found else None

    def _select(self, condition: str, value: int) -> list[Held]:
        self._refresh()
        rows = self._file.read(
            f"SELECT seq, message, hash, lost, asked FROM held WHERE device_id = ? AND {condition}",
            self.device_id,
            value,
        )
        return [Held(seq=row[0], message=row[1], hash=row[2], lost=row[3], asked=row[4]) for row in rows]

    # What each flow still owes

    def owed_wh(self) -> dict[str, Fraction]:
        """Return the remainder of each flow, below one wh, that the next interval starts with."""
        rows = self._file.read("SELECT owed_wh FROM unit WHERE device_id = ?", self.device_id)
        return {flow: Fraction(owed) for flow, owed in json.loads(rows[0][0]).items()} if rows else {}

    def owe(self, owed_wh: Mapping[str, Fraction]) -> None:
        """Remember the remainders; the unit has a position already."""
        written = json.dumps({flow: str(owed) for flow, owed in owed_wh.items()})
        self._file.write("UPDATE unit SET owed_wh = ? WHERE device_id = ?", written, self.device_id)

    # Its keys

    def signing_keys(self) -> list[tuple[int, bytes]]:
        """Return (first number it signs, seed) of each key, oldest first."""
        return self._file.read(
            "SELECT from_seq, seed FROM signing_key WHERE device_id = ? ORDER BY from_seq", self.device_id
        )

    def add_signing_key(self, *, from_seq: int, seed: bytes) -> None:
        """Sign `from_seq` and higher numbers with `seed`, whatever was to sign them before."""
        self._file.write("DELETE FROM signing_key WHERE device_id = ? AND from_seq >= ?", self.device_id, from_seq)
        self._file.write("INSERT INTO signing_key VALUES (?, ?, ?)", self.device_id, from_seq, seed)

    # What it was told

    def has_seen(self, instruction_id: str) -> bool:
        return bool(
            self._file.read("SELECT 1 FROM instruction WHERE device_id = ? AND id = ?", self.device_id, instruction_id)
        )

    def remember_instruction(
        self, instruction_id: str, *, forget_at_s: int, event: bytes | None = None, now_s: int
    ) -> None:
        """Know the id until `forget_at_s`, keep the payload of an accepted event, forget what is over."""
        self._file.write("DELETE FROM instruction WHERE device_id = ? AND forget_at_s < ?", self.device_id, now_s)
        self._file.write(
            "INSERT INTO instruction VALUES (?, ?, ?, ?)", self.device_id, instruction_id, forget_at_s, event
        )

    def cancel_event(self, instruction_id: str, *, forget_at_s: int) -> None:
        """Keep the id of an event and nothing else of it, so that a call that comes late is a repetition."""
        self._file.write(
            "INSERT INTO instruction VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET event = NULL",
            self.device_id,
            instruction_id,
            forget_at_s,
        )

    def events(self) -> list[bytes]:
        """Return the payloads of the accepted events that were neither cancelled nor forgotten."""
        rows = self._file.read(
            "SELECT event FROM instruction WHERE device_id = ? AND event IS NOT NULL ORDER BY id",
            self.device_id,
        )
        return [row[0] for row in rows]

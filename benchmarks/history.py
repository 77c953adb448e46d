"""A long past for a ledger: entries by the million without executing each, as large on disk as if they had been.

One real home's life, which the writer has executed, is written again for as many homes as it takes: the same rows under
other ids, with other salts, ids and hashes, each committed to by its entry and under the tree, in transactions of the
ledger's own store. Proofs hold. What such an entry did was not executed: units' signatures and balances are not these.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, text

from benchmarks.watch import MB
from contracts import state
from contracts.state import Decided
from services import contract_sets
from services.ledger import checkpoints, entries, merkle, partitions, tiles
from services.ledger.checkpoints import Checkpoint
from services.ledger.entries import SALT_BYTES, Entry
from services.ledger.store import Batch, Store, Written
from services.ledger.writer import BATCH_MAX

HOMES_AT_ONCE: Final = 400
"""Whose entries alternate, as they would in time, and are committed together."""

OnProgress: TypeAlias = Callable[[int, int], None]
"""(entries, of how many), after each transaction"""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the real home, as the tables have it."""

    entry: Entry
    request: bytes
    effects: bytes
    result: bytes
    postings: tuple[tuple[str, str, int], ...]
    versions: tuple[tuple[str, bytes], ...]
    subjects: tuple[str, ...]
    pack: tuple[int, Decided] | None


@dataclass(frozen=True, slots=True)
class Life:
    """All entries about one home in their order, and the rows of the state that they left."""

    home_id: str
    models: tuple[Model, ...]
    rows: tuple[tuple[str, bytes], ...]


def life_of(engine: Engine, home_id: str, *, first: int, after: int) -> Life:
    """Read the life of a home whose entries are [first, after)."""
    with engine.connect() as connection:
        models = tuple(_model(connection, index) for index in range(first, after))
        found = connection.execute(
            text("SELECT key, value FROM state WHERE key LIKE :named ORDER BY key"), {"named": f"%{home_id}%"}
        )
        return Life(home_id, models, tuple((key, bytes(value)) for key, value in found))


def _model(connection: Connection, index: int) -> Model:
    def rows(statement: str) -> Any:
        return connection.execute(text(statement), {"index": index}).all()

    ((entry, request, effects, result),) = rows(
        'SELECT entry, request, effects, result FROM entries JOIN payloads USING ("index") WHERE "index" = :index'
    )
    packs = rows('SELECT seq, sha256, refusal, start_s, end_s FROM packs WHERE "index" = :index')
    return Model(
        entries.from_bytes(bytes(entry)),
        bytes(request),
        bytes(effects),
        bytes(result),
        tuple(rows('SELECT asset, account, amount FROM postings WHERE "index" = :index ORDER BY leg')),
        tuple(rows("SELECT key, value FROM row_versions WHERE version = :index")),
        tuple(subject for (subject,) in rows('SELECT subject FROM subjects WHERE "index" = :index')),
        (packs[0][0], Decided(packs[0][1], packs[0][2], index, *packs[0][3:])) if packs else None,
    )


class History:
    """Writes a life again and again after what the ledger has.

    seed  the log's, for its checkpoints
    """

    def __init__(self, engine: Engine, life: Life, *, origin: str, programme: str, seed: bytes) -> None:
        self._engine = engine
        self._life = life
        self._origin = origin
        self._seed = seed
        self._contracts = contract_sets.own(programme)
        self._chance = random.Random(origin)
        self._homes = 0

    def home_ids(self) -> list[str]:
        """The homes of this history so far."""
        return [self._home_id(number) for number in range(self._homes)]

    def _home_id(self, number: int) -> str:
        # As long as the one that it replaces, so that every length stays true.
        return f"{number:x}".rjust(len(self._life.home_id), "h")

    def fill(self, entries_until: int, on_progress: OnProgress) -> None:
        """Append whole lives until the log has at least so many entries. No writer may run."""
        store = Store(self._engine, self._contracts)
        try:
            store.take_lease("history", lambda _: True)
            last = store.last()
            if last is None:
                raise ValueError("a history continues a log")
            size, at_s = last.index + 1, last.entry.at_s
            while size < entries_until:
                wanted = -(-(entries_until - size) // len(self._life.models))
                partitions.make_ahead(self._engine, size)
                batch = self._batch(store, size, at_s, min(HOMES_AT_ONCE, wanted))
                store.commit(batch)
                size += len(batch.entries)
                on_progress(min(size, entries_until), entries_until)
        finally:
            store.close()
        settle(self._engine)

    def _batch(self, store: Store, size: int, at_s: int, count: int) -> Batch:
        ids = [self._home_id(number) for number in range(self._homes, self._homes + count)]
        self._homes += count
        batch, index = Batch(), size
        for model in self._life.models:
            for home_id in ids:
                self._enter(batch, model, home_id, index=index, at_s=at_s)
                index += 1
        for home_id in ids:
            for key, data in self._life.rows:
                own_key = key.replace(self._life.home_id, home_id)
                own_data = self._renamed(data, home_id)
                batch.rows[own_key] = Written(index - 1, state.from_bytes(own_key, own_data), own_data)
        self._seal(batch, size, store.frontier(size))
        return batch

    def _renamed(self, data: bytes, home_id: str) -> bytes:
        return data.replace(self._life.home_id.encode(), home_id.encode())

    def _enter(self, batch: Batch, model: Model, home_id: str, *, index: int, at_s: int) -> None:
        request, effects = self._renamed(model.request, home_id), self._renamed(model.effects, home_id)
        drawn = self._chance.randbytes(2 * SALT_BYTES + 64)
        salt, effects_salt, id, sha256 = drawn[:16], drawn[16:32], drawn[32:64], drawn[64:]
        entry = Entry(
            model.entry.kind,
            at_s,
            model.entry.collection,
            model.entry.contract_version,
            entries.commitment(salt, request),
            entries.commitment(effects_salt, effects),
        )
        batch.entries.append((index, at_s, entries.to_bytes(entry)))
        batch.payloads.append((index, request, salt, effects, effects_salt, self._renamed(model.result, home_id)))
        batch.requests.append((id, id, index))
        own = self._life.home_id
        for leg, (asset, account, amount) in enumerate(model.postings):
            batch.postings.append((index, leg, asset, account.replace(own, home_id), amount))
        batch.versions.extend((key.replace(own, home_id), index, data) for key, data in model.versions)
        batch.subjects.extend((index, subject.replace(own, home_id)) for subject in model.subjects)
        if model.pack is not None:
            seq, decided = model.pack
            row = Decided(sha256, decided.refusal, index, decided.start_s, decided.end_s)
            batch.rows[state.pack_key(home_id, seq)] = Written(index, row, None)

    def _seal(self, batch: Batch, size: int, frontier: dict[int, bytes]) -> None:
        """The tree and its checkpoints, as the writer makes them of batches of its size."""
        leaves = [merkle.leaf_hash(entry) for _, _, entry in batch.entries]
        for start in range(0, len(leaves), BATCH_MAX):
            part = leaves[start : start + BATCH_MAX]
            grown = tiles.grow(size, frontier, part)
            batch.tiles |= grown
            size += len(part)
            edge = (level for level in tiles.required(size).levels if level.partial_width)
            frontier = {tile.level: grown.get((tile.level, tile.full_tiles)) or frontier[tile.level] for tile in edge}
            root = tiles.root(size, lambda level, _, at=frontier: at[level])  # type: ignore[misc]
            batch.checkpoints.append((size, checkpoints.sign(Checkpoint(self._origin, size, root), self._seed)))


def settle(engine: Engine) -> None:
    """Leave the database as a server that had years for it would: vacuumed, its statistics known, its pages written."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))


def stop_vacuum(engine: Engine) -> None:
    """Have the server's own housekeeping leave the pages alone that are counted from now on."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ALTER SYSTEM SET autovacuum = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
        workers = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
        connection.execute(text(workers))


def pages_read(engine: Engine) -> int:
    """Pages that were looked into, in memory or not, since the database was made. It ends the sessions of `engine`."""
    engine.dispose()  # a session tells what it has read when it ends, at the latest
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        own = "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.scalar(text(own)) or 0)


def size_mb(engine: Engine) -> int:
    """What the database takes on the disk."""
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_database_size(current_database())"))) // MB

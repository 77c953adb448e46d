"""What is kept of the trees: begun, filled, sealed, forgotten, thrown away. Each step can be done again.

A tree is begun before the books are closed for it. So whoever leaves while it is filled is noted there in time, and no
share of theirs is kept.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine, delete, select, update
from sqlmodel import Session

from contracts.units import LocalDay, UnixSeconds
from services.database import reading, transaction
from services.setaside.batches import ROWS_PER_STATEMENT, insert_into
from services.statements.splitting import Owed
from services.statements.tables import StatementShareRow, StatementTileRow, StatementTreeRow
from services.statements.trees import Leaves, ReadTile, Tree

TILES_AT_ONCE: Final = 50
_TREES: Final = StatementTreeRow.__table__  # type: ignore[attr-defined]
_SHARES: Final = StatementShareRow.__table__  # type: ignore[attr-defined]
_TILES: Final = StatementTileRow.__table__  # type: ignore[attr-defined]


class Kept(NamedTuple):
    """How far a tree is.

    seed   empty: it is sealed
    depth  None: it is not filled yet
    """

    seed: bytes
    depth: int | None


def begin(engine: Engine, day: LocalDay, seed: bytes, now_s: UnixSeconds) -> Kept:
    """Begin a tree under `seed`, or go on with the one that was begun."""
    with transaction(engine) as session:
        row = {"day": day, "seed": seed, "began_s": now_s, "depth": None}
        session.execute(insert_into(session.connection(), _TREES).values(row).on_conflict_do_nothing())
    kept = find(engine, day)
    if kept is None:
        raise LookupError(f"the tree of day {day} is gone as soon as it was begun")
    return kept


def find(engine: Engine, day: LocalDay) -> Kept | None:
    """How far the tree of a day is, if there is one."""
    query = select(_TREES.c.seed, _TREES.c.depth).where(_TREES.c.day == day)
    with reading(engine) as session:
        found = session.execute(query).first()
    return None if found is None else Kept(*found)


def fill(engine: Engine, day: LocalDay, tree: Tree) -> None:
    """Keep a tree's shares and tiles, a few in a transaction so that nobody waits long for the database.

    Nothing more once another program has filled and sealed it: what was forgotten since must not come back.
    """
    shares = (
        {
            "day": day,
            "account": leaves.account,
            "key": leaves.key,
            "micro_sparks": leaves.owed.micro_sparks,
            "deferred_micro_sparks": leaves.owed.deferred_micro_sparks,
            "places": leaves.places,
        }
        for leaves in tree.leaves()
    )
    tiles = ({"day": day, "level": tile.level, "n": tile.n, "nodes": tile.nodes} for tile in tree.tiles())
    if _keep(engine, day, _SHARES, shares, ROWS_PER_STATEMENT) and _keep(engine, day, _TILES, tiles, TILES_AT_ONCE):
        with transaction(engine) as session:
            session.execute(update(_TREES).where(_TREES.c.day == day).values(depth=tree.depth))


def seal(engine: Engine, day: LocalDay) -> None:
    """Forget the seed: what is forgotten from now on cannot be made again."""
    with transaction(engine) as session:
        session.execute(update(_TREES).where(_TREES.c.day == day).values(seed=b""))
        session.execute(delete(_SHARES).where(_SHARES.c.day == day, _SHARES.c.key == b""))


def abandon(engine: Engine, day: LocalDay) -> None:
    """Take back a tree that was begun for books that cannot be closed."""
    with transaction(engine) as session:
        session.execute(delete(_TREES).where(_TREES.c.day == day, _TREES.c.depth.is_(None)))


def forget(session: Session, account: str) -> None:
    """Erase whose leaves an account's are, in every tree, also in those that are being filled now."""
    # Locked, so that none is sealed meanwhile: a mark that came after that would stay.
    days = list(session.execute(select(_TREES.c.day, _TREES.c.seed).with_for_update(read=True)))
    session.execute(delete(_SHARES).where(_SHARES.c.day.in_([day for day, _ in days]), _SHARES.c.account == account))
    nothing = {"key": b"", "micro_sparks": 0, "deferred_micro_sparks": 0, "places": b""}
    for day in (day for day, seed in days if seed):
        mark = insert_into(session.connection(), _SHARES).values(day=day, account=account, **nothing)
        session.execute(mark.on_conflict_do_update(index_elements=["day", "account"], set_=nothing))


def throw_away(engine: Engine, *, before: LocalDay) -> None:
    """Keep no tree of an earlier day."""
    with transaction(engine) as session:
        for table in (_SHARES, _TILES, _TREES):
            session.execute(delete(table).where(table.c.day < before))


def leaves_of(engine: Engine, day: LocalDay, account: str) -> Leaves | None:
    """An account's leaves in the tree of a day, if it has any."""
    here = (_SHARES.c.day == day, _SHARES.c.account == account, _SHARES.c.key != b"")
    with reading(engine) as session:
        found = session.execute(select(_SHARES).where(*here)).mappings().first()
    if found is None:
        return None
    owed = Owed(found["micro_sparks"], found["deferred_micro_sparks"])
    return Leaves(account, found["key"], owed, found["places"])


def tiles_of(engine: Engine, day: LocalDay) -> ReadTile:
    """Reads the tiles of a day's tree."""

    def read(level: int, n: int) -> bytes:
        here = (_TILES.c.day == day, _TILES.c.level == level, _TILES.c.n == n)
        with reading(engine) as session:
            nodes: bytes = session.execute(select(_TILES.c.nodes).where(*here)).scalar_one()
        return nodes

    return read


def _keep(engine: Engine, day: LocalDay, table: Any, rows: Iterator[dict[str, Any]], at_once: int) -> bool:
    """Insert what is not there yet: the same seed makes the same rows. False if the tree is sealed."""
    seed = select(_TREES.c.seed).where(_TREES.c.day == day).with_for_update(read=True)
    for some in _batches(rows, at_once):
        with transaction(engine) as session:
            if not session.execute(seed).scalar():
                return False
            session.execute(insert_into(session.connection(), table).values(some).on_conflict_do_nothing())
    return True


def _batches(rows: Iterable[dict[str, Any]], at_once: int) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(rows)
    while some := list(islice(remaining, at_once)):
        yield some

"""Table `payloads` in parts of a million entries each, on PostgreSQL: old payloads leave by dropping a part.

Deleting rows would leave holes and dead rows for vacuum to look after. Parts are made ahead of the log; what finds none
goes into the part called `rest`, so that the log never waits for one. SQLite has no parts.
"""

from typing import Final

from sqlalchemy import Connection, Engine, text

from services.database import DatabaseUnavailable, is_sqlite, transaction
from services.ledger.tables import PAYLOADS

PARTITION_ENTRIES: Final = 1 << 20
AHEAD: Final = 4
"""Parts that are there before the log needs them: minutes of the fastest log."""
SCHEMA: Final = "payload_parts"
"""A schema of their own: they are no tables of the ledger, to whoever lists those."""
LOCK_MS_MAX: Final = 500
"""How long a change of parts waits for readers. Who waits longer keeps others waiting behind it, the writer too."""


def make_ahead(engine: Engine, size: int, *, entries_each: int = PARTITION_ENTRIES) -> int:
    """Make the parts that a log of `size` needs next; return how many. One that readers keep busy is left for later."""
    if is_sqlite(engine):
        return 0
    made = 0
    for number in range(size // entries_each, size // entries_each + 1 + AHEAD):
        wanted = range(number * entries_each, (number + 1) * entries_each)
        try:
            with transaction(engine) as session:
                made += _make(session.connection(), wanted)
        except DatabaseUnavailable:
            break
    return made


def make_for(connection: Connection, size: int) -> None:
    """Make all parts that a log of `size` fills, for who fills an empty one at once."""
    if connection.dialect.name == "sqlite":
        return
    for first in range(0, size, PARTITION_ENTRIES):
        _make(connection, range(first, first + PARTITION_ENTRIES))


def parts(connection: Connection) -> list[range]:
    """The entries of each part that is there, in order; without `rest`, and that of an older version."""
    if connection.dialect.name == "sqlite":
        return []
    found = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = :schema"), {"schema": SCHEMA})
    named = [name.split("_")[1:] for name in found if name.startswith("from_")]
    return sorted((range(int(first), int(after)) for first, after in named), key=lambda part: part.start)


def lock(connection: Connection, part: range) -> None:
    """Keep everybody from a part until the transaction ends. Raises DatabaseUnavailable if others are busy with it."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'"))
    connection.execute(text(f"LOCK TABLE {_name(part)} IN ACCESS EXCLUSIVE MODE"))


def drop(connection: Connection, part: range) -> None:
    """Drop a part with all that is in it. Raises DatabaseUnavailable if others are busy with the table."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'"))
    connection.execute(text(f"DROP TABLE {_name(part)}"))


def drop_empty(engine: Engine, before: int) -> None:
    """Drop the parts of entries before `before`, out of which every row was moved one way or the other."""
    if is_sqlite(engine):
        return
    with transaction(engine) as session:
        connection = session.connection()
        for part in parts(connection):
            held = text(f"SELECT 1 FROM {_name(part)} LIMIT 1")
            if part.stop <= before and connection.execute(held).first() is None:
                drop(connection, part)


def _make(connection: Connection, part: range) -> bool:
    """Make a part unless there is one, or its entries lie elsewhere already."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'"))
    inside = PAYLOADS.c.index.between(part.start, part.stop - 1)
    name = {"name": _name(part)}
    if connection.scalar(text("SELECT to_regclass(:name)"), name) is not None:
        return False
    if connection.execute(PAYLOADS.select().where(inside).limit(1)).first() is not None:
        return False
    # Attached instead of made as a part: that locks the table out for its readers and writers only in `rest`.
    connection.execute(text(f"CREATE TABLE {_name(part)} (LIKE payloads INCLUDING ALL)"))
    bounds = f"FROM ({part.start}) TO ({part.stop})"
    connection.execute(text(f"ALTER TABLE payloads ATTACH PARTITION {_name(part)} FOR VALUES {bounds}"))
    return True


def _name(part: range) -> str:
    return f"{SCHEMA}.from_{part.start}_{part.stop}"

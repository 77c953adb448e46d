"""What survives a restart of a member's node: disagreements, and the newest tree it has signed."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from contracts.units import UnixSeconds
from services.database import reading, transaction
from services.ledger.differing import Difference
from services.member.tables import COSIGNED, DISAGREEMENTS

TEXT_LENGTH_MAX: Final = 4_000


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A difference, and who showed it when.

    source  the base URL that the other value came from
    """

    number: int
    source: str
    difference: Difference
    seen_s: UnixSeconds


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The largest tree that was signed, with its note."""

    size: int
    root: bytes
    note: bytes


class Memory:
    """The member's own tables. Raises DatabaseUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self.engine: Final = engine

    def note(self, difference: Difference, *, source: str, seen_s: UnixSeconds) -> None:
        """Remember a difference; one that stands already is not noted twice."""
        with transaction(self.engine) as session:
            same = select(DISAGREEMENTS.c.number).where(
                DISAGREEMENTS.c.decided_s.is_(None),
                DISAGREEMENTS.c.index == difference.index,
                DISAGREEMENTS.c.source == source,
            )
            if session.execute(same).first() is not None:
                return
            number = (session.execute(select(func.max(DISAGREEMENTS.c.number))).scalar() or 0) + 1
            said = {
                "what": _kept(f"{difference.table}: {difference.what}"),
                "ours": _kept(difference.ours),
                "theirs": _kept(difference.theirs),
            }
            row = {"number": number, "index": difference.index, "source": source, "seen_s": seen_s, **said}
            session.execute(insert(DISAGREEMENTS).values(**row))

    def standing(self) -> list[Disagreement]:
        """What nobody has decided yet, the lowest entry first."""
        query = select(DISAGREEMENTS).where(DISAGREEMENTS.c.decided_s.is_(None)).order_by(DISAGREEMENTS.c.index)
        with reading(self.engine) as session:
            return [_disagreement(row) for row in session.execute(query).mappings()]

    def count(self) -> int:
        """How many there ever were."""
        with reading(self.engine) as session:
            return int(session.execute(select(func.count()).select_from(DISAGREEMENTS)).scalar_one())

    def decide(self, *, now_s: UnixSeconds) -> int:
        """A person has looked at all that stands: the node may try again. Returns how many there were."""
        standing = DISAGREEMENTS.c.decided_s.is_(None)
        with transaction(self.engine) as session:
            found = len(session.execute(select(DISAGREEMENTS.c.number).where(standing)).all())
            session.execute(update(DISAGREEMENTS).where(standing).values(decided_s=now_s))
        return found

    def cosigned(self, origin: str) -> Cosigned | None:
        """The newest tree of this log that was signed."""
        query = select(COSIGNED.c.size, COSIGNED.c.root, COSIGNED.c.note).where(COSIGNED.c.origin == origin)
        with reading(self.engine) as session:
            found = session.execute(query).first()
        return Cosigned(*found) if found else None

    def sign(self, origin: str, before: Cosigned | None, after: Cosigned) -> bool:
        """Put `after` in the place of `before`, durably; False if something else stands there by now."""
        said = {"size": after.size, "root": after.root, "note": after.note}
        with transaction(self.engine) as session:
            mine = COSIGNED.c.origin == origin
            found = session.execute(select(COSIGNED.c.size, COSIGNED.c.root).where(mine).with_for_update()).first()
            if (found and tuple(found)) != (before and (before.size, before.root)):
                return False
            if before is None:
                session.execute(insert(COSIGNED).values(origin=origin, **said))
            else:
                session.execute(update(COSIGNED).where(mine).values(**said))
        return True


def raise_cosigned(connection: Connection, origin: str, newest: Cosigned) -> None:
    """Take `newest` for signed where nothing larger is known: a copy that was restored signs only what continues it."""
    mine = COSIGNED.c.origin == origin
    known = connection.execute(select(COSIGNED.c.size).where(mine)).scalar()
    said = {"size": newest.size, "root": newest.root, "note": newest.note}
    if known is None:
        connection.execute(insert(COSIGNED).values(origin=origin, **said))
    elif known < newest.size:
        connection.execute(update(COSIGNED).where(mine).values(**said))


def _kept(text: str) -> str:
    """What somebody else may have chosen, as any database takes it: not too long, and without NUL."""
    return text[:TEXT_LENGTH_MAX].replace("\0", "\N{SYMBOL FOR NULL}")


def _disagreement(row: RowMapping) -> Disagreement:
    table, _, what = row["what"].partition(": ")
    difference = Difference(row["index"], table, what, row["ours"], row["theirs"])
    return Disagreement(row["number"], row["source"], difference, row["seen_s"])

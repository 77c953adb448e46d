"""The trees over what is owed: who has which leaves, and the nodes that prove them.

Nodes name nobody. Only a row of `statement_shares` tells whose leaves are whose, and it goes with its customer.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String
from sqlmodel import Field, SQLModel


def _day() -> Column[int]:
    return Column(Integer, primary_key=True, autoincrement=False)


class StatementTreeRow(SQLModel, table=True):
    """The tree of one local day (days since 1970-01-01).

    seed      of everything that was drawn for it; empty once the statement is published, so that what is erased
              cannot be made again
    began_s   when the seed was drawn
    depth     None until all shares and tiles are kept
    """

    __tablename__ = "statement_trees"
    day: int = Field(sa_column=_day())
    seed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    began_s: int = Field(sa_column=Column(BigInteger, nullable=False))
    depth: int | None = Field(default=None, sa_column=Column(Integer, nullable=True))


class StatementShareRow(SQLModel, table=True):
    """What one account was owed, and the leaves over which that is split.

    key     32 bytes of which salts and split follow; empty in the place of one that was forgotten before it was kept
    places  of its parts in their order, 4 bytes each (big-endian)
    """

    __tablename__ = "statement_shares"
    day: int = Field(sa_column=_day())
    account: str = Field(sa_column=Column(String, primary_key=True))
    key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    micro_sparks: int = Field(sa_column=Column(BigInteger, nullable=False))
    deferred_micro_sparks: int = Field(sa_column=Column(BigInteger, nullable=False))
    places: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class StatementTileRow(SQLModel, table=True):
    """Up to 256 neighbouring nodes at height 8 x level above the leaves (`contracts.wire.liabilities.node_bytes`)."""

    __tablename__ = "statement_tiles"
    day: int = Field(sa_column=_day())
    level: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    n: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    nodes: bytes = Field(sa_column=Column(LargeBinary, nullable=False))

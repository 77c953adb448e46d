"""What a member's node remembers besides its copy: the newest tree it signed, and where it disagreed."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, Table
from sqlmodel import Field, SQLModel


def _big(*, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    big = BigInteger().with_variant(Integer(), "sqlite")
    return Column(big, primary_key=primary_key, nullable=nullable, autoincrement=False)


class CosignedRow(SQLModel, table=True):
    """The largest tree of a log that this member has co-signed; written before the signature leaves.

    note  the checkpoint with the log's signature and this member's
    """

    __tablename__ = "cosigned"
    origin: str = Field(primary_key=True)
    size: int = Field(sa_column=_big())
    root: bytes
    note: bytes


class DisagreementRow(SQLModel, table=True):
    """Something that was refused: the entry and both values. Nothing beyond it is signed until a person has decided.

    decided_s  when that was; None: it stands
    """

    __tablename__ = "disagreements"
    number: int = Field(sa_column=_big(primary_key=True))
    index: int = Field(sa_column=_big())
    source: str
    what: str
    ours: str
    theirs: str
    seen_s: int = Field(sa_column=_big())
    decided_s: int | None = Field(default=None, sa_column=_big(nullable=True))


COSIGNED: Final[Table] = SQLModel.metadata.tables["cosigned"]
DISAGREEMENTS: Final[Table] = SQLModel.metadata.tables["disagreements"]

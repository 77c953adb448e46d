"""The tables of what is set aside. No program is imported here, so that migrations can read it alone."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

# On SQLite only an INTEGER can be the row id itself; it has 64 bits there.
BIG = BigInteger().with_variant(Integer(), "sqlite")


def _big(*, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(BIG, primary_key=primary_key, nullable=nullable, autoincrement=False)


class QuarantineRow(SQLModel, table=True):
    """Messages of a unit with the same bytes and the same reason (interfaces.md 1).

    seq         the number it claims, if that could be read
    entry_index of the ledger's entry that refused it, else None
    raw         the bytes, cut at 32 KiB; None where they are not kept
    size_bytes  of the whole message
    state       see `quarantine.State`
    note        why it was discarded
    """

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("device_id", "sha256", "reason", name="uq_quarantine_message"),
        Index("ix_quarantine_state", "state", "id"),
    )
    id: int | None = Field(default=None, sa_column=Column(BIG, primary_key=True))
    device_id: str = Field(max_length=64)
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str = Field(max_length=32)
    seq: int | None = Field(default=None, sa_column=_big(nullable=True))
    entry_index: int | None = Field(default=None, sa_column=_big(nullable=True))
    count: int = Field(sa_column=_big())
    first_seen_s: int = Field(sa_column=_big())
    last_seen_s: int = Field(sa_column=_big())
    raw: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    size_bytes: int = Field(sa_column=_big())
    state: str = Field(max_length=16)
    note: str


class ParkedRow(SQLModel, table=True):
    """A pack that waits for the numbers before it, or for the time at which it ends.

    due_s  ledger time from which it may be decided; None: only the order is missing
    """

    __tablename__ = "parked"
    __table_args__ = (Index("ix_parked_due", "due_s"),)
    device_id: str = Field(primary_key=True, max_length=64)
    seq: int = Field(sa_column=_big(primary_key=True))
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    message: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    due_s: int | None = Field(default=None, sa_column=_big(nullable=True))
    parked_s: int = Field(sa_column=_big())


class ReceiptSentRow(SQLModel, table=True):
    """The number that the last receipt sent to a unit covers."""

    __tablename__ = "receipts_sent"
    device_id: str = Field(primary_key=True, max_length=64)
    seq: int = Field(sa_column=_big())


class MessageCountRow(SQLModel, table=True):
    """How many messages ended in one way."""

    __tablename__ = "message_counts"
    outcome: str = Field(primary_key=True, max_length=32)
    n: int = Field(sa_column=_big())


class InstructionRow(SQLModel, table=True):
    """Something to tell a unit, until it is sent.

    payload  the CBOR of a `contracts.wire.receipts.Instruction`
    """

    __tablename__ = "instructions"
    id: int | None = Field(default=None, sa_column=Column(BIG, primary_key=True))
    device_id: str = Field(max_length=64)
    payload: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ResendAskedRow(SQLModel, table=True):
    """When a unit was last asked to send again, by the wall clock in Unix seconds."""

    __tablename__ = "resends_asked"
    device_id: str = Field(primary_key=True, max_length=64)
    asked_s: int = Field(sa_column=_big())

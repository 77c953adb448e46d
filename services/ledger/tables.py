"""The ledger's tables, on SQLite and PostgreSQL alike. Only the writer writes them, in one transaction a batch.

What is public is in `entries` and `tiles`; what is private is in `payloads`; `postings`, `state` and `packs` follow
from these by re-execution, and `sparks ledger verify` compares every byte of them.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, String, Table, text
from sqlmodel import Field, SQLModel

_IS_DUE: Final = text("due_s IS NOT NULL")
_ONLY_DUE: Final[dict[str, Any]] = {"sqlite_where": _IS_DUE, "postgresql_where": _IS_DUE}


def _big(*, primary_key: bool = False, nullable: bool = False, index: bool = False) -> Column[int]:
    """64 bits. On SQLite only an INTEGER, which has as many, can be the row id itself."""
    big = BigInteger().with_variant(Integer(), "sqlite")
    return Column(big, primary_key=primary_key, nullable=nullable, index=index, autoincrement=False)


def _bytes(*, primary_key: bool = False, nullable: bool = False) -> Column[bytes]:
    return Column(LargeBinary, primary_key=primary_key, nullable=nullable)


def _key(*, primary_key: bool = False) -> Column[str]:
    """Text that is read in ranges: ordered by its bytes, whatever language the database speaks."""
    return Column(String().with_variant(String(collation="C"), "postgresql"), primary_key=primary_key, nullable=False)


class EntryRow(SQLModel, table=True):
    """A leaf of the log: the public bytes of one entry (`entries.Entry`), and its time for range queries."""

    __tablename__ = "entries"
    index: int = Field(sa_column=_big(primary_key=True))
    at_s: int = Field(sa_column=_big(index=True))
    entry: bytes = Field(sa_column=_bytes())


class PayloadRow(SQLModel, table=True):
    """What an entry commits to: the request, the effects, each with its salt, and the answer to the caller.

    Erased (`erasing`) are request, request_salt and result; they are then empty, and so is no other.
    """

    __tablename__ = "payloads"
    index: int = Field(sa_column=_big(primary_key=True))
    request: bytes = Field(sa_column=_bytes())
    request_salt: bytes = Field(sa_column=_bytes())
    effects: bytes = Field(sa_column=_bytes())
    effects_salt: bytes = Field(sa_column=_bytes())
    result: bytes = Field(sa_column=_bytes())


class SegmentRow(SQLModel, table=True):
    """A segment file (`segments`) that holds the payloads of the entries in [first, after), which `payloads` has not.

    sha256  of the file, which is its name
    """

    __tablename__ = "segments"
    first: int = Field(sa_column=_big(primary_key=True))
    after: int = Field(sa_column=_big())
    sha256: bytes = Field(sa_column=_bytes())
    size_bytes: int = Field(sa_column=_big())
    archived_s: int = Field(sa_column=_big())


class SegmentKeyRow(SQLModel, table=True):
    """The keys that open what may be erased of 32 payloads in segments, those of the entries from 32 n on.

    An erasure writes zeros over a key: the file keeps what nobody can read any more.
    """

    __tablename__ = "segment_keys"
    n: int = Field(sa_column=_big(primary_key=True))
    keys: bytes = Field(sa_column=_bytes())


class RequestRow(SQLModel, table=True):
    """Which entry answered a caller's id, and the digest of what the caller was asked."""

    __tablename__ = "requests"
    id: bytes = Field(sa_column=_bytes(primary_key=True))
    digest: bytes = Field(sa_column=_bytes())
    index: int = Field(sa_column=_big())


class RejectionRow(SQLModel, table=True):
    """A request that was rejected and must be answered alike when it is sent again; no entry was written.

    facts  deterministic CBOR of the rejection's facts
    size   the tree size at which it was rejected
    seal   SHA-256 over all the other fields, so that a changed byte shows
    """

    __tablename__ = "rejections"
    id: bytes = Field(sa_column=_bytes(primary_key=True))
    digest: bytes = Field(sa_column=_bytes())
    reason: str
    facts: bytes = Field(sa_column=_bytes())
    at_s: int = Field(sa_column=_big(index=True))
    size: int = Field(sa_column=_big())
    seal: bytes = Field(sa_column=_bytes())


class PostingRow(SQLModel, table=True):
    """One leg of an entry; the legs of an entry sum to zero per asset."""

    __tablename__ = "postings"
    __table_args__ = (Index("ix_postings_account", "account", "index"),)
    index: int = Field(sa_column=_big(primary_key=True))
    leg: int = Field(primary_key=True)
    asset: str
    account: str
    amount: int = Field(sa_column=_big())


class StateRow(SQLModel, table=True):
    """One row of `contracts.state` (all kinds but `pack`): its key, the entry that last wrote it, its bytes.

    due_s  when the writer must act on it by itself (`contracts.state.due_s`)
    """

    __tablename__ = "state"
    __table_args__ = (Index("ix_state_due_s", "due_s", **_ONLY_DUE),)
    key: str = Field(sa_column=_key(primary_key=True))
    version: int = Field(sa_column=_big())
    value: bytes = Field(sa_column=_bytes())
    due_s: int | None = Field(default=None, sa_column=_big(nullable=True))


class PackRow(SQLModel, table=True):
    """The `pack` rows of `contracts.state`, in columns, because fleets and series are asked for by unit and time.

    version   the entry that last wrote it
    index     the entry of the first decision;  again_at  that of the second, if any
    """

    __tablename__ = "packs"
    __table_args__ = (Index("ix_packs_start", "device_id", "start_s"),)
    device_id: str = Field(primary_key=True)
    seq: int = Field(sa_column=_big(primary_key=True))
    version: int = Field(sa_column=_big())
    sha256: bytes = Field(sa_column=_bytes())
    refusal: str
    index: int = Field(sa_column=_big())
    start_s: int = Field(sa_column=_big())
    end_s: int = Field(sa_column=_big())
    again_at: int | None = Field(default=None, sa_column=_big(nullable=True))


class RowVersionRow(SQLModel, table=True):
    """A row of `contracts.state` as entry `version` left it, of those that `versions.kept` keeps; never changed."""

    __tablename__ = "row_versions"
    key: str = Field(sa_column=_key(primary_key=True))
    version: int = Field(sa_column=_big(primary_key=True, index=True))
    value: bytes = Field(sa_column=_bytes())


class RowsReadRow(SQLModel, table=True):
    """What executing an entry read (`rows_read`), of collections that some members see without all others."""

    __tablename__ = "rows_read"
    index: int = Field(sa_column=_big(primary_key=True))
    rows: bytes = Field(sa_column=_bytes())


class SubjectRow(SQLModel, table=True):
    """Whom an entry is about, where neither its postings nor `packs` tell (`subjects.subjects_of`)."""

    __tablename__ = "subjects"
    __table_args__ = (Index("ix_subjects_subject", "subject", "index"),)
    index: int = Field(sa_column=_big(primary_key=True))
    subject: str = Field(sa_column=_key(primary_key=True))


class ErasureRow(SQLModel, table=True):
    """An entry that erases others; erased_s says when that was done here (None: not yet)."""

    __tablename__ = "erasures"
    index: int = Field(sa_column=_big(primary_key=True))
    erased_s: int | None = Field(default=None, sa_column=_big(nullable=True))


class NoticeRow(SQLModel, table=True):
    """What such an entry erases here, in a copy that is given a part and does not see the entry (`Notice`).

    erased  deterministic CBOR: indexes in order
    """

    __tablename__ = "erasure_notices"
    index: int = Field(sa_column=_big(primary_key=True))
    customer_hash: bytes = Field(sa_column=_bytes())
    erased: bytes = Field(sa_column=_bytes())


class GivenRow(SQLModel, table=True):
    """The one row of a copy that is given the payloads of some collections; a copy of all has none.

    collections  their names in order, with a space between
    executed     how many entries it was given
    """

    __tablename__ = "given"
    __table_args__ = (CheckConstraint("id = 1", name="ck_given_one_row"),)
    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    collections: str
    executed: int = Field(sa_column=_big())


class TileRow(SQLModel, table=True):
    """A Merkle tile (C2SP tlog-tiles): 1 to 256 hashes; the rightmost of each level are the frontier."""

    __tablename__ = "tiles"
    level: int = Field(primary_key=True)
    n: int = Field(sa_column=_big(primary_key=True))
    hashes: bytes = Field(sa_column=_bytes())


class CheckpointRow(SQLModel, table=True):
    """A signed checkpoint, one for each committed batch."""

    __tablename__ = "checkpoints"
    size: int = Field(sa_column=_big(primary_key=True))
    note: bytes = Field(sa_column=_bytes())


class LeaseRow(SQLModel, table=True):
    """The one row that says who writes (`lease`): a commit of another epoch changes nothing.

    renewed_ms  by the database's clock: with every commit on PostgreSQL, on SQLite when the epoch began
    """

    __tablename__ = "lease"
    __table_args__ = (CheckConstraint("id = 1", name="ck_lease_one_row"),)
    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    epoch: int = Field(sa_column=_big())
    holder: str
    renewed_ms: int = Field(sa_column=_big())


class EpochRow(SQLModel, table=True):
    """Who took the lease when, and which entry came first; up to the first of the next epoch, all are its own."""

    __tablename__ = "epochs"
    epoch: int = Field(sa_column=_big(primary_key=True))
    holder: str
    first_index: int = Field(sa_column=_big())
    taken_ms: int = Field(sa_column=_big())


class DeliveryRow(SQLModel, table=True):
    """A page of payloads that a member was given: the entries in [first, after), and the member's signature for it.

    sha256   of the page
    receipt  None until the member has signed for it, which it must before it gets another
    """

    __tablename__ = "deliveries"
    member_id: str = Field(primary_key=True)
    number: int = Field(sa_column=_big(primary_key=True))
    first: int = Field(sa_column=_big())
    after: int = Field(sa_column=_big())
    sha256: bytes = Field(sa_column=_bytes())
    at_s: int = Field(sa_column=_big())
    receipt: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))


class CosignatureRow(SQLModel, table=True):
    """A member's cosignature of a checkpoint: the line as it stands in a note, checked before it was kept."""

    __tablename__ = "cosignatures"
    size: int = Field(sa_column=_big(primary_key=True))
    member_id: str = Field(primary_key=True)
    line: str
    time_s: int = Field(sa_column=_big())


def _table(model: type[SQLModel]) -> Table:
    table: Table = SQLModel.metadata.tables[str(model.__tablename__)]
    return table


# The same tables for statements in columns: the ledger moves rows by the hundred and never as objects.
ENTRIES: Final = _table(EntryRow)
PAYLOADS: Final = _table(PayloadRow)
SEGMENTS: Final = _table(SegmentRow)
SEGMENT_KEYS: Final = _table(SegmentKeyRow)
REQUESTS: Final = _table(RequestRow)
REJECTIONS: Final = _table(RejectionRow)
POSTINGS: Final = _table(PostingRow)
STATE: Final = _table(StateRow)
PACKS: Final = _table(PackRow)
ROW_VERSIONS: Final = _table(RowVersionRow)
ROWS_READ: Final = _table(RowsReadRow)
SUBJECTS: Final = _table(SubjectRow)
ERASURE_NOTICES: Final = _table(NoticeRow)
ERASURES: Final = _table(ErasureRow)
GIVEN: Final = _table(GivenRow)
TILES: Final = _table(TileRow)
CHECKPOINTS: Final = _table(CheckpointRow)
LEASE: Final = _table(LeaseRow)
EPOCHS: Final = _table(EpochRow)
DELIVERIES: Final = _table(DeliveryRow)
COSIGNATURES: Final = _table(CosignatureRow)

"""Why: payloads that are old may lie in compressed files, each found by its range and opened by a key kept here."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary

revision = "0015_segments"
down_revision = "0014_statements"
branch_labels = None
depends_on = None


def _big() -> BigInteger:
    return BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "segments",
        Column("first", _big(), primary_key=True, autoincrement=False),
        Column("after", _big(), nullable=False),
        Column("sha256", LargeBinary, nullable=False),
        Column("size_bytes", _big(), nullable=False),
        Column("archived_s", _big(), nullable=False),
    )
    op.create_table(
        "segment_keys",
        Column("n", _big(), primary_key=True, autoincrement=False),
        Column("keys", LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("segment_keys")
    op.drop_table("segments")

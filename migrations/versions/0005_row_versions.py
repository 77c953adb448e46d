"""Why: an old award can be explained from the rows that it was computed from, as they were then."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0005_row_versions"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "row_versions",
        Column("key", String().with_variant(String(collation="C"), "postgresql"), primary_key=True),
        Column("version", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
        Column("value", LargeBinary, nullable=False),
    )
    op.create_index("ix_row_versions_version", "row_versions", ["version"])


def downgrade() -> None:
    op.drop_table("row_versions")

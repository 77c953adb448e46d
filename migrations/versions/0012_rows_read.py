"""Why: a member that is given a part of the payloads executes entries on the rows that they read, as they were."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary

revision = "0012_rows_read"
down_revision = "0010_departures"
branch_labels = None
depends_on = None

BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rows_read",
        Column("index", BIG, primary_key=True, autoincrement=False),
        Column("rows", LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("rows_read")

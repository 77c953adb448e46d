"""Why: what units are to be told outlives a crash of whoever tells them, and none is asked twice in a short time."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0003_instructions"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "instructions",
        Column("id", BIG, primary_key=True),
        Column("device_id", String(64), nullable=False),
        Column("payload", LargeBinary, nullable=False),
    )
    op.create_table(
        "resends_asked",
        Column("device_id", String(64), primary_key=True),
        Column("asked_s", BIG, nullable=False, autoincrement=False),
    )


def downgrade() -> None:
    op.drop_table("resends_asked")
    op.drop_table("instructions")

"""Why: what members are to decide waits for their approvals, which come one by one."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, String

revision = "0008_proposals"
down_revision = "0007_members_copies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "proposals",
        Column("id", String(64), primary_key=True),
        Column("kind", String(64), nullable=False),
        Column("request", LargeBinary, nullable=False),
        Column("proposed_by", String(255), nullable=False),
        Column("proposed_s", BigInteger, nullable=False),
        Column("outcome", String(64), nullable=False),
        Column("entry_index", BigInteger),
    )
    op.create_index("ix_proposals_proposed_s", "proposals", ["proposed_s"])
    op.create_table(
        "approvals",
        Column("proposal_id", String(64), ForeignKey("proposals.id"), primary_key=True),
        Column("member_id", String(64), primary_key=True),
        Column("signature", LargeBinary, nullable=False),
        Column("approved_s", BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("approvals")
    op.drop_table("proposals")

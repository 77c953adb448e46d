"""Why: people enrol and sign in, and whoever guesses passwords is slowed down."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String, UniqueConstraint

revision = "0004"
down_revision = "0003_instructions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customers",
        Column("customer_id", String, primary_key=True),
        Column("email", String, nullable=False),
        Column("password_hash", String, nullable=False),
        Column("name", String, nullable=False),
        Column("postal_code", String, nullable=False),
        Column("language", String, nullable=False),
        Column("consent_version", String, nullable=False),
        Column("consent_at_s", BigInteger, nullable=False),
        Column("created_s", BigInteger, nullable=False),
        UniqueConstraint("email", name="uq_customers_email"),
    )
    op.create_table(
        "sign_in_attempts",
        Column("number", Integer, primary_key=True),
        Column("subject", String, nullable=False),
        Column("at_s", BigInteger, nullable=False),
    )
    op.create_index("ix_sign_in_attempts_subject", "sign_in_attempts", ["subject"])
    op.create_index("ix_sign_in_attempts_at_s", "sign_in_attempts", ["at_s"])


def downgrade() -> None:
    op.drop_table("sign_in_attempts")
    op.drop_table("customers")

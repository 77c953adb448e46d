"""What Alembic runs: the versions, on the connection that `services.database.migrate` gives."""

from alembic import context

from migrations.models import metadata

connection = context.config.attributes["connection"]
# SQLite changes a column by copying its table; "batch" does that there, and nothing special on PostgreSQL.
context.configure(connection=connection, target_metadata=metadata(), render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

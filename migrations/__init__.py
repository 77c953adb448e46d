"""The schema of the database, version by version, on SQLite and PostgreSQL alike (Alembic).

Owns every table's making and taking away; refuses to run by itself: `services.database.migrate` runs it.
To change the schema, change a `tables.py` and add `versions/{next number}_{what}.py` with the version before it as
`down_revision` and one sentence of why; the tests compare the result with the models, on both engines and both ways.
"""

"""The versions add up to the models, on both engines, and can be taken back."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from migrations.models import metadata
from services import database


@pytest.fixture
def versions():
    config = Config()
    config.set_main_option("script_location", "migrations:")
    return ScriptDirectory.from_config(config)


def test_the_versions_follow_one_another_in_one_line(versions):
    assert len(versions.get_heads()) == 1
    assert len(versions.get_bases()) == 1


def test_each_version_says_why(versions):
    silent = [script.revision for script in versions.walk_revisions() if not script.doc.startswith("Why: ")]

    assert silent == []


def test_what_the_versions_make_is_what_the_models_say(database_url):
    database.migrate(database_url)

    engine = database.engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata()) == []
    engine.dispose()


def test_what_was_made_is_taken_away_again_and_can_be_made_once_more(database_url):
    engine = database.engine(database_url)
    database.migrate(database_url)

    database.unmigrate(database_url)
    assert inspect(engine).get_table_names() == ["alembic_version"]

    database.migrate(database_url)
    assert set(metadata().tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_making_what_is_made_changes_nothing(database_url):
    database.migrate(database_url)
    database.migrate(database_url)

    engine = database.engine(database_url)
    assert set(metadata().tables) == set(inspect(engine).get_table_names()) - {"alembic_version"}
    engine.dispose()

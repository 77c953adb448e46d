"""Fixtures for every test: a broker, a database on either engine, a last look for what is left running."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks import servers

# What these modules assert is explained like the assertions of a test.
pytest.register_assert_rewrite(
    "tests.invariants", "tests.services.ledger.builders", "tests.services.ledger.ledger_suite"
)

# No deadline: on a busy machine a slow example is no bug. More examples: pytest --hypothesis-profile=deep
settings.register_profile("quick", max_examples=50, deadline=None, print_blob=True)
settings.register_profile("deep", parent=settings.get_profile("quick"), max_examples=2_000)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Fail the last test if a process that some test started outlives them all."""
    yield
    assert _commands_of_children() == []


def _commands_of_children() -> list[str]:
    """Return the commands of our living children, but for the one multiprocessing keeps until we exit."""
    paths = [Path(f"/proc/{pid}/cmdline") for pid in servers.child_pids(os.getpid())]
    commands = [path.read_bytes().replace(b"\0", b" ").decode() for path in paths if path.exists()]
    return [command for command in commands if command and "multiprocessing.resource_tracker" not in command]


@pytest.fixture
def broker() -> Iterator[servers.Mosquitto]:
    """A Mosquitto for this test alone, open to anybody on loopback."""
    with servers.mosquitto() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Postgres]:
    """One PostgreSQL per test process. A test that stops or kills it starts its own: `servers.postgres()`."""
    with servers.postgres(fast=True) as running:
        yield running


@pytest.fixture
def postgres_url(postgres_server: servers.Postgres) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database for this test alone."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The SQLAlchemy URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'sparks.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database on each engine in turn; PostgreSQL is started only when it is the turn of one."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url

"""A platform and its brokers: the embedded one on a fresh table, and Mosquitto with dynamic security."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import SQLModel, create_engine

from benchmarks import servers
from services.broker.accounts import ADMIN_USERNAME, PLATFORM_USERNAME, BrokerAccounts, Login, TableAccounts
from services.broker.embedded import EmbeddedBroker
from services.broker.mosquitto import UNIT_ACCESS, MosquittoAccounts, first_config
from services.broker.tables import BrokerAccount

PLATFORM = Login(PLATFORM_USERNAME, "platform-password")
ADMIN = Login(ADMIN_USERNAME, "admin-password")


@dataclass(frozen=True, slots=True)
class Gate:
    """A running broker, and the accounts that it lets in."""

    port: int
    accounts: BrokerAccounts


def a_table(url: str) -> Engine:
    """Return an engine on an empty database with the table of the accounts."""
    engine = create_engine(url)
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables[BrokerAccount.__tablename__]])
    return engine


@contextmanager
def embedded_gate(engine: Engine) -> Iterator[Gate]:
    """An embedded broker on a free port."""
    broker = EmbeddedBroker(port=0, accounts=engine, platform=PLATFORM)
    broker.start()
    try:
        yield Gate(broker.port, TableAccounts(engine))
    finally:
        broker.stop()


@contextmanager
def mosquitto_gate(directory: Path) -> Iterator[Gate]:
    """A Mosquitto as a deployment configures it."""
    first_config(directory / "dynamic-security.json", admin=ADMIN, platform=PLATFORM)
    (directory / "units.acl").write_text(UNIT_ACCESS)
    config = f"""
acl_file {directory}/units.acl
plugin {servers.dynamic_security_plugin()}
plugin_opt_config_file {directory}/dynamic-security.json
"""
    with servers.mosquitto(config, allow_anonymous=False) as running:
        yield Gate(running.port, MosquittoAccounts(host="127.0.0.1", port=running.port, admin=ADMIN))


@pytest.fixture
def table(sqlite_url: str) -> Iterator[Engine]:
    """The accounts' table on SQLite."""
    engine = a_table(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["embedded", "mosquitto"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gate]:
    """Each broker in turn: what one promises, the other does too."""
    if request.param == "embedded":
        with embedded_gate(request.getfixturevalue("table")) as running:
            yield running
    else:
        with mosquitto_gate(tmp_path) as running:
            yield running

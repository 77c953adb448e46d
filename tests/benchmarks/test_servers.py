"""The tests' servers can be trusted: they keep what they must, and end when their test process does."""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt import publish, subscribe
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import servers


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as running:
        yield running


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may pass through: pytest's tmp_path is closed to them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def test_a_retained_message_survives_a_restart_of_the_broker(broker: servers.Mosquitto) -> None:
    publish.single("sparks/v1/a/receipts", b"kept", qos=1, retain=True, hostname="127.0.0.1", port=broker.port)

    broker.stop()
    broker.start()

    message = subscribe.simple(  # type: ignore[no-untyped-call]
        "sparks/v1/a/receipts", qos=1, hostname="127.0.0.1", port=broker.port
    )
    assert isinstance(message, mqtt.MQTTMessage)
    assert message.payload == b"kept"


def test_a_killed_broker_no_longer_listens(broker: servers.Mosquitto) -> None:
    broker.kill()

    assert not servers.accepts_connections(broker.port)


def test_dynamic_security_lets_the_administrator_in_and_nobody_else() -> None:
    with servers.mosquitto(dynamic_security=True) as broker:
        answers = {password: connect_answer(broker, password) for password in ("wrong", broker.admin_password)}

    assert answers == {"wrong": "Not authorized", broker.admin_password: "Success"}


def connect_answer(broker: servers.Mosquitto, password: str) -> str:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.admin_username, password)
    answers: list[str] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(str(reason))
    client.connect("127.0.0.1", broker.port)
    while not answers:
        client.loop()
    client.disconnect()
    return answers[0]


def test_a_committed_row_survives_the_killing_of_postgres(own_postgres: servers.Postgres) -> None:
    with own_postgres.fresh_database() as url:
        dsn = url.replace("+psycopg", "")
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS value")

        own_postgres.kill()
        own_postgres.start()

        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [(42,)]


def test_fresh_databases_are_strangers_to_each_other(postgres_server: servers.Postgres) -> None:
    with postgres_server.fresh_database() as first, postgres_server.fresh_database() as second:
        with psycopg.connect(first.replace("+psycopg", "")) as connection:
            connection.execute("CREATE TABLE mine (value int)")

        with psycopg.connect(second.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT to_regclass('mine')").fetchall() == [(None,)]


def test_a_dropped_database_does_not_wait_for_its_connections(postgres_server: servers.Postgres) -> None:
    with postgres_server.fresh_database() as url:
        connection = psycopg.connect(url.replace("+psycopg", ""))

    with closing(connection), pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


@pytest.mark.parametrize("server", ["mosquitto", "postgres"])
def test_a_server_ends_when_its_test_process_is_killed(server: str, open_folder: Path) -> None:
    script = (
        f"from benchmarks import servers\nwith servers.{server}() as running:\n"
        "    print(running.server.process.pid, flush=True)\n    input()"
    )
    test_process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(open_folder)},  # it will not be able to clean up
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert test_process.stdout is not None
    server_ended = os.pidfd_open(int(test_process.stdout.readline()))

    test_process.kill()
    test_process.communicate()

    readable, _, _ = select.select([server_ended], [], [], servers.STOP_S_MAX)
    os.close(server_ended)
    assert readable == [server_ended]


def test_a_server_that_cannot_start_says_why() -> None:
    with (
        pytest.raises(servers.ServerFailed, match="Unknown configuration variable"),
        servers.mosquitto("colour green"),
    ):
        pass


def test_a_free_port_is_not_one_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = listening.getsockname()[1]
        monkeypatch.setattr(servers, "PORTS", [taken, servers.free_port()])

        assert servers.free_port() != taken

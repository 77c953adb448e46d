"""What is the embedded broker's own: its thread, its port, its sessions, and that it loses nothing."""

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest
from sqlalchemy import Engine

from benchmarks import servers
from services.broker.accounts import Login
from services.broker.embedded import EmbeddedBroker, PortInUse
from services.broker.exchange import CLIENT_ID_LENGTH_MAX, SESSIONS_PER_UNIT_MAX, UNIT_WAITING_MAX
from services.broker.wire import PACKET_BYTES_MAX
from tests.services.broker.clients import Client, Refused, connected
from tests.services.broker.conftest import PLATFORM, Gate, embedded_gate

UNIT = Login("unit-1", "password-1")
OTHER = Login("unit-2", "password-2")


@pytest.fixture
def running(table: Engine) -> Iterator[Gate]:
    with embedded_gate(table) as gate:
        gate.accounts.admit([UNIT, OTHER])
        yield gate


def test_ten_thousand_readings_of_thirty_units_all_arrive(running: Gate) -> None:
    logins = [Login(f"home-{number}", f"password-{number}") for number in range(30)]
    running.accounts.admit(logins)
    sent = {(f"sparks/v1/home-{n % 30}/readings", b"%06d" % n + b"x" * 600) for n in range(10_000)}
    with ExitStack() as stack:
        platform = stack.enter_context(connected(running.port, PLATFORM, clean_session=False))
        platform.subscribe("sparks/v1/+/readings")
        units = {login.username: stack.enter_context(connected(running.port, login)) for login in logins}
        for topic, payload in sorted(sent, key=lambda message: message[1]):
            units[topic.split("/")[2]].paho.publish(topic, payload, qos=1)
        platform.wait_for(lambda: len(platform.heard) >= len(sent))
        assert {(message.topic, message.payload) for message in platform.heard} == sent


def test_the_readings_of_one_unit_arrive_in_order(running: Gate) -> None:
    with connected(running.port, PLATFORM) as platform, connected(running.port, UNIT) as unit:
        platform.subscribe("sparks/v1/+/readings")
        payloads = [b"%d" % number for number in range(500)]
        for payload in payloads:
            unit.paho.publish("sparks/v1/unit-1/readings", payload, qos=1)
        platform.wait_for(lambda: len(platform.heard) == 500)
        assert platform.payloads == payloads


def test_a_unit_that_leaves_right_after_its_acknowledgement_has_lost_nothing(running: Gate) -> None:
    with connected(running.port, PLATFORM) as platform:
        platform.subscribe("sparks/v1/+/readings")
        for number in range(50):
            with connected(running.port, UNIT) as unit:
                unit.publish("sparks/v1/unit-1/readings", b"%d" % number)
        platform.wait_for(lambda: len(platform.heard) == 50)


def test_more_than_the_window_waits_for_a_platform_that_does_not_acknowledge(running: Gate) -> None:
    with (
        connected(running.port, PLATFORM, clean_session=False, acknowledges=False) as platform,
        connected(running.port, UNIT) as unit,
    ):
        platform.subscribe("sparks/v1/+/readings")
        for number in range(1_500):
            unit.paho.publish("sparks/v1/unit-1/readings", b"%d" % number, qos=1)
        unit.publish("sparks/v1/unit-1/readings", b"last")
        platform.wait_for(lambda: len(platform.heard) == 1_000)
        for message in platform.heard[:1_000]:
            platform.paho.ack(message.mid, message.qos)
        platform.wait_for(lambda: len(platform.heard) == 1_501)
        assert platform.payloads[-1] == b"last"


def test_a_platform_that_connects_twice_goes_on_with_its_session_on_the_second(running: Gate) -> None:
    with connected(running.port, PLATFORM, clean_session=False) as first:
        first.subscribe("sparks/v1/+/readings")
        with (
            connected(running.port, PLATFORM, clean_session=False) as second,
            connected(running.port, UNIT) as unit,
        ):
            first.wait_until_gone()
            assert second.session_present
            unit.publish("sparks/v1/unit-1/readings", b"pack")
            second.wait_for(lambda: second.payloads == [b"pack"])


def test_a_wrong_password_does_not_end_the_session_of_that_client_id(running: Gate) -> None:
    with connected(running.port, UNIT) as unit, connected(running.port, PLATFORM) as platform:
        unit.subscribe("sparks/v1/unit-1/commands")
        with pytest.raises(Refused), connected(running.port, Login("unit-1", "guess")):
            pass
        platform.publish("sparks/v1/unit-1/commands", b"still here")
        unit.wait_for(lambda: unit.payloads == [b"still here"])


def test_a_unit_cannot_take_the_session_of_another_by_its_client_id(running: Gate) -> None:
    with (
        connected(running.port, UNIT) as unit,
        connected(running.port, OTHER, client_id=UNIT.username, clean_session=False) as other,
        connected(running.port, PLATFORM) as platform,
    ):
        unit.subscribe("sparks/v1/unit-1/commands")
        assert not other.session_present
        platform.publish("sparks/v1/unit-1/commands", b"for unit-1")
        unit.wait_for(lambda: unit.payloads == [b"for unit-1"])
        assert other.payloads == []


def test_a_last_will_does_not_pass_the_access_rule(running: Gate) -> None:
    with connected(running.port, PLATFORM) as platform:
        platform.subscribe("sparks/v1/+/readings")
        with connected(running.port, UNIT, will_topic="sparks/v1/unit-2/readings") as unit:
            _drop(unit)
            unit.wait_until_gone()
        with connected(running.port, UNIT) as unit:
            unit.publish("sparks/v1/unit-1/readings", b"after")
        platform.wait_for(lambda: b"after" in platform.payloads)
        assert platform.payloads == [b"after"]


def test_a_unit_that_is_away_keeps_the_newest_of_its_receipts(running: Gate) -> None:
    with connected(running.port, UNIT, clean_session=False) as unit:
        unit.subscribe("sparks/v1/unit-1/receipts")
    with connected(running.port, PLATFORM) as platform:
        for number in range(UNIT_WAITING_MAX + 20):
            platform.publish("sparks/v1/unit-1/receipts", b"%d" % number)
    with connected(running.port, UNIT, clean_session=False) as unit:
        unit.wait_for(lambda: len(unit.heard) == UNIT_WAITING_MAX)
        assert unit.payloads == [b"%d" % number for number in range(20, UNIT_WAITING_MAX + 20)]


def test_a_packet_beyond_the_limit_ends_its_own_connection_only(running: Gate) -> None:
    with connected(running.port, OTHER) as other, connected(running.port, PLATFORM) as platform:
        platform.subscribe("sparks/v1/+/readings")
        with connected(running.port, UNIT) as unit:
            unit.paho.publish("sparks/v1/unit-1/readings", b"x" * (PACKET_BYTES_MAX + 1), qos=1)
            unit.wait_until_gone()
        other.publish("sparks/v1/unit-2/readings", b"pack")
        platform.wait_for(lambda: platform.payloads == [b"pack"])


@pytest.mark.parametrize("spoken", [b"\x10\x10\x00\x04HTTP" + bytes(10), b"\xff" * 20])
def test_bytes_that_are_no_mqtt_end_their_own_connection_only(running: Gate, spoken: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port)) as stranger:
        stranger.sendall(spoken)
        stranger.settimeout(5)
        assert stranger.recv(1) == b""
    with connected(running.port, UNIT):
        pass


def test_a_port_in_use_is_one_clear_error(running: Gate, table: Engine) -> None:
    with pytest.raises(PortInUse, match=f"port {running.port} .* in use"):
        EmbeddedBroker(port=running.port, accounts=table, platform=PLATFORM).start()


def test_the_platforms_name_is_never_one_that_a_device_could_have(table: Engine) -> None:
    with pytest.raises(ValueError, match="could be a device"):
        EmbeddedBroker(port=0, accounts=table, platform=Login("platform", "password"))


def test_a_stopped_broker_frees_its_port_within_two_seconds_and_starts_again(table: Engine) -> None:
    broker = EmbeddedBroker(port=0, accounts=table, platform=PLATFORM)
    for _ in range(2):
        broker.start()
        with connected(broker.port, PLATFORM) as platform:
            asked_at = monotonic()
            broker.stop()
            assert monotonic() - asked_at < 2
            platform.wait_until_gone()
        assert not servers.accepts_connections(broker.port)
    broker.stop()


def test_nothing_is_logged_while_units_come_and_go(running: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.NOTSET):
        with connected(running.port, PLATFORM) as platform, connected(running.port, UNIT) as unit:
            platform.subscribe("sparks/v1/+/readings")
            unit.publish("sparks/v1/unit-1/readings", b"pack")
            _drop(unit)
            unit.wait_until_gone()
        with pytest.raises(Refused), connected(running.port, Login("unit-1", "guess")):
            pass
    assert [record for record in caplog.records if record.name.startswith("amqtt")] == []


def _drop(client: Client) -> None:
    """End the connection as a power cut would: without a word."""
    connection = client.paho.socket()
    assert isinstance(connection, socket.socket)
    connection.shutdown(socket.SHUT_RDWR)


def test_a_unit_under_ever_new_client_ids_keeps_only_its_newest_sessions(running: Gate) -> None:
    for number in range(SESSIONS_PER_UNIT_MAX + 2):
        with connected(running.port, UNIT, client_id=f"again-{number}", clean_session=False) as unit:
            unit.subscribe("sparks/v1/unit-1/receipts")

    with connected(running.port, PLATFORM) as platform:
        platform.publish("sparks/v1/unit-1/receipts", b"receipt")
    heard = []
    for number in range(SESSIONS_PER_UNIT_MAX + 2):
        with connected(running.port, UNIT, client_id=f"again-{number}", clean_session=False) as unit:
            unit.subscribe("sparks/v1/unit-1/commands")
            heard.append(unit.payloads)

    assert heard[0] == heard[1] == []


def test_a_client_id_of_any_length_is_not_admitted(running: Gate) -> None:
    with pytest.raises(Refused), connected(running.port, UNIT, client_id="x" * (CLIENT_ID_LENGTH_MAX + 1)):
        pytest.fail("admitted")

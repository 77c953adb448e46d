"""The embedded broker as clients of MQTT 5 meet it, alone and beside clients of 3.1.1."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import Random

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy import Engine

from services.broker.accounts import Login
from services.broker.frames import Reason, packet_of
from services.broker.wire import IN_FLIGHT_MAX, PACKET_BYTES_MAX
from tests.services.broker.clients import WAIT_S_MAX, Client, Refused, connected, connected_v5, properties_of
from tests.services.broker.conftest import PLATFORM, Gate, embedded_gate

UNIT = Login("unit-1", "password-1")
OTHER = Login("unit-2", "password-2")
READINGS = "sparks/v1/unit-1/readings"
RECEIPTS = "sparks/v1/unit-1/receipts"
COMMANDS = "sparks/v1/unit-1/commands"
PROMPT_S_MAX = 3

Speaking = Callable[[int, Login], AbstractContextManager[Client]]


@pytest.fixture
def running(table: Engine) -> Iterator[Gate]:
    with embedded_gate(table) as gate:
        gate.accounts.admit([UNIT, OTHER])
        yield gate


def a_connect(*, level: int = 5, name: bytes = b"MQTT", keepalive_s: int = 60) -> bytes:
    """A CONNECT of UNIT as raw bytes; of version 5 unless `level` says another."""
    properties = b"\x00" if level == 5 else b""
    login = b"\x00\x06unit-1\x00\x0apassword-1"
    head = len(name).to_bytes(2) + name + bytes([level, 0xC2, 0, keepalive_s]) + properties
    return packet_of(0x10, head + b"\x00\x03raw" + login)


@contextmanager
def a_stranger(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.settimeout(PROMPT_S_MAX)
        yield stranger


def said_until_closed(stranger: socket.socket) -> bytes:
    said = b""
    while more := stranger.recv(1_000):
        said += more
    return said


@contextmanager
def a_raw_unit(port: int, *, keepalive_s: int = 60) -> Iterator[socket.socket]:
    """UNIT on a bare socket, let in already."""
    with a_stranger(port) as raw:
        raw.sendall(a_connect(keepalive_s=keepalive_s))
        answer = raw.recv(1_000)
        assert (answer[0], answer[3]) == (0x20, 0)
        yield raw


def others_are_served(port: int) -> None:
    with connected_v5(port, PLATFORM) as platform, connected(port, OTHER) as other:
        platform.subscribe("sparks/v1/+/readings")
        other.publish("sparks/v1/unit-2/readings", b"pack")
        platform.wait_for(lambda: platform.payloads == [b"pack"])


# --- who is let in


def test_a_client_of_version_5_is_told_the_limits(running: Gate) -> None:
    with connected_v5(running.port, UNIT) as unit:
        assert unit.told == {
            "ReceiveMaximum": IN_FLIGHT_MAX,
            "MaximumQoS": 1,
            "MaximumPacketSize": PACKET_BYTES_MAX,
            "SubscriptionIdentifierAvailable": 0,
            "SharedSubscriptionAvailable": 0,
        }


@pytest.mark.parametrize("login", [Login("unit-1", "password-2"), Login("unit-3", ""), Login(PLATFORM.username, "")])
def test_a_wrong_password_is_refused_with_its_reason(running: Gate, login: Login) -> None:
    with pytest.raises(Refused, match="Not authorized"), connected_v5(running.port, login):
        pass


def test_a_client_without_a_name_is_given_one(running: Gate) -> None:
    with (
        connected_v5(running.port, UNIT, client_id="", clean_start=False) as one,
        connected_v5(running.port, UNIT, client_id="", clean_start=False) as two,
    ):
        assert one.told["AssignedClientIdentifier"] != two.told["AssignedClientIdentifier"]
        one.publish(READINGS, b"both are here")


@pytest.mark.parametrize(
    ("connect", "answer"),
    [
        (a_connect(level=3, name=b"MQIsdp"), b"\x20\x02\x00\x01"),
        (a_connect(level=3), b"\x20\x02\x00\x01"),
        (a_connect(level=0x84), b"\x20\x02\x00\x01"),
        (a_connect(level=6), b"\x20\x03\x00\x84\x00"),
        (a_connect(level=5)[:-1] + b"\xff", b"\x20\x03\x00\x87\x00"),
        (packet_of(0x10, b"\x00\x04MQTT\x05\xc2\x00\x3c\x05\xff"), b"\x20\x03\x00\x81\x00"),
        (packet_of(0x10, b"\x00\x04MQTT\x05"), b"\x20\x03\x00\x81\x00"),
    ],
)
def test_who_cannot_be_served_is_told_so_at_once(running: Gate, connect: bytes, answer: bytes) -> None:
    with a_stranger(running.port) as stranger:
        stranger.sendall(connect)
        assert said_until_closed(stranger) == answer
    others_are_served(running.port)


# --- messages


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_with_properties_reaches_the_platform(running: Gate, qos: int) -> None:
    properties = properties_of(
        PacketTypes.PUBLISH,
        UserProperty=[("meter", "7"), ("meter", "8")],
        ContentType="application/cose",
        MessageExpiryInterval=3_600,
        CorrelationData=bytes(64),
    )
    with connected_v5(running.port, PLATFORM) as platform, connected_v5(running.port, UNIT) as unit:
        platform.subscribe("sparks/v1/+/readings")
        unit.paho.publish(READINGS, b"pack", qos=qos, properties=properties)
        platform.wait_for(lambda: platform.payloads == [b"pack"])
        assert (platform.heard[0].topic, platform.heard[0].qos) == (READINGS, qos)


@pytest.mark.parametrize(("speaks", "hears"), [(connected, connected_v5), (connected_v5, connected)])
def test_both_versions_hear_each_other(running: Gate, speaks: Speaking, hears: Speaking) -> None:
    with hears(running.port, PLATFORM) as platform, speaks(running.port, UNIT) as unit:
        platform.subscribe("sparks/v1/+/readings")
        unit.subscribe(COMMANDS)
        payloads = [b"%d" % number + bytes(number * 100) for number in range(300)]
        for payload in payloads:
            unit.paho.publish(READINGS, payload, qos=1)
        platform.wait_for(lambda: len(platform.heard) == 300)
        assert platform.payloads == payloads
        platform.publish(COMMANDS, b"resend")
        unit.wait_for(lambda: unit.payloads == [b"resend"])


def test_a_retained_receipt_is_delivered_on_every_return(running: Gate) -> None:
    with connected_v5(running.port, PLATFORM) as platform:
        platform.publish(RECEIPTS, b"up to 1", retain=True)
    for _ in range(2):
        with connected_v5(running.port, UNIT) as unit:
            unit.subscribe(RECEIPTS)
            unit.wait_for(lambda: unit.payloads != [])
            assert [(message.payload, message.retain) for message in unit.heard] == [(b"up to 1", True)]


def test_a_subscription_to_anothers_topics_is_not_authorized(running: Gate) -> None:
    with connected_v5(running.port, UNIT) as unit, connected_v5(running.port, PLATFORM) as platform:
        for topic in ("sparks/v1/unit-2/receipts", "sparks/v1/+/receipts", "#", "$share/all/sparks/v1/+/readings"):
            unit.subscribe(topic)
            assert [reason.value for reason in unit.subscription_reasons] == [Reason.NOT_AUTHORIZED]
        unit.subscribe(RECEIPTS)
        assert [reason.value for reason in unit.subscription_reasons] == [1]
        platform.publish("sparks/v1/unit-2/receipts", b"for another")
        platform.publish(RECEIPTS, b"its own")
        unit.wait_for(lambda: unit.payloads == [b"its own"])


def test_what_a_unit_says_outside_its_readings_is_heard_by_nobody(running: Gate) -> None:
    with connected_v5(running.port, PLATFORM) as platform, connected_v5(running.port, UNIT) as unit:
        platform.subscribe("sparks/v1/+/readings")
        unit.publish("sparks/v1/unit-2/readings", b"forged")
        unit.publish(READINGS, b"after")
        platform.wait_for(lambda: platform.payloads == [b"after"])


def test_who_unsubscribes_hears_no_more_and_is_told(running: Gate) -> None:
    told: list[int] = []

    def note(_paho: object, _data: object, _id: int, reasons: list[ReasonCode], _more: object) -> None:
        told.extend(reason.value for reason in reasons)

    with connected_v5(running.port, UNIT) as unit, connected_v5(running.port, PLATFORM) as platform:
        unit.paho.on_unsubscribe = note
        unit.subscribe(COMMANDS)
        unit.subscribe(RECEIPTS)
        unit.paho.unsubscribe([COMMANDS, "never/subscribed"])
        unit.subscribe(RECEIPTS)  # answered after
        platform.publish(COMMANDS, b"unheard")
        platform.publish(RECEIPTS, b"heard")
        unit.wait_for(lambda: unit.payloads == [b"heard"])
        assert told == [0, 0]


def test_no_more_is_sent_ahead_than_the_client_takes(running: Gate) -> None:
    with (
        connected_v5(running.port, UNIT, acknowledges=False, receive_maximum=3) as unit,
        connected_v5(running.port, PLATFORM) as platform,
    ):
        unit.subscribe(COMMANDS)
        for number in range(7):
            platform.publish(COMMANDS, b"%d" % number)
        unit.wait_for(lambda: len(unit.heard) == 3)
        unit.subscribe(COMMANDS)  # its answer comes after all that was sent
        assert unit.payloads == [b"0", b"1", b"2"]
        unit.paho.ack(unit.heard[0].mid, 1)
        unit.wait_for(lambda: unit.payloads == [b"0", b"1", b"2", b"3"])


def test_a_message_too_large_for_the_client_is_left_out_and_the_next_arrives(running: Gate) -> None:
    with (
        connected_v5(running.port, UNIT, packet_bytes_max=200, receive_maximum=1) as unit,
        connected_v5(running.port, PLATFORM) as platform,
    ):
        unit.subscribe(COMMANDS)
        platform.publish(COMMANDS, bytes(200))
        platform.publish(COMMANDS, b"small")
        unit.wait_for(lambda: unit.payloads == [b"small"])


# --- sessions


def test_readings_wait_for_a_platform_whose_session_has_not_expired(running: Gate) -> None:
    with connected_v5(running.port, PLATFORM, clean_start=True, session_expiry_s=60) as platform:
        assert not platform.session_present
        platform.subscribe("sparks/v1/+/readings")
    with connected_v5(running.port, UNIT) as unit:
        for number in range(10):
            unit.publish(READINGS, b"%d" % number)
    with connected_v5(running.port, PLATFORM, clean_start=False, session_expiry_s=60, acknowledges=False) as platform:
        assert platform.session_present
        platform.wait_for(lambda: len(platform.heard) == 10)
    with connected_v5(running.port, PLATFORM, clean_start=False) as platform:
        platform.wait_for(lambda: platform.payloads == [b"%d" % number for number in range(10)])
        assert all(message.dup for message in platform.heard)
    with connected_v5(running.port, PLATFORM, clean_start=False) as platform:
        assert not platform.session_present


def test_a_clean_start_ends_the_session_before_it(running: Gate) -> None:
    for _ in range(2):
        with connected_v5(running.port, UNIT, clean_start=True, session_expiry_s=60) as unit:
            assert not unit.session_present
            unit.subscribe(COMMANDS)
    with connected_v5(running.port, UNIT, clean_start=False, session_expiry_s=60) as unit:
        assert unit.session_present


def test_a_session_goes_on_in_the_other_version(running: Gate) -> None:
    with connected(running.port, UNIT, clean_session=False) as unit:
        unit.subscribe(COMMANDS)
    with connected(running.port, PLATFORM) as platform:
        platform.publish(COMMANDS, b"first")
    with connected_v5(running.port, UNIT, clean_start=False, session_expiry_s=60) as unit:
        unit.wait_for(lambda: unit.payloads == [b"first"])
        unit.subscribe(COMMANDS)  # its answer says that the acknowledgement has arrived
    with connected(running.port, PLATFORM) as platform:
        platform.publish(COMMANDS, b"second")
    with connected(running.port, UNIT, clean_session=False) as unit:
        unit.wait_for(lambda: unit.payloads == [b"second"])


def test_a_session_ends_once_its_time_is_over(running: Gate) -> None:
    for is_kept in (False, True):
        with connected_v5(running.port, OTHER, clean_start=False, session_expiry_s=1) as other:
            assert other.session_present is is_kept
    # A client that is silent for longer than it promised is sent away after 3 s: by then a second has passed.
    with a_raw_unit(running.port, keepalive_s=2) as silent:
        silent.settimeout(WAIT_S_MAX)
        assert said_until_closed(silent) == b""
    with connected_v5(running.port, OTHER, clean_start=False) as other:
        assert not other.session_present


def test_a_disconnect_may_end_a_session_that_was_to_be_kept(running: Gate) -> None:
    with connected_v5(running.port, UNIT, session_expiry_s=60) as unit:
        unit.subscribe(COMMANDS)
        unit.paho.disconnect(properties=properties_of(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
        unit.wait_until_gone()
    with connected_v5(running.port, UNIT, clean_start=False) as unit:
        assert not unit.session_present


def test_a_client_that_comes_back_many_times_at_once_is_let_in_at_last(running: Gate) -> None:
    with ExitStack() as stack:
        strangers = [stack.enter_context(a_stranger(running.port)) for _ in range(60)]
        for stranger in strangers:
            stranger.sendall(a_connect())
        for stranger in strangers:
            stranger.recv(1_000)  # let in, or sent away already by one that came later
    with connected_v5(running.port, PLATFORM) as platform, connected_v5(running.port, UNIT, client_id="raw") as unit:
        platform.subscribe("sparks/v1/+/readings")
        unit.publish(READINGS, b"pack")
        platform.wait_for(lambda: platform.payloads == [b"pack"])


def test_a_last_will_is_taken_and_not_published_as_in_3_1_1(running: Gate) -> None:
    with connected_v5(running.port, PLATFORM) as platform:
        platform.subscribe("sparks/v1/+/readings")
        with connected_v5(running.port, UNIT, will_topic="sparks/v1/unit-2/readings") as unit:
            _drop(unit)
            unit.wait_until_gone()
        with connected_v5(running.port, UNIT) as unit:
            unit.publish(READINGS, b"after")
        platform.wait_for(lambda: platform.payloads == [b"after"])


def test_a_keepalive_is_answered_and_its_absence_ends_the_connection(running: Gate) -> None:
    with a_raw_unit(running.port, keepalive_s=1) as raw:
        raw.sendall(b"\xc0\x00")
        assert raw.recv(1_000) == b"\xd0\x00"
        assert said_until_closed(raw) == b""


# --- what is malformed harms its own connection only


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (packet_of(0x32, b"\x00\x19" + READINGS.encode() + b"\x00\x01\x7f"), Reason.MALFORMED_PACKET),
        (packet_of(0x34, b"\x00\x19" + READINGS.encode() + b"\x00\x01\x00"), Reason.QOS_NOT_SUPPORTED),
        (b"\x32" + b"\xff\xff\x7f", Reason.PACKET_TOO_LARGE),
        (b"\x32" + b"\xff\xff\xff\xff", Reason.MALFORMED_PACKET),
        (packet_of(0xF0, b"\x18\x00"), Reason.PROTOCOL_ERROR),
        (a_connect(), Reason.PROTOCOL_ERROR),
    ],
)
def test_a_client_that_breaks_the_rules_is_told_which_and_sent_away(
    running: Gate, packet: bytes, reason: Reason
) -> None:
    with a_raw_unit(running.port) as raw:
        raw.sendall(packet)
        assert said_until_closed(raw) == bytes([0xE0, 2, reason, 0])
    others_are_served(running.port)


def test_a_packet_beyond_the_limit_ends_its_own_connection_only(running: Gate) -> None:
    with connected_v5(running.port, UNIT) as unit:
        unit.paho.publish(READINGS, bytes(PACKET_BYTES_MAX + 1), qos=1)
        unit.wait_until_gone()
    others_are_served(running.port)


def test_random_bytes_and_broken_packets_harm_nobody(running: Gate) -> None:
    chance = Random(5)
    whole = a_connect()
    with connected_v5(running.port, PLATFORM) as platform, connected_v5(running.port, OTHER) as other:
        platform.subscribe("sparks/v1/+/readings")
        for cut in range(1, len(whole) - 2):
            with a_stranger(running.port) as stranger:
                stranger.sendall(whole[:cut])
            with a_stranger(running.port) as stranger:
                stranger.sendall(packet_of(0x10, whole[2 : 2 + cut]) + chance.randbytes(9))
        for _ in range(100):
            with a_stranger(running.port) as stranger:
                stranger.sendall(chance.randbytes(chance.randrange(1, 200)))
            with a_raw_unit(running.port) as raw:
                raw.sendall(packet_of(chance.randrange(256), chance.randbytes(chance.randrange(60))))
        other.publish("sparks/v1/unit-2/readings", b"pack")
        platform.wait_for(lambda: b"pack" in platform.payloads)
        assert platform.payloads == [b"pack"]


def test_two_halves_of_a_packet_may_come_far_apart(running: Gate) -> None:
    packet = packet_of(0x32, b"\x00\x19" + READINGS.encode() + b"\x00\x01\x00pack")
    with connected_v5(running.port, PLATFORM) as platform, a_raw_unit(running.port) as raw:
        platform.subscribe("sparks/v1/+/readings")
        for byte in packet:
            raw.sendall(bytes([byte]))
            platform.subscribe("sparks/v1/+/readings")  # a round trip: the broker has looked at what came before
        assert raw.recv(1_000) == b"\x40\x02\x00\x01"
        platform.wait_for(lambda: platform.payloads == [b"pack"])


def _drop(client: Client) -> None:
    """End the connection as a power cut would: without a word."""
    connection = client.paho.socket()
    assert isinstance(connection, socket.socket)
    connection.shutdown(socket.SHUT_RDWR)

"""The translation alone: whatever a client of MQTT 5 sends becomes one whole packet of 3.1.1, or a reason to go."""

import asyncio

import pytest
from amqtt.adapters import BufferReader
from amqtt.mqtt import packet_class
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import MQTTFixedHeader
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes

from services.broker import frames, mqtt5
from services.broker.frames import Reason, Violation, packet_of
from services.broker.mqtt5 import Asked, Dialect, Limits, connect_heard
from tests.services.broker.clients import properties_of

LIMITS = Limits(in_flight_max=2, packet_bytes_max=1_000)
PUBLISH = b"\x00\x01a\x00\x07"  # topic and packet id


def a_dialect(*, session_expiry_s: int = 60) -> Dialect:
    asked = Asked(
        starts_clean=True,
        session_expiry_s=session_expiry_s,
        in_flight_max=10,
        packet_bytes_max=1_000,
        assigned_client_id="",
    )
    return Dialect(asked, LIMITS)


def a_connect(*, flags: int = 0x02, properties: bytes = b"\x00", payload: bytes = b"\x00\x01c") -> bytes:
    return packet_of(0x10, b"\x00\x04MQTT\x05" + bytes([flags]) + b"\x00\x3c" + properties + payload)


def block(packet_type: int, **values: object) -> bytes:
    """The property block of a packet, as paho writes it."""
    return bytes(properties_of(packet_type, **values).pack())  # type: ignore[no-untyped-call]


async def consumed(packet: bytes) -> int:
    """How many bytes of `packet` amqtt takes to read it."""
    reader = BufferReader(packet)
    header = await MQTTFixedHeader.from_stream(reader)
    assert header is not None
    await packet_class(header).from_stream(reader, fixed_header=header)
    return len(packet) - len(await reader.read())


@given(first_byte=st.integers(0, 255), body=st.binary(max_size=60))
@example(first_byte=0x82, body=b"\x00\x01\x00\x00\x01a\x01\x00\x01b\x2c")
@example(first_byte=0xA2, body=b"\x00\x01\x00\x00\x01a\x00\x01b")
@example(first_byte=0x32, body=PUBLISH + block(PacketTypes.PUBLISH, ContentType="a", UserProperty=("k", "v")) + b"x")
@example(first_byte=0x40, body=b"\x00\x01\x10" + block(PacketTypes.PUBACK, ReasonString="why"))
@example(first_byte=0xE0, body=b"\x04" + block(PacketTypes.DISCONNECT, SessionExpiryInterval=1))
def test_what_a_client_sends_is_one_whole_packet_to_amqtt_or_a_violation(first_byte: int, body: bytes) -> None:
    try:
        translated = a_dialect().heard(packet_of(first_byte, body))
    except Violation:
        return
    assert translated[0] == first_byte
    assert asyncio.run(consumed(translated)) == len(translated)


@given(flags=st.integers(0, 255), properties=st.binary(max_size=20), payload=st.binary(max_size=40))
@example(flags=0xC6, properties=b"", payload=b"\x00\x01c\x00\x00\x01w\x00\x01m\x00\x01u\x00\x01p")
def test_a_connect_is_one_whole_packet_to_amqtt_or_a_violation(flags: int, properties: bytes, payload: bytes) -> None:
    packet = a_connect(flags=flags, properties=bytes([len(properties)]) + properties, payload=payload)
    try:
        translated, _ = connect_heard(packet, spare_client_id="spare")
    except Violation:
        return
    assert asyncio.run(consumed(translated)) == len(translated)


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_connect_that_ends_too_early_is_malformed(cut: int) -> None:
    payload = b"\x00\x04unit\x00\x06unit-1\x00\x08password"
    whole = a_connect(flags=0xC2, payload=payload)
    with pytest.raises(Violation) as violation:
        connect_heard(packet_of(0x10, frames.body_of(whole)[:-cut]), spare_client_id="spare")
    assert violation.value.reason is Reason.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("clean_start", "expiry_s", "is_kept"), [(True, 0, False), (True, 60, True), (False, 0, False), (False, 60, True)]
)
def test_a_session_is_kept_if_it_has_an_expiry_and_fresh_if_asked(
    clean_start: bool, expiry_s: int, is_kept: bool
) -> None:
    connect = a_connect(flags=0x02 * clean_start, properties=block(PacketTypes.CONNECT, SessionExpiryInterval=expiry_s))
    translated, asked = connect_heard(connect, spare_client_id="spare")
    parsed = asyncio.run(ConnectPacket.from_stream(BufferReader(translated)))
    assert parsed.clean_session_flag is not is_kept
    assert asked.starts_clean is clean_start
    assert asked.session_expiry_s == expiry_s


def test_a_will_and_a_login_survive_without_their_properties() -> None:
    will = block(PacketTypes.WILLMESSAGE, WillDelayInterval=5, UserProperty=("k", "v"))
    payload = b"\x00\x01c" + will + b"\x00\x01w\x00\x02\xff\x00\x00\x01u\x00\x01p"
    translated, _ = connect_heard(a_connect(flags=0xCE, payload=payload), spare_client_id="spare")
    parsed = asyncio.run(ConnectPacket.from_stream(BufferReader(translated)))
    assert parsed.payload is not None
    assert (parsed.client_id, parsed.will_topic, parsed.payload.will_message) == ("c", "w", b"\xff\x00")
    assert (parsed.username, parsed.password, parsed.keep_alive) == ("u", "p", 60)


@pytest.mark.parametrize(
    ("connect", "reason"),
    [
        (a_connect(flags=0x03), Reason.MALFORMED_PACKET),
        (a_connect(flags=0x22), Reason.MALFORMED_PACKET),
        (a_connect(flags=0x16), Reason.QOS_NOT_SUPPORTED),
        (a_connect(payload=b"\x00\x01\xff"), Reason.MALFORMED_PACKET),
        (a_connect(payload=b"\x00\x01c\x00"), Reason.MALFORMED_PACKET),
        (a_connect(properties=b"\x02\x01\x00"), Reason.MALFORMED_PACKET),  # of a PUBLISH
        (a_connect(properties=b"\x01\x7f"), Reason.MALFORMED_PACKET),  # of nothing
        (a_connect(properties=b"\x02\x11\x00", payload=b"\x00\x00\x00\x00\x01c"), Reason.MALFORMED_PACKET),
        (a_connect(properties=b"\xff\xff\xff\xff\x7f"), Reason.MALFORMED_PACKET),
        (a_connect(properties=b"\x81\x20" + bytes(4_097)), Reason.QUOTA_EXCEEDED),
        (
            a_connect(properties=block(PacketTypes.CONNECT, AuthenticationMethod="SCRAM")),
            Reason.BAD_AUTHENTICATION_METHOD,
        ),
    ],
)
def test_a_connect_that_cannot_be_served_says_why(connect: bytes, reason: Reason) -> None:
    with pytest.raises(Violation) as violation:
        connect_heard(connect, spare_client_id="spare")
    assert violation.value.reason is reason


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (packet_of(0x34, PUBLISH + b"\x00"), Reason.QOS_NOT_SUPPORTED),
        (packet_of(0x36, PUBLISH + b"\x00"), Reason.MALFORMED_PACKET),
        (packet_of(0x32, b"\x00\x01a\x00\x00\x00"), Reason.PROTOCOL_ERROR),
        (packet_of(0x32, b"\x00\x01#\x00\x07\x00"), Reason.TOPIC_NAME_INVALID),
        (packet_of(0x30, b"\x00\x00" + block(PacketTypes.PUBLISH, TopicAlias=1)), Reason.TOPIC_ALIAS_INVALID),
        (packet_of(0x30, b"\x00\x01a" + block(PacketTypes.PUBLISH, SubscriptionIdentifier=1)), Reason.PROTOCOL_ERROR),
        (packet_of(0x82, b"\x00\x01\x02\x0b\x01\x00\x01a\x01"), Reason.SUBSCRIPTION_IDS_NOT_SUPPORTED),
        (packet_of(0x82, b"\x00\x01\x00"), Reason.MALFORMED_PACKET),
        (packet_of(0x82, b"\x00\x01\x00\x00\x01a\x03"), Reason.PROTOCOL_ERROR),
        (packet_of(0x80, b"\x00\x01\x00\x00\x01a\x01"), Reason.MALFORMED_PACKET),
        (packet_of(0xA2, b"\x00\x01\x00"), Reason.MALFORMED_PACKET),
        (packet_of(0x62, b"\x00\x01"), Reason.PROTOCOL_ERROR),
        (packet_of(0xF0, b""), Reason.PROTOCOL_ERROR),
        (a_connect(), Reason.PROTOCOL_ERROR),
    ],
)
def test_what_the_broker_does_not_offer_is_named(packet: bytes, reason: Reason) -> None:
    with pytest.raises(Violation) as violation:
        a_dialect().heard(packet)
    assert violation.value.reason is reason


def test_options_of_a_subscription_beyond_its_qos_are_let_go() -> None:
    heard = a_dialect().heard(packet_of(0x82, b"\x00\x01\x00\x00\x01a\x2d\x00\x01b\x02"))
    assert heard == packet_of(0x82, b"\x00\x01\x00\x01a\x01\x00\x01b\x02")


def test_an_unsubscription_is_answered_for_each_of_its_filters() -> None:
    dialect = a_dialect()
    assert dialect.heard(packet_of(0xA2, b"\x00\x09\x00\x00\x01a\x00\x01b")) == packet_of(
        0xA2, b"\x00\x09\x00\x01a\x00\x01b"
    )
    assert dialect.said(b"\xb0\x02\x00\x09") == b"\xb0\x05\x00\x09\x00\x00\x00"


def test_more_messages_without_an_answer_than_were_allowed_are_a_violation() -> None:
    dialect = a_dialect()
    publish = packet_of(0x32, PUBLISH + b"\x00")
    for _ in range(5):
        dialect.heard(publish)
        assert dialect.said(b"\x40\x02\x00\x07") == b"\x40\x02\x00\x07"
    dialect.heard(publish)
    dialect.heard(publish)
    with pytest.raises(Violation) as violation:
        dialect.heard(publish)
    assert violation.value.reason is Reason.RECEIVE_MAXIMUM_EXCEEDED


def test_a_disconnect_may_change_how_long_the_session_is_kept_but_not_make_it_kept() -> None:
    kept, not_kept = a_dialect(session_expiry_s=60), a_dialect(session_expiry_s=0)
    disconnect = packet_of(0xE0, b"\x00" + block(PacketTypes.DISCONNECT, SessionExpiryInterval=5))
    assert kept.heard(disconnect) == b"\xe0\x00"
    assert kept.session_expiry_s == 5
    with pytest.raises(Violation):
        not_kept.heard(disconnect)


def test_a_failed_subscription_is_one_that_was_not_authorized() -> None:
    assert a_dialect().said(b"\x90\x04\x00\x01\x01\x80") == b"\x90\x05\x00\x01\x00\x01\x87"


@pytest.mark.parametrize(("return_code", "reason"), [(1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)])
def test_every_refusal_of_3_1_1_has_its_reason_in_5(return_code: int, reason: int) -> None:
    assert a_dialect().said(bytes([0x20, 2, 0, return_code])) == bytes([0x20, 3, 0, reason, 0])


@given(topic=st.text(min_size=1, max_size=200), payload=st.binary(max_size=300), qos=st.integers(0, 1))
def test_a_message_there_and_back_is_the_same(topic: str, payload: bytes, qos: int) -> None:
    name = topic.encode()
    head = len(name).to_bytes(2) + name + (b"\x00\x07" if qos else b"")
    packet = packet_of(0x30 | qos << 1, head + payload)
    said = mqtt5.publish_said(packet)
    assert said == packet_of(0x30 | qos << 1, head + b"\x00" + payload)
    if not {"+", "#", "\x00"} & set(topic):
        assert mqtt5.publish_heard(said) == packet


@given(first_byte=st.integers(0, 255), body=st.binary(max_size=300), rest=st.binary(max_size=5))
def test_a_packet_is_read_to_its_end_and_no_further(first_byte: int, body: bytes, rest: bytes) -> None:
    packet, read = packet_of(first_byte, body), bytearray()
    stream = iter(packet + rest)
    while missing := frames.missing_bytes(read, packet_bytes_max=1_000):
        read += bytes(next(stream) for _ in range(missing))
    assert read == packet
    assert frames.body_of(packet) == body


@pytest.mark.parametrize(
    ("start", "reason"),
    [(b"\x30\xe9\x07", Reason.PACKET_TOO_LARGE), (b"\x30\xff\xff\xff\xff", Reason.MALFORMED_PACKET)],
)
def test_a_packet_too_large_or_without_end_is_known_by_its_first_bytes(start: bytes, reason: Reason) -> None:
    with pytest.raises(Violation) as violation:
        frames.missing_bytes(start, packet_bytes_max=1_000)
    assert violation.value.reason is reason

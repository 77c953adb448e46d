"""MQTT 5 in front of a broker of MQTT 3.1.1: whole packets translated, both ways. Pure, no I/O.

What 3.1.1 has no word for is answered here (reason codes, limits), refused as the CONNACK announces (QoS 2,
topic aliases, subscription identifiers, shared subscriptions), or heard and let go: the properties of a message,
which no pack, receipt or command needs, and the options of a subscription beyond its QoS. Section numbers are
those of MQTT 5.0 (OASIS, 2019).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from services.broker.frames import Reason, Violation, body_of, packet_of

# paho takes 40 us for a property, and anybody may send a CONNECT: 800 of them hold the others up for 30 ms.
PROPERTY_BYTES_MAX: Final = 4_096
NEVER_EXPIRES_S: Final = 0xFFFF_FFFF
NO_PROPERTIES: Final = b"\x00"

_CLEAN_START, _WILL, _WILL_QOS, _WILL_RETAIN, _PASSWORD, _USER_NAME = 0x02, 0x04, 0x18, 0x20, 0x40, 0x80

_REASON_BY_RETURN_CODE: Final = {
    1: Reason.UNSUPPORTED_VERSION,
    2: Reason.CLIENT_ID_NOT_VALID,
    3: Reason.SERVER_UNAVAILABLE,
    4: Reason.BAD_USER_NAME_OR_PASSWORD,
    5: Reason.NOT_AUTHORIZED,
}
_SUBSCRIPTION_FAILED: Final = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the CONNACK tells a client to keep to.

    in_flight_max     QoS 1 messages that it may have sent without an answer
    packet_bytes_max  the largest packet that it may send
    """

    in_flight_max: int
    packet_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a CONNECT of version 5 asks that one of 3.1.1 cannot.

    starts_clean        whether an earlier session ends with it
    session_expiry_s    how long the session outlives the connection; 0 not at all, NEVER_EXPIRES_S for ever
    in_flight_max       QoS 1 messages that it takes without having acknowledged them
    packet_bytes_max    the largest packet that it takes
    assigned_client_id  the name it was given for having none, else ""
    """

    starts_clean: bool
    session_expiry_s: int
    in_flight_max: int
    packet_bytes_max: int
    assigned_client_id: str


class Dialect:
    """One connection that speaks version 5: what it asked, and what its translations must remember.

    session_expiry_s is what it asked last; a DISCONNECT may change it.
    """

    def __init__(self, asked: Asked, limits: Limits) -> None:
        self.asked = asked
        self.session_expiry_s = asked.session_expiry_s
        self._limits = limits
        self._unanswered = 0
        self._filters_leaving: dict[bytes, int] = {}

    def heard(self, packet: bytes) -> bytes:
        """Return the 3.1.1 form of what the client sent after its CONNECT; raises Violation."""
        match packet[0] >> 4:
            case PacketTypes.PUBLISH:
                return self._heard_publish(packet)
            case PacketTypes.PUBACK:
                return puback_heard(packet)
            case PacketTypes.SUBSCRIBE:
                return subscribe_heard(packet)
            case PacketTypes.UNSUBSCRIBE:
                return self._heard_unsubscribe(packet)
            case PacketTypes.PINGREQ if packet == b"\xc0\x00":
                return packet
            case PacketTypes.DISCONNECT:
                return self._heard_disconnect(packet)
        # A second CONNECT, AUTH, the packets of QoS 2 and those that only a server sends.
        raise Violation(Reason.PROTOCOL_ERROR)

    def said(self, packet: bytes) -> bytes:
        """Return the version 5 form of what the broker sends in 3.1.1."""
        body = body_of(packet)
        match packet[0] >> 4:
            case PacketTypes.CONNACK:
                return connack_said(body, self.asked, self._limits)
            case PacketTypes.PUBLISH:
                return publish_said(packet)
            case PacketTypes.SUBACK:
                return suback_said(body)
            case PacketTypes.UNSUBACK:
                return packet_of(packet[0], body + NO_PROPERTIES + bytes(self._filters_leaving.pop(body)))
            case PacketTypes.PUBACK:
                self._unanswered -= 1
        return packet  # a PUBACK without reason code is a success (3.4.2.1); PINGRESP is the same in both

    def takes(self, packet: bytes) -> bool:
        """Return whether a PUBLISH of 3.1.1 is small enough for this client in its version 5 form."""
        return len(publish_said(packet)) <= self.asked.packet_bytes_max

    def _heard_publish(self, packet: bytes) -> bytes:
        if packet[0] & 0x06:
            self._unanswered += 1
            if self._unanswered > self._limits.in_flight_max:
                raise Violation(Reason.RECEIVE_MAXIMUM_EXCEEDED)
        return publish_heard(packet)

    def _heard_unsubscribe(self, packet: bytes) -> bytes:
        translated, filters = unsubscribe_heard(packet)
        packet_id = body_of(translated)[:2]
        if packet_id in self._filters_leaving:
            raise Violation(Reason.PACKET_ID_IN_USE)
        self._filters_leaving[packet_id] = filters
        return translated

    def _heard_disconnect(self, packet: bytes) -> bytes:
        expiry_s = session_expiry_of(packet)
        if expiry_s is not None:
            if expiry_s and not self.asked.session_expiry_s:
                raise Violation(Reason.PROTOCOL_ERROR)  # 3.14.2.2.2
            self.session_expiry_s = expiry_s
        return b"\xe0\x00"


# --- what a client sends, into 3.1.1


def connect_heard(packet: bytes, *, spare_client_id: str) -> tuple[bytes, Asked]:
    """Return the CONNECT of 3.1.1, and what it cannot say; raises Violation.

    A client without a name gets `spare_client_id`. The session of 3.1.1 is kept where the one of version 5
    outlives its connection; whether it starts afresh is in `Asked`.
    """
    body = _Body(packet)
    body.take(7)  # the protocol's name and version
    flags, keep_alive = body.take(1)[0], body.take(2)
    _check_connect_flags(flags)
    properties = body.properties(PacketTypes.CONNECT)
    if hasattr(properties, "AuthenticationMethod"):
        raise Violation(Reason.BAD_AUTHENTICATION_METHOD)
    client_id = body.text()
    will = b""
    if flags & _WILL:
        body.properties(PacketTypes.WILLMESSAGE)
        will = _prefixed(body.text()) + _prefixed(body.binary())
    user_name = _prefixed(body.text()) if flags & _USER_NAME else b""
    password = _prefixed(body.binary()) if flags & _PASSWORD else b""
    body.end()
    asked = Asked(
        starts_clean=bool(flags & _CLEAN_START),
        session_expiry_s=getattr(properties, "SessionExpiryInterval", 0),
        in_flight_max=getattr(properties, "ReceiveMaximum", 0xFFFF),
        packet_bytes_max=getattr(properties, "MaximumPacketSize", 0xFFFF_FFFF),
        assigned_client_id="" if client_id else spare_client_id,
    )
    flags = flags & ~_CLEAN_START | (0 if asked.session_expiry_s else _CLEAN_START)
    name = _prefixed(client_id or spare_client_id.encode())
    head = b"\x00\x04MQTT\x04" + bytes([flags]) + keep_alive
    return packet_of(packet[0], head + name + will + user_name + password), asked


def _check_connect_flags(flags: int) -> None:
    will_qos = (flags & _WILL_QOS) >> 3
    if flags & 0x01 or will_qos == 3 or (not flags & _WILL and flags & (_WILL_QOS | _WILL_RETAIN)):
        raise Violation(Reason.MALFORMED_PACKET)
    if will_qos == 2:
        raise Violation(Reason.QOS_NOT_SUPPORTED)


def publish_heard(packet: bytes) -> bytes:
    """Return the PUBLISH without its properties; raises Violation."""
    qos = (packet[0] & 0x06) >> 1
    if qos > 1:
        raise Violation(Reason.QOS_NOT_SUPPORTED if qos == 2 else Reason.MALFORMED_PACKET)
    body = _Body(packet, flags=packet[0] & 0x0F)
    topic = body.text()
    packet_id = body.packet_id() if qos else b""
    properties = body.properties(PacketTypes.PUBLISH)
    if hasattr(properties, "TopicAlias"):
        raise Violation(Reason.TOPIC_ALIAS_INVALID)
    if hasattr(properties, "SubscriptionIdentifier"):  # 3.3.4: only a server sends it
        raise Violation(Reason.PROTOCOL_ERROR)
    if not topic or b"+" in topic or b"#" in topic:
        raise Violation(Reason.TOPIC_NAME_INVALID)
    return packet_of(packet[0], _prefixed(topic) + packet_id + body.rest())


def puback_heard(packet: bytes) -> bytes:
    """Return the PUBACK without reason and properties; whatever the reason, the message is not sent again."""
    body = _Body(packet)
    packet_id = body.packet_id()
    _reason_and_properties(body, PacketTypes.PUBACK)
    return packet_of(packet[0], packet_id)


def subscribe_heard(packet: bytes) -> bytes:
    """Return the SUBSCRIBE with nothing but filters and QoS; raises Violation."""
    body = _Body(packet, flags=0x02)
    translated = body.packet_id()
    if hasattr(body.properties(PacketTypes.SUBSCRIBE), "SubscriptionIdentifier"):
        raise Violation(Reason.SUBSCRIPTION_IDS_NOT_SUPPORTED)
    while True:
        translated += _prefixed(body.text())
        options = body.take(1)[0]
        if options & 0xC0 or options & 0x03 == 3 or options & 0x30 == 0x30:
            raise Violation(Reason.PROTOCOL_ERROR)  # 3.8.3.1
        translated += bytes([options & 0x03])
        if body.is_empty():
            return packet_of(packet[0], translated)


def unsubscribe_heard(packet: bytes) -> tuple[bytes, int]:
    """Return the UNSUBSCRIBE without properties, and how many filters it has; raises Violation."""
    body = _Body(packet, flags=0x02)
    translated, filters = body.packet_id(), 0
    body.properties(PacketTypes.UNSUBSCRIBE)
    while not filters or not body.is_empty():
        translated += _prefixed(body.text())
        filters += 1
    return packet_of(packet[0], translated), filters


def session_expiry_of(disconnect: bytes) -> int | None:
    """Return how long the session shall be kept, if the DISCONNECT says so, in seconds; raises Violation."""
    properties = _reason_and_properties(_Body(disconnect), PacketTypes.DISCONNECT)
    return getattr(properties, "SessionExpiryInterval", None)


def _reason_and_properties(body: "_Body", packet_type: int) -> Properties:
    """Read what may be left out from its end (3.4.2.1, 3.14.2.1)."""
    if not body.is_empty():
        body.take(1)
    properties = body.properties(packet_type) if not body.is_empty() else _no_properties(packet_type)
    body.end()
    return properties


# --- what the broker sends, into 5


def connack_said(body: bytes, asked: Asked, limits: Limits) -> bytes:
    """Return the CONNACK, with the limits where the client is let in."""
    session_present, return_code = body
    if return_code:
        return connection_refused(_REASON_BY_RETURN_CODE[return_code])
    properties: Any = _no_properties(PacketTypes.CONNACK)
    properties.ReceiveMaximum = limits.in_flight_max
    properties.MaximumQoS = 1
    properties.MaximumPacketSize = limits.packet_bytes_max
    properties.SubscriptionIdentifierAvailable = 0
    properties.SharedSubscriptionAvailable = 0
    if asked.assigned_client_id:
        properties.AssignedClientIdentifier = asked.assigned_client_id
    return packet_of(0x20, bytes([session_present, 0]) + properties.pack())


def connection_refused(reason: Reason) -> bytes:
    """Return the CONNACK that lets nobody in."""
    return packet_of(0x20, bytes([0, reason]) + NO_PROPERTIES)


def disconnected(reason: Reason) -> bytes:
    """Return the DISCONNECT with which the broker ends a connection."""
    return packet_of(0xE0, bytes([reason]) + NO_PROPERTIES)


def publish_said(packet: bytes) -> bytes:
    """Return the PUBLISH with no properties."""
    body = body_of(packet)
    topic_end = 2 + int.from_bytes(body[:2]) + (2 if packet[0] & 0x06 else 0)
    return packet_of(packet[0], body[:topic_end] + NO_PROPERTIES + body[topic_end:])


def suback_said(body: bytes) -> bytes:
    """Return the SUBACK; a subscription fails for one reason here, the access rule."""
    codes = bytes(Reason.NOT_AUTHORIZED if code == _SUBSCRIPTION_FAILED else code for code in body[2:])
    return packet_of(0x90, body[:2] + NO_PROPERTIES + codes)


# --- the fields of a packet


class _Body:
    """The fields of one packet, taken in order; what is not there raises Violation, MALFORMED_PACKET."""

    def __init__(self, packet: bytes, *, flags: int = 0) -> None:
        if packet[0] & 0x0F != flags:
            raise Violation(Reason.MALFORMED_PACKET)
        self._bytes = body_of(packet)
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._bytes[self._at : self._at + count]
        if len(taken) < count:
            raise Violation(Reason.MALFORMED_PACKET)
        self._at += count
        return taken

    def binary(self) -> bytes:
        return self.take(int.from_bytes(self.take(2)))

    def text(self) -> bytes:
        """The UTF-8 of a string (1.5.4)."""
        text = self.binary()
        try:
            is_text = "\x00" not in text.decode()
        except UnicodeDecodeError:
            is_text = False
        if not is_text:
            raise Violation(Reason.MALFORMED_PACKET)
        return text

    def packet_id(self) -> bytes:
        packet_id = self.take(2)
        if packet_id == b"\x00\x00":
            raise Violation(Reason.PROTOCOL_ERROR)  # 2.2.1
        return packet_id

    def properties(self, packet_type: int) -> Properties:
        start = self._at
        count = self._variable_byte_integer()
        if count > PROPERTY_BYTES_MAX:
            raise Violation(Reason.QUOTA_EXCEEDED)
        self.take(count)
        properties = _no_properties(packet_type)
        try:
            # Only the block itself: paho copies what follows each property, and reads past the block's end.
            properties.unpack(self._bytes[start : self._at])  # type: ignore[no-untyped-call]
        except (MQTTException, struct.error, LookupError, UnicodeDecodeError) as error:
            raise Violation(Reason.MALFORMED_PACKET) from error
        return properties

    def rest(self) -> bytes:
        return self._bytes[self._at :]

    def is_empty(self) -> bool:
        return self._at == len(self._bytes)

    def end(self) -> None:
        if not self.is_empty():
            raise Violation(Reason.MALFORMED_PACKET)

    def _variable_byte_integer(self) -> int:
        decode: Callable[[bytes], tuple[int, int]] = VariableByteIntegers.decode
        try:
            value, count = decode(self._bytes[self._at : self._at + 4])
        except (MQTTException, LookupError) as error:
            raise Violation(Reason.MALFORMED_PACKET) from error
        self._at += count
        return value


def _no_properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]


def _prefixed(field: bytes) -> bytes:
    return len(field).to_bytes(2) + field

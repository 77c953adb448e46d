"""MQTT packets of any version as the wire has them: where one ends, and which version a CONNECT asks for. Pure."""

from enum import IntEnum
from typing import Final

CONNECT_FIRST_BYTE: Final = 0x10
VERSION_3_1_1: Final = 4
VERSION_5: Final = 5


class Reason(IntEnum):
    """Why a client is refused or sent away: the reason codes of MQTT 5 (2.4) that this broker gives."""

    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    BAD_AUTHENTICATION_METHOD = 0x8C
    TOPIC_NAME_INVALID = 0x90
    PACKET_ID_IN_USE = 0x91
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    QOS_NOT_SUPPORTED = 0x9B
    SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1


class Violation(Exception):
    """A client sent what MQTT or this broker does not allow; its connection ends with `reason`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


def missing_bytes(start: bytes | bytearray, *, packet_bytes_max: int) -> int:
    """Return how many bytes may be read that still belong to the packet beginning with `start`; 0 at its end.

    Raises Violation for a length that is none, or that makes a packet of more than `packet_bytes_max`.
    """
    if len(start) < 2:
        return 2 - len(start)
    body_bytes = 0
    for position, byte in enumerate(start[1:5]):
        body_bytes |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            packet_bytes = 2 + position + body_bytes
            if packet_bytes > packet_bytes_max:
                raise Violation(Reason.PACKET_TOO_LARGE)
            return packet_bytes - len(start)
    if len(start) >= 5:
        raise Violation(Reason.MALFORMED_PACKET)
    return 1


def body_of(packet: bytes) -> bytes:
    """Return what follows the fixed header of a whole packet."""
    length_bytes = 1
    while packet[length_bytes] >= 0x80:
        length_bytes += 1
    return packet[1 + length_bytes :]


def packet_of(first_byte: int, body: bytes) -> bytes:
    """Return the packet with this type and flags, and this body."""
    header = bytearray([first_byte])
    rest = len(body)
    while rest >= 0x80:
        header.append(rest & 0x7F | 0x80)
        rest >>= 7
    header.append(rest)
    return bytes(header) + body


def refusal_of(packet: bytes) -> bytes | None:
    """Return the CONNACK for a first packet of a version not spoken here, None for one that is.

    Raises Violation where the packet is no CONNECT.
    """
    body = body_of(packet)
    if packet[0] != CONNECT_FIRST_BYTE:
        raise Violation(Reason.PROTOCOL_ERROR)
    if body[:6] == b"\x00\x04MQTT" and len(body) > 6:
        if body[6] in (VERSION_3_1_1, VERSION_5):
            return None
        # The highest bit marks a bridge of version 3.1 or 3.1.1.
        is_later = VERSION_5 < body[6] < 0x80
        return bytes([0x20, 3, 0, Reason.UNSUPPORTED_VERSION, 0]) if is_later else bytes([0x20, 2, 0, 1])
    if body[:8] == b"\x00\x06MQIsdp":  # version 3.1
        return bytes([0x20, 2, 0, 1])
    raise Violation(Reason.PROTOCOL_ERROR)


def is_version_5(connect: bytes) -> bool:
    """Return whether a CONNECT that `refusal_of` does not refuse asks for version 5."""
    return body_of(connect)[6] == VERSION_5

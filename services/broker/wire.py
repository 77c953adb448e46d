"""One client's socket as amqtt reads and writes it: bounded in size, prompt in closing, in either version of MQTT.

amqtt speaks 3.1.1 only. The first packet says what the client speaks: 3.1.1 passes through; 5 is translated
packet by packet (`mqtt5.py`); any other version is told so at once.
"""

import asyncio
import io
from collections.abc import Callable
from typing import Final

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.errors import AMQTTError

from services.broker import frames, mqtt5
from services.broker.frames import Violation

IN_FLIGHT_MAX: Final = 1_000
# A pack has at most 32 KiB; a larger message must still reach ingestion, which quarantines it as too large.
PACKET_BYTES_MAX: Final = 256 * 1024
CLOSE_S_MAX: Final = 1

LIMITS: Final = mqtt5.Limits(in_flight_max=IN_FLIGHT_MAX, packet_bytes_max=PACKET_BYTES_MAX)


class ClientWriter(StreamWriterAdapter):
    """Writes to a client, and closes within `CLOSE_S_MAX` even if that client reads nothing any more.

    dialect  None for a client that speaks 3.1.1, and before it has said what it speaks
    """

    dialect: mqtt5.Dialect | None = None

    def write(self, data: bytes) -> None:
        """Send one whole packet of 3.1.1 in the client's own version."""
        super().write(data if self.dialect is None else self.dialect.said(data))

    def write_as_is(self, packet: bytes) -> None:
        """Send one whole packet that is in the client's version already."""
        super().write(packet)

    async def close(self) -> None:
        """Send what is written already and close; called again, it changes nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one
            self._writer.transport.abort()


class ClientReader(StreamReaderAdapter):
    """Reads from a client that cannot make the broker hold more than `PACKET_BYTES_MAX` at once.

    spare_client_id  makes a name for a client of version 5 that has none
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: ClientWriter, *, spare_client_id: Callable[[], str]
    ) -> None:
        super().__init__(reader)
        self._writer = writer
        self._spare_client_id = spare_client_id
        self._is_first = True
        self._incomplete = bytearray()
        self._packet = io.BytesIO()

    async def read(self, n: int = -1) -> bytes:
        """Return `n` bytes of 3.1.1, fewer at the end; AMQTTError ends the connection."""
        if self._is_first:
            self._packet = io.BytesIO(self._connect(await self._next_packet()))
            self._is_first = False
        if n == 0 or (read := self._packet.read(n)):
            return b"" if n == 0 else read
        if self._writer.dialect is not None:
            self._packet = io.BytesIO(self._translated(self._writer.dialect, await self._next_packet()))
            return self._packet.read(n)
        if n > PACKET_BYTES_MAX:
            raise AMQTTError(f"a packet of {n} bytes is above the limit of {PACKET_BYTES_MAX}")
        return await super().read(n)

    def _connect(self, packet: bytes) -> bytes:
        """Return the client's CONNECT in 3.1.1, having understood what it speaks."""
        try:
            refusal = frames.refusal_of(packet)
        except Violation as violation:
            raise AMQTTError("the first packet is no CONNECT of MQTT") from violation
        if refusal is not None:
            self._writer.write_as_is(refusal)
            raise AMQTTError("another version of MQTT than 3.1.1 and 5")
        if not frames.is_version_5(packet):
            return packet
        try:
            translated, asked = mqtt5.connect_heard(packet, spare_client_id=self._spare_client_id())
        except Violation as violation:
            self._writer.write_as_is(mqtt5.connection_refused(violation.reason))
            raise AMQTTError(f"a CONNECT of MQTT 5 with {violation}") from violation
        self._writer.dialect = mqtt5.Dialect(asked, LIMITS)
        return translated

    def _translated(self, dialect: mqtt5.Dialect, packet: bytes) -> bytes:
        try:
            return dialect.heard(packet)
        except Violation as violation:
            raise self._sent_away(violation) from violation

    async def _next_packet(self) -> bytes:
        """Return one whole packet. Cancelled half-way, the next call goes on where it was."""
        try:
            while missing := frames.missing_bytes(self._incomplete, packet_bytes_max=PACKET_BYTES_MAX):
                self._incomplete += await self._reader.readexactly(missing)
        except Violation as violation:
            raise self._sent_away(violation) from violation
        packet = bytes(self._incomplete)
        self._incomplete.clear()
        return packet

    def _sent_away(self, violation: Violation) -> AMQTTError:
        if self._writer.dialect is not None:
            self._writer.write_as_is(mqtt5.disconnected(violation.reason))
        return AMQTTError(f"a packet with {violation}")

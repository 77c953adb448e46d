"""One client's connection to the embedded broker: amqtt's packets, with a QoS 1 that keeps its promise.

amqtt 0.12.1 gives a message up when its acknowledgement takes more than 5 s, forgets what is in flight when
the connection ends, sends without any window, and acknowledges what it has only queued. Ingestion
acknowledges after a commit and may be restarted at any moment, so each of these would lose readings.
"""

import asyncio
from collections.abc import Awaitable, Callable

from amqtt.broker import BrokerContext
from amqtt.errors import AMQTTError
from amqtt.mqtt.constants import QOS_1
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.plugins.manager import PluginManager
from amqtt.session import IncomingApplicationMessage, OutgoingApplicationMessage, Session

from services.broker.mqtt5 import Dialect
from services.broker.wire import IN_FLIGHT_MAX

Publish = Callable[[Session, IncomingApplicationMessage | OutgoingApplicationMessage], Awaitable[None]]


class Connection(BrokerProtocolHandler):
    """Reads one client's packets, hands its messages to `publish`, and sends what waits for its session.

    What waits is `session.retained_messages`, in order; what was sent and not acknowledged is
    `session.inflight_out`, which outlives the connection and is sent again first on the next one.

    dialect  what a client of MQTT 5 asked for; None for one of 3.1.1
    """

    def __init__(self, plugins: PluginManager[BrokerContext], publish: Publish, dialect: Dialect | None) -> None:
        super().__init__(plugins)
        self.dialect = dialect
        self._publish = publish
        self._window = asyncio.Semaphore(min(IN_FLIGHT_MAX, dialect.asked.in_flight_max if dialect else IN_FLIGHT_MAX))
        self._sending: asyncio.Task[None] | None = None
        self._is_stopped = False

    async def start(self) -> None:
        """Begin to read and to send; raises AMQTTError where the client is back on another connection already."""
        if self._is_stopped:
            raise AMQTTError("another connection of this client came while it was let in")
        # Before the reader runs, and not again: BrokerProtocolHandler.start makes it after, and misses a client
        # that has left by then.
        self._disconnect_waiter = asyncio.get_running_loop().create_future()
        await super(BrokerProtocolHandler, self).start()

    async def stop(self) -> None:
        """End both directions; called again, it changes nothing."""
        self._is_stopped = True
        # A reader that is cancelled before it has begun would leave `start` and this waiting for ever.
        if self._reader_ready is not None:
            await self._reader_ready.wait()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        # The reader ends with the stream: before Python 3.12, `wait_for` may swallow amqtt's cancellation.
        if self.writer is not None:
            await self.writer.close()
        await super().stop()

    async def handle_puback(self, puback: PubackPacket) -> None:
        """Let one more message go; an acknowledgement of nothing in flight changes nothing."""
        if self._attached().inflight_out.pop(puback.packet_id, None) is not None:
            self._window.release()

    def handle_read_timeout(self) -> None:
        """End the connection of a client that was silent for longer than it promised."""
        if self._disconnect_waiter is not None and not self._disconnect_waiter.done():
            self._disconnect_waiter.set_result(None)

    async def _retry_deliveries(self) -> None:
        # amqtt waits here, inside the log-in, until all is acknowledged; a slow client would never get in.
        # Stopped meanwhile, it takes nothing more: the session's messages are another connection's.
        if not self._is_stopped:
            self._sending = asyncio.create_task(self._send_waiting())

    async def _handle_qos0_message_flow(
        self, app_message: IncomingApplicationMessage | OutgoingApplicationMessage
    ) -> None:
        await self._publish(self._attached(), app_message)

    async def _handle_qos1_message_flow(
        self, app_message: IncomingApplicationMessage | OutgoingApplicationMessage
    ) -> None:
        # The answer follows the hand-over: a unit that leaves right after it leaves nothing behind.
        await self._publish(self._attached(), app_message)
        if app_message.packet_id is not None:
            await self._send_packet(PubackPacket.build(app_message.packet_id))

    async def _send_waiting(self) -> None:
        session = self._attached()
        for message in list(session.inflight_out.values()):
            await self._window.acquire()
            await self._send(session, message, dup=True)
        while True:
            await self._window.acquire()
            waiting = await session.retained_messages.get()
            packet_id = session.next_packet_id if waiting.qos == QOS_1 else None
            message = OutgoingApplicationMessage(packet_id, waiting.topic, waiting.qos, waiting.data, waiting.retain)
            if packet_id is None:
                self._window.release()
            else:
                session.inflight_out[packet_id] = message
            await self._send(session, message, dup=False)

    async def _send(self, session: Session, message: OutgoingApplicationMessage, *, dup: bool) -> None:
        packet = message.build_publish_packet(dup=dup)
        if self.dialect is None or self.dialect.takes(packet.to_bytes()):
            await self._send_packet(packet)
        elif message.packet_id is not None:
            # MQTT 5, 3.1.2.11.4: what is too large for the client counts as delivered.
            del session.inflight_out[message.packet_id]
            self._window.release()

    def _attached(self) -> Session:
        if self.session is None:
            raise AMQTTError("a packet was read before the connection had a session")
        return self.session

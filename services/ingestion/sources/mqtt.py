"""MQTT as a source: a persistent session at QoS 1, acknowledged by hand, and receipts and commands the other way.

MQTT 3.1.1 where one worker takes all (the embedded broker); MQTT 5 with a shared subscription where several
workers divide the units' messages among them. Paho's thread only enqueues; what waits here is bounded, because a
broker sends only so many messages ahead of their acknowledgement.
"""

import ssl
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from services.broker import topics
from services.broker.accounts import Login
from services.ingestion.sources.source import Message

WAITING_MAX: Final = 4_000
"""Messages that a broker may send ahead of their acknowledgement, where it lets us choose (MQTT 5)."""
OUTGOING_MAX: Final = 20_000
"""Receipts and commands that wait for the broker; beyond that new ones are dropped, and units ask again."""
IN_FLIGHT_MAX: Final = 1_000
SESSION_S: Final = 7 * 86_400
KEEPALIVE_S: Final = 30
CONNECT_S_MAX: Final = 2.0
RECONNECT_S_MAX: Final = 10
SHARE: Final = "$share/ingestion/"

_HEAD: Final = len("sparks/v1/")
_TAIL: Final = -len("/readings")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A broker and how to log in to it.

    shared  take part in a shared subscription (MQTT 5); otherwise MQTT 3.1.1 and all messages are ours
    """

    host: str
    port: int
    login: Login | None = None
    tls: ssl.SSLContext | None = None
    shared: bool = False


def endpoint(url: str, *, login: Login | None, shared: bool) -> Endpoint:
    """The broker at an `mqtt://` or `mqtts://` URL; raises ValueError if it is neither."""
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError(f"not an MQTT broker: {url}")
    is_secure = parts.scheme == "mqtts"
    return Endpoint(
        host=parts.hostname,
        port=parts.port or (8883 if is_secure else 1883),
        login=login,
        tls=ssl.create_default_context() if is_secure else None,
        shared=shared,
    )


@dataclass(slots=True, eq=False)
class _Delivery:
    """One delivery of a message: under which packet id, and whether it is durable here."""

    packet_id: int
    qos: int
    is_done: bool = field(default=False)


class MqttSource:
    """One connection to the broker: a `Source` and an `Outlet`.

    client_id  fixed per worker, so that the broker keeps the session while the worker is away

    `start` and `stop` once each. Any thread may send; one thread takes and acknowledges.
    """

    def __init__(self, broker: Endpoint, *, client_id: str) -> None:
        self._broker = broker
        self._changed = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._unacknowledged: deque[_Delivery] = deque()
        self._is_subscribed = False
        self._is_stopping = False
        self._client = self._new_client(client_id)

    @property
    def is_ready(self) -> bool:
        """Is it connected and subscribed?"""
        return self._is_subscribed

    def start(self) -> None:
        """Begin to connect; goes on trying for as long as it takes."""
        self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S, **self._session())
        self._client.loop_start()

    def stop(self) -> None:
        """Leave; the broker keeps the session, and with it what was not acknowledged."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._client.disconnect()
        self._client.loop_stop()

    def wake(self) -> None:
        """Let a `take` that waits return at once."""
        with self._changed:
            self._changed.notify_all()

    # Source

    def take(self, limit: int, timeout_s: float) -> list[Message]:
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            count = min(limit, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
            self._changed.notify_all()
            return taken

    def acknowledge(self, messages: Sequence[Message]) -> None:
        # MQTT 5, 4.6: in the order received. What is done out of turn waits for those before it.
        with self._changed:
            for message in messages:
                message.token.is_done = True
            while self._unacknowledged and self._unacknowledged[0].is_done:
                delivery = self._unacknowledged.popleft()
                self._client.ack(delivery.packet_id, delivery.qos)

    # Outlet

    def send_receipt(self, device_id: str, message: bytes) -> None:
        self._send(f"sparks/v1/{device_id}/receipts", message, retain=True)

    def send_command(self, device_id: str, message: bytes, *, valid_s: int) -> None:
        properties = None
        if self._broker.shared:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(1, min(valid_s, 2**32 - 1))
        self._send(f"sparks/v1/{device_id}/commands", message, properties=properties)

    def _send(self, topic: str, message: bytes, *, retain: bool = False, properties: Properties | None = None) -> None:
        sent = self._client.publish(topic, message, qos=1, retain=retain, properties=properties)
        if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            log.warning("outgoing_full", topic=topic)

    # The connection

    def _new_client(self, client_id: str) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._broker.shared else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._broker.shared else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_S_MAX
        client.reconnect_delay_set(1, RECONNECT_S_MAX)
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.max_queued_messages_set(OUTGOING_MAX)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        if self._broker.login is not None:
            client.username_pw_set(self._broker.login.username, self._broker.login.password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _session(self) -> dict[str, Any]:
        """How to ask for a session that outlives the connection."""
        if not self._broker.shared:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_S
        properties.ReceiveMaximum = WAITING_MAX
        return {"clean_start": False, "properties": properties}

    # What the broker says (in paho's thread)

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("broker_refuses", reason=str(reason))
            return
        share = SHARE if self._broker.shared else ""
        client.subscribe(share + topics.READINGS_OF_ALL, qos=1)

    def _forget_deliveries(self) -> None:
        """What was not acknowledged on this connection comes again on the next one, and is acknowledged there."""
        with self._changed:
            self._waiting.clear()
            self._unacknowledged.clear()
            self._changed.notify_all()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _id: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        self._is_subscribed = not reasons[0].is_failure
        if self._is_subscribed:
            log.info("broker_connected")
        else:
            log.error("broker_refuses_subscription", reason=str(reasons[0]))

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        self._is_subscribed = False
        self._forget_deliveries()
        if not self._is_stopping:
            log.warning("broker_lost", reason=str(reason))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        delivery = _Delivery(message.mid, message.qos)
        arrived = Message(message.topic[_HEAD:_TAIL], bytes(message.payload), delivery)
        with self._changed:
            # A broker that knows no window is held back by its TCP connection.
            self._changed.wait_for(lambda: len(self._waiting) < WAITING_MAX or self._is_stopping)
            if self._is_stopping:
                return
            self._waiting.append(arrived)
            if message.qos:
                self._unacknowledged.append(delivery)
            self._changed.notify_all()

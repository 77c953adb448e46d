"""The connection of one unit to its broker: MQTT at QoS 1, few messages in flight, patient while it is away.

It keeps numbers, not messages: what is sent is read from the outbox at the last moment. So a broker that dies
loses nothing, and what a receipt covered meanwhile, or was signed anew, is not sent as it was.
"""

import heapq
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_sim.unit import Ignored, Outgoing, Unit

KEEPALIVE_S: Final = 60
CONNECT_S_MAX: Final = 5.0
SESSION_S: Final = 86_400
"""How long an MQTT 5 broker keeps commands for a unit that is away; an MQTT 3.1.1 broker decides itself."""

IN_FLIGHT_MAX: Final = 20
RETRY_S_FIRST: Final = 0.5
RETRY_S_MAX: Final = 60.0

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where to connect. `tls` is None for a connection in the clear."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311


def broker_at(
    url: str, *, ca_file: Path | None = None, protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311
) -> Broker:
    """Return the broker of an `mqtt://` or `mqtts://` URL; `ca_file` is trusted instead of the system's own.

    Raises ValueError for another URL, OSError for a `ca_file` that cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url}: a broker is mqtt://host:port or mqtts://host:port")
    tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "mqtts" else None
    return Broker(host=parts.hostname, port=parts.port or _PORTS[parts.scheme], tls=tls, protocol=protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What `POST /v1/devices` answered for the unit."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class _Parcel:
    """Something to publish, in the order of numbers.

    turn   0 for the unit's own message of number `seq`; strays go after it, in order of arrival
    stray  its bytes; None where the outbox has them
    """

    seq: int
    turn: int
    stray: bytes | None = field(default=None, compare=False)


class Publisher:
    """One unit's connection. Any thread may call `offer` and `offer_stray`, its loop alone calls the rest.

    now_s    UTC Unix seconds by the unit's clock, for the expiry of commands
    trouble  why it is not connected, or None
    retry_at_s  when to connect, by the loop's clock; None while connected, or if nobody has said yet
    ignored  how many messages of the platform the unit ignored, and why
    """

    def __init__(
        self, unit: Unit, broker: Broker, *, login: Login | None, now_s: Callable[[], int], chance: Random
    ) -> None:
        self.unit = unit
        self.acknowledged = 0
        self.ignored: Counter[Ignored] = Counter()
        self.trouble: str | None = "not connected yet"
        self.retry_at_s: float | None = 0.0
        self.client: Client | None = None
        self._broker = broker
        self._login = login
        self._now_s = now_s
        self._chance = chance
        self._topic = f"sparks/v1/{unit.device_id}"
        self._attempts = 0
        self._is_ready = False
        self._window = IN_FLIGHT_MAX
        self._in_flight: dict[int, _Parcel] = {}
        self._queue_lock = Lock()
        self._queue: list[_Parcel] = []
        self._queued_seqs: set[int] = set()
        self._turns = count(1)

    # --- What is to be sent

    def offer(self, outgoing: Iterable[Outgoing]) -> None:
        """Send these messages of the unit, unless they are covered or replaced before their turn comes."""
        self._enqueue([_Parcel(out.seq, 0) for out in outgoing])

    def offer_stray(self, message: bytes, *, after_seq: int) -> None:
        """Send bytes that the outbox does not know, once number `after_seq` had its turn."""
        self._enqueue([_Parcel(after_seq, next(self._turns), message)])

    @property
    def queued(self) -> int:
        """How many messages the broker has not acknowledged yet."""
        return len(self._queue) + len(self._in_flight)

    def _enqueue(self, parcels: list[_Parcel]) -> None:
        with self._queue_lock:
            for parcel in parcels:
                if parcel.stray is not None or parcel.seq not in self._queued_seqs:
                    heapq.heappush(self._queue, parcel)
                if parcel.stray is None:
                    self._queued_seqs.add(parcel.seq)

    def _take(self) -> tuple[_Parcel, bytes] | None:
        """The next parcel within the platform's reach, with its bytes."""
        reach_seq = self.unit.reach_seq
        while True:
            with self._queue_lock:
                if not self._queue or self._queue[0].seq > reach_seq:
                    return None
                parcel = heapq.heappop(self._queue)
                if parcel.stray is None:
                    self._queued_seqs.discard(parcel.seq)
            message = parcel.stray if parcel.stray is not None else self.unit.message(parcel.seq)
            if message is not None:
                return parcel, message

    def fill(self) -> None:
        """Publish until enough is in flight. The outbox must have been committed before."""
        while self._is_ready and len(self._in_flight) < self._window and (taken := self._take()):
            parcel, message = taken
            assert self.client is not None
            info = self.client.publish(f"{self._topic}/readings", message, qos=1)
            self._in_flight[info.mid] = parcel
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break

    # --- The connection

    def connect(self, prepare: Callable[[Client], None]) -> None:
        """Begin a connection; `prepare` is given the client before. On failure `trouble` says why."""
        self.retry_at_s = None
        self.trouble = "the broker does not answer"
        self.client = client = self._new_client()
        prepare(client)
        try:
            if self._broker.protocol == MQTTProtocolVersion.MQTTv5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = SESSION_S
                client.connect(
                    self._broker.host,
                    self._broker.port,
                    KEEPALIVE_S,
                    clean_start=False,
                    properties=properties,
                )
            else:
                client.connect(self._broker.host, self._broker.port, KEEPALIVE_S)
        except OSError as error:
            self._lost(str(error))

    def _new_client(self) -> Client:
        """A client without memory: what was in flight is in our queue again, so none is carried over."""
        is_v5 = self._broker.protocol == MQTTProtocolVersion.MQTTv5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.unit.device_id,
            clean_session=None if is_v5 else False,
            protocol=self._broker.protocol,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S_MAX
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        if self._login is not None:
            client.username_pw_set(self._login.username, self._login.password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def schedule_retry(self, now_s: float) -> None:
        """Set `retry_at_s`: exponential backoff with full jitter, lest a fleet comes back all at once."""
        delay_s_max = min(RETRY_S_MAX, RETRY_S_FIRST * 2 ** min(self._attempts, 16))
        self._attempts += 1
        self.retry_at_s = now_s + self._chance.uniform(0, delay_s_max)

    def _lost(self, trouble: str) -> None:
        self.client = None
        self.trouble = trouble
        self._is_ready = False
        parcels, self._in_flight = list(self._in_flight.values()), {}
        self._enqueue(parcels)

    def read(self) -> None:
        """Take in what the socket has."""
        while (client := self.client) is not None:
            client.loop_read()
            # TLS may have decrypted more than was asked for; the selector cannot see that.
            sock = client.socket()
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                return

    # --- What the broker says (paho calls these in the loop's thread)

    def _on_connect(
        self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.trouble = f"the broker refuses: {reason}"
            return  # paho closes the connection
        self._window = min(IN_FLIGHT_MAX, getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX))
        client.subscribe([(f"{self._topic}/receipts", 1), (f"{self._topic}/commands", 1)])

    def _on_subscribe(self, client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self.trouble = "the broker refuses the unit's own topics"
            client.disconnect()
            return
        self._attempts = 0
        self.trouble = None
        self._is_ready = True
        self.offer(self.unit.on_connected())

    def _on_disconnect(self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if client is self.client:
            self._lost(self.trouble or f"connection lost: {reason}")

    def _on_publish(self, _client: Client, _data: Any, mid: int, _reason: ReasonCode, _props: Any) -> None:
        # A broker that refuses a message keeps the connection; the outbox keeps the message.
        if self._in_flight.pop(mid, None) is not None:
            self.acknowledged += 1

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.topic == f"{self._topic}/receipts":
            answer = self.unit.on_receipt(bytes(message.payload))
        else:
            answer = self.unit.on_command(bytes(message.payload), self._now_s())
        if isinstance(answer, Ignored):
            self.ignored[answer] += 1
        else:
            self.offer(answer)

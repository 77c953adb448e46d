"""Independent MQTT clients for the tests: paho on a thread, with what came in and a way to wait for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from services.broker.accounts import Login

WAIT_S_MAX = 20


class Refused(Exception):
    """The broker did not let the client in."""


class Client:
    """One connected client; everything that it hears is in `heard`, in order."""

    def __init__(self, paho: mqtt.Client, *, acknowledges: bool) -> None:
        self.paho = paho
        self.heard: list[mqtt.MQTTMessage] = []
        self._acknowledges = acknowledges
        self._changed = threading.Condition()
        self._events: set[str] = set()
        self._reason: ReasonCode | None = None
        self.told: dict[str, object] = {}
        self.subscription_reasons: list[ReasonCode] = []
        self.session_present = False
        paho.on_connect = self._on_connect
        paho.on_disconnect = lambda *_: self._note("gone")
        paho.on_subscribe = self._on_subscribe
        paho.on_message = self._on_message

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and return once the broker has acknowledged."""
        info = self.paho.publish(topic, payload, qos=1, retain=retain)
        info.wait_for_publish(WAIT_S_MAX)
        assert info.is_published()

    def subscribe(self, topic: str) -> None:
        """Ask at QoS 1 and return once the broker has answered, whatever it said."""
        _, message_id = self.paho.subscribe(topic, qos=1)
        self.wait_for(lambda: f"subscribed {message_id}" in self._events)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; looked at whenever something has happened to this client."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S_MAX), f"waited in vain; heard {self.payloads[:20]}"

    def wait_until_gone(self) -> None:
        """Return once the broker has ended the connection."""
        self.wait_for(lambda: "gone" in self._events)

    @property
    def payloads(self) -> list[bytes]:
        """The payloads heard so far."""
        return [bytes(message.payload) for message in self.heard]

    def wait_until_answered(self) -> None:
        """Return once the broker has let this client in; raises Refused."""
        self.wait_for(lambda: self._reason is not None)
        if self._reason is not None and self._reason.is_failure:
            raise Refused(str(self._reason))

    def _on_connect(
        self, _paho: mqtt.Client, _data: object, flags: mqtt.ConnectFlags, reason: ReasonCode, told: Properties | None
    ) -> None:
        with self._changed:
            self.session_present, self._reason = flags.session_present, reason
            self.told = {} if told is None else told.json()  # type: ignore[no-untyped-call]
            self._changed.notify_all()

    def _on_subscribe(
        self, _paho: mqtt.Client, _data: object, message_id: int, reasons: list[ReasonCode], _more: object
    ) -> None:
        self.subscription_reasons = reasons
        self._note(f"subscribed {message_id}")

    def _on_message(self, paho: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        # Before the test hears of it: a test that leaves then has acknowledged what it has heard.
        if self._acknowledges:
            paho.ack(message.mid, message.qos)
        with self._changed:
            self.heard.append(message)
            self._changed.notify_all()

    def _note(self, event: str) -> None:
        with self._changed:
            self._events.add(event)
            self._changed.notify_all()


def properties_of(packet_type: int, **values: object) -> Properties:
    """Return the properties of a packet of MQTT 5."""
    properties = Properties(packet_type)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


@contextmanager
def connected(
    port: int,
    login: Login,
    *,
    client_id: str | None = None,
    clean_session: bool = True,
    acknowledges: bool = True,
    will_topic: str | None = None,
) -> Iterator[Client]:
    """A client of MQTT 3.1.1 logged in as `login`, gone with the block; raises Refused.

    `client_id` is else the user name.
    """
    paho = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=login.username if client_id is None else client_id,
        clean_session=clean_session,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    client = _logging_in(paho, login, acknowledges=acknowledges, will_topic=will_topic)
    paho.connect("127.0.0.1", port)
    with _served(client):
        yield client


@contextmanager
def connected_v5(
    port: int,
    login: Login,
    *,
    client_id: str | None = None,
    clean_start: bool = True,
    session_expiry_s: int = 0,
    acknowledges: bool = True,
    will_topic: str | None = None,
    receive_maximum: int = 65_535,
    packet_bytes_max: int = 268_435_455,
) -> Iterator[Client]:
    """A client of MQTT 5, as `connected` is one of 3.1.1."""
    paho = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=login.username if client_id is None else client_id,
        protocol=MQTTProtocolVersion.MQTTv5,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    client = _logging_in(paho, login, acknowledges=acknowledges, will_topic=will_topic)
    properties = properties_of(
        PacketTypes.CONNECT,
        SessionExpiryInterval=session_expiry_s,
        ReceiveMaximum=receive_maximum,
        MaximumPacketSize=packet_bytes_max,
    )
    paho.connect("127.0.0.1", port, clean_start=clean_start, properties=properties)
    with _served(client):
        yield client


def _logging_in(paho: mqtt.Client, login: Login, *, acknowledges: bool, will_topic: str | None) -> Client:
    paho.username_pw_set(*login)
    if will_topic is not None:
        paho.will_set(will_topic, b"last will", qos=1)
    return Client(paho, acknowledges=acknowledges)


@contextmanager
def _served(client: Client) -> Iterator[None]:
    client.paho.loop_start()
    try:
        client.wait_until_answered()
        yield
    finally:
        client.paho.disconnect()
        client.paho.loop_stop()

"""A unit on the network: it numbers, chains and signs packs, and hears receipts and commands."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.story.outsider import packs
from tests.story.outsider.cose import EDDSA, SigningKey, opened
from tests.story.outsider.packs import Flows, Record

PATIENCE_S: Final = 20
HOUR_S: Final = 3_600
SUNNY: Final = Flows(pv=1_000, load=600, export=400)


class Heard(NamedTuple):
    """A message of the platform as it came."""

    kind: str
    payload: bytes
    retained: bool


class Login(NamedTuple):
    """Where the broker is and who the unit is there."""

    host: str
    port: int
    username: str
    password: str


class Unit:
    """A device with one signing key, from `with` to its end connected.

    platform_keys  by use (`receipts`, `commands`): public keys by kid
    next_start_s   where its next interval begins
    """

    def __init__(
        self,
        device_id: str,
        login: Login,
        *,
        platform_keys: Mapping[str, Mapping[bytes, bytes]],
        start_s: int,
        key: SigningKey | None = None,
    ) -> None:
        self.device_id = device_id
        self.key = key or SigningKey.named(device_id)
        self.login = login
        self.platform_keys = platform_keys
        self.next_start_s = start_s
        self.seq = 0
        self.prev = packs.NO_PACK
        self.sent: dict[int, bytes] = {}
        self._heard: list[Heard] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()

    # On the network

    def __enter__(self) -> Self:
        self._subscribed.clear()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.device_id, protocol=mqtt.MQTTv311)
        self._client.username_pw_set(self.login.username, self.login.password)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(self._topic("receipts"), 1), (self._topic("commands"), 1)]
        )
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._hear
        self._client.connect(self.login.host, self.login.port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _topic(self, kind: str) -> str:
        return f"sparks/v1/{self.device_id}/{kind}"

    def _hear(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self._heard.append(Heard(message.topic.rpartition("/")[2], bytes(message.payload), message.retain))
            self._changed.notify_all()

    def publish(self, message: bytes) -> bytes:
        """Send any bytes as readings; returns them once the broker has answered."""
        self._client.publish(self._topic("readings"), message, qos=1).wait_for_publish(PATIENCE_S)
        return message

    # Packs

    def signed(
        self,
        flows: Sequence[Flows] = (SUNNY,),
        *,
        start_s: int | None = None,
        interval_s: int = HOUR_S,
        extra: Sequence[Record] = (),
        alg: int = EDDSA,
        base_alone: bool = True,
    ) -> bytes:
        """The next pack: numbered, chained, kept, not sent."""
        begins_s = self.next_start_s if start_s is None else start_s
        if start_s is None:
            self.next_start_s += len(flows) * interval_s
        self.seq += 1
        payload = packs.pack(
            self.device_id,
            seq=self.seq,
            prev=self.prev,
            start_s=begins_s,
            interval_s=interval_s,
            flows=flows,
            extra=extra,
            base_alone=base_alone,
        )
        message = self.key.sign1(payload, alg=alg)
        self.sent[self.seq], self.prev = message, packs.message_hash(message)
        return message

    def send(self, flows: Sequence[Flows] = (SUNNY,), **options: Any) -> bytes:
        """Sign the next pack and publish it."""
        return self.publish(self.signed(flows, **options))

    def settle(self) -> dict[str, Any]:
        """The receipt of the newest pack, which is sent once more to be answered."""
        self.publish(self.sent[self.seq])
        return self.receipt_of(self.seq)

    def declare_lost(self, first: int, *, below: int, prev: bytes) -> bytes:
        """Publish a gap pack: numbers from `first` to `below` - 1 will not come."""
        payload = packs.gap_pack(self.device_id, seq=first, prev=prev, start_s=self.next_start_s, lost=below)
        return self.publish(self.key.sign1(payload))

    def lose_disk(self, receipt: Mapping[str, Any]) -> None:
        """Know nothing but the retained receipt, and go on after it."""
        self.seq, self.prev = receipt["seq"], receipt["pack"]
        self.sent.clear()

    # What it hears

    def receipts(self) -> list[dict[str, Any]]:
        """Every receipt so far, verified, in the order they came."""
        with self._changed:
            return self._opened("receipts")

    def receipt(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first receipt that fits, heard or still to come."""
        return self._wait_for("receipts", fits)

    def receipt_of(self, seq: int) -> dict[str, Any]:
        """The first receipt that covers exactly up to `seq`."""
        return self.receipt(lambda receipt: receipt["seq"] == seq)

    def command(self, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The first command that fits, heard or still to come."""
        return self._wait_for("commands", fits)

    def forget(self) -> None:
        """Begin to listen anew."""
        with self._changed:
            self._heard.clear()

    def is_retained(self, kind: str) -> bool:
        """Was any message of this kind one that the broker had kept?"""
        with self._changed:
            return any(heard.kind == kind and heard.retained for heard in self._heard)

    def _opened(self, kind: str) -> list[dict[str, Any]]:
        return [opened(heard.payload, self.platform_keys[kind]) for heard in self._heard if heard.kind == kind]

    def _wait_for(self, kind: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((value for value in self._opened(kind) if fits(value)), None)

        with self._changed:
            value = self._changed.wait_for(found, PATIENCE_S)
            assert value is not None, (kind, self._opened(kind))
            return value

"""Tiny platforms behind a real broker: what units publish is judged, what is missing is asked for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from contracts.wire import signatures
from tests.device_sim.tiny_platform import TinyPlatform

ASK_AFTER_S = 0.2


class TinyService:
    """One TinyPlatform per unit. Judging is done in one thread; `received` has each message in order."""

    def __init__(self, seeds: Mapping[str, bytes]) -> None:
        self.platforms = {
            device_id: TinyPlatform(device_id, signatures.public_key_of(seed)) for device_id, seed in seeds.items()
        }
        self.received: list[tuple[str, bytes]] = []
        self.inbox: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()
        self.is_subscribed = Event()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="platform", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.is_subscribed.set()
        self.client.on_message = self._on_message

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe("sparks/v1/+/readings", qos=1)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.inbox.put((message.topic.split("/")[2], bytes(message.payload)))

    def judge(self) -> None:
        """Judge what arrives, until None does."""
        while True:
            try:
                item = self.inbox.get(timeout=ASK_AFTER_S)
            except Empty:
                self._ask()
                continue
            if item is None:
                return
            device_id, message = item
            self.received.append(item)
            receipt = self.platforms[device_id].receive(message)
            if receipt is not None:
                self.client.publish(f"sparks/v1/{device_id}/receipts", receipt, qos=1, retain=True)

    def _ask(self) -> None:
        for device_id, platform in self.platforms.items():
            resend = platform.resend()
            if resend is not None:
                self.client.publish(f"sparks/v1/{device_id}/commands", resend, qos=1)


@contextmanager
def tiny_service(port: int, seeds: Mapping[str, bytes], *, ca_file: Path | None = None) -> Iterator[TinyService]:
    """Run the service at a broker that anybody may use, over TLS if there is a `ca_file`."""
    service = TinyService(seeds)
    if ca_file is not None:
        service.client.tls_set(ca_certs=str(ca_file))
    service.client.connect("127.0.0.1", port)
    service.client.loop_start()
    judge = Thread(target=service.judge)
    judge.start()
    try:
        assert service.is_subscribed.wait(10)
        yield service
    finally:
        service.inbox.put(None)
        judge.join()
        service.client.disconnect()
        service.client.loop_stop()

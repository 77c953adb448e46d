"""How long a pack takes from publish to spendable: units of their own, whose first pack a receipt answers at once."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.stand import PATIENCE_S, StandFailed, hear

PROBE_EVERY_S: Final = 0.02


class Probes:
    """Sends a probe every 20 ms while something else goes on, and takes the time until its receipt."""

    def __init__(self, messages: Sequence[tuple[str, bytes]], senders: Mapping[str, Client]) -> None:
        self._messages = messages
        self._senders = senders
        self._sent_s: dict[str, float] = {}
        self._waits_s: dict[str, float] = {}
        self._answered = threading.Condition()
        self._ended = threading.Event()
        for client in set(senders.values()):
            client.on_message = self._on_receipt
        self._thread = threading.Thread(target=self._send_all, name="probes")

    def start(self) -> None:
        """Send the first one now."""
        self._thread.start()

    def end(self) -> list[float]:
        """Send no more, and return the seconds that each probe waited, in order of length.

        Those still on their way are waited for: to leave them out would leave out the slowest. Raises StandFailed.
        """
        self._ended.set()
        self._thread.join()
        with self._answered:
            if not self._answered.wait_for(lambda: len(self._waits_s) == len(self._sent_s), PATIENCE_S):
                raise StandFailed(f"{len(self._sent_s) - len(self._waits_s)} probes got no receipt")
            return sorted(self._waits_s.values())

    def _send_all(self) -> None:
        for device_id, message in self._messages:
            self._sent_s[device_id] = time.monotonic()
            self._senders[device_id].publish(f"sparks/v1/{device_id}/readings", message, qos=1)
            if self._ended.wait(PROBE_EVERY_S):
                return

    def _on_receipt(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        device_id, now_s = message.topic.split("/")[2], time.monotonic()
        with self._answered:
            if device_id in self._sent_s and device_id not in self._waits_s:
                self._waits_s[device_id] = now_s - self._sent_s[device_id]
                self._answered.notify_all()


@contextmanager
def probes(
    messages: Sequence[tuple[str, bytes]], *, port: int, logins: Mapping[str, str] | None = None
) -> Iterator[Probes]:
    """Probes that are connected: each with its own login, or all together where the broker asks for none."""
    device_ids = [device_id for device_id, _ in messages]
    if logins is None:
        everyone = _connected("sparks/v1/+/receipts", port, None)
        senders = dict.fromkeys(device_ids, everyone)
    else:
        senders = {name: _connected(f"sparks/v1/{name}/receipts", port, (name, logins[name])) for name in device_ids}
    try:
        yield Probes(messages, senders)
    finally:
        for client in set(senders.values()):
            client.disconnect()
            client.loop_stop()


def _connected(receipts: str, port: int, login: tuple[str, str] | None) -> Client:
    """A client that hears these receipts already."""
    client, listening = Client(CallbackAPIVersion.VERSION2), threading.Event()
    hear(client, receipts, listening.set)
    if login is not None:
        client.username_pw_set(*login)
    client.connect("127.0.0.1", port)
    client.loop_start()
    if not listening.wait(PATIENCE_S):
        raise StandFailed("a probe cannot hear its receipt")
    return client

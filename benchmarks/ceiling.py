"""The ceiling of ingestion: receive by paho with manual acknowledgement, verify with PyNaCl, and do nothing else.

    python -m benchmarks.ceiling PORT UNITS

As many processes as the machine has cores share the subscription; each prints a line when it listens and one JSON
object when none came for a while.
"""

import json
import sys
import threading
import time
from typing import Final

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import fleet
from contracts.wire import signatures

SHARED: Final = "$share/ceiling/sparks/v1/+/readings"
QUIET_S: Final = 2.0
SIG_STRUCTURE: Final = b"\x84\x6aSignature1"
PROTECTED_END: Final = 2 + 1 + 16


class _Loop:
    """Counts what arrives and verifies."""

    def __init__(self, units: int) -> None:
        self.public_keys = {unit.device_id: signatures.public_key_of(unit.seed) for unit in fleet.units(units)}
        self.count = 0
        self.first_s = self.last_s = 0.0
        self.arrived = threading.Event()

    def on_message(self, client: Client, _data: object, message: MQTTMessage) -> None:
        sent = bytes(message.payload)
        # Tag and array head, protected header, empty map, payload, head of the signature: cut where our load has them.
        signed = SIG_STRUCTURE + sent[2:PROTECTED_END] + b"\x40" + sent[PROTECTED_END + 1 : -66]
        public_key = self.public_keys[message.topic.split("/")[2]]
        try:
            crypto_sign_open(sent[-64:] + signed, public_key)
        except BadSignatureError as error:
            raise ValueError("the load holds a forged message") from error
        client.ack(message.mid, message.qos)
        self.last_s = time.monotonic()
        self.first_s = self.first_s or self.last_s
        self.count += 1
        self.arrived.set()


def _subscribe(client: Client, *_: object) -> None:
    client.subscribe(SHARED, qos=1)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Receive until nothing comes any more."""
    port, units = int(sys.argv[1]), int(sys.argv[2])
    loop = _Loop(units)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5, manual_ack=True)
    client.on_message = loop.on_message
    client.on_connect = _subscribe
    client.on_subscribe = lambda *_: _say(json.dumps({"listening": True}))
    client.connect("127.0.0.1", port)
    client.loop_start()
    loop.arrived.wait()
    while loop.arrived.wait(QUIET_S):
        loop.arrived.clear()
    client.loop_stop()
    _say(json.dumps({"count": loop.count, "first_s": loop.first_s, "last_s": loop.last_s}))


if __name__ == "__main__":
    main()

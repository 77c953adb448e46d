"""The ceiling of ingestion: receive by paho with manual acknowledgement, verify with PyNaCl, and do nothing else.

    python -m benchmarks.ceiling PORT UNITS [DATA_DIR]

As many processes as the machine has cores share the subscription; each prints a line when it listens and one JSON
object when none came for a while. With the data folder of a platform at rest, the broker is that platform's embedded
one, here in the same process: then there is one loop, with one core for both.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Final

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks import fleet, stand
from contracts.wire import signatures
from services import database
from services.broker import topics
from services.broker.accounts import Login
from services.broker.embedded import EmbeddedBroker
from services.keys import Keys
from services.settings import Settings

SHARED: Final = f"$share/ceiling/{topics.READINGS_OF_ALL}"
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


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _embedded_broker(port: int, data_dir: Path) -> Login:
    """Start the embedded broker with the accounts of this folder; how the platform logs in."""
    settings = Settings(data_dir=data_dir)
    credentials = Keys(settings.keys_dir).broker()
    platform = Login(credentials.name, credentials.secret)
    EmbeddedBroker(port=port, accounts=database.engine(settings.database), platform=platform).start()
    return platform


def _client_of(port: int, data_dir: Path | None) -> Client:
    """As ingestion is: MQTT 5 with a shared subscription, or MQTT 3.1.1 and all is ours."""
    if data_dir is None:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
    else:
        client = Client(CallbackAPIVersion.VERSION2, manual_ack=True)
        client.username_pw_set(*_embedded_broker(port, data_dir))
    wanted = SHARED if data_dir is None else topics.READINGS_OF_ALL
    stand.hear(client, wanted, lambda: _say(json.dumps({"listening": True})))
    return client


def main() -> None:
    """Receive until nothing comes any more."""
    port, units, *folder = sys.argv[1:]
    loop = _Loop(int(units))
    client = _client_of(int(port), Path(folder[0]) if folder else None)
    client.on_message = loop.on_message
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    loop.arrived.wait()
    while loop.arrived.wait(QUIET_S):
        loop.arrived.clear()
    client.loop_stop()
    _say(json.dumps({"count": loop.count, "first_s": loop.first_s, "last_s": loop.last_s}))


if __name__ == "__main__":
    main()

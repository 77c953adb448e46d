"""Sends prepared MQTT PUBLISH packets as fast as asked, in a process of its own, light enough not to be the limit.

    python -m benchmarks.publisher LOAD PORT RATE

LOAD is a file of `write_load`: a connection for each login, or one without. RATE is in messages a second, 0 is as fast
as the broker takes them. At most WINDOW messages of a connection are unacknowledged. Prints a JSON object when it
begins, and one when all is acknowledged, with the seconds since.
"""

import pickle
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from amqtt.mqtt.connect import ConnectPacket, ConnectPayload, ConnectVariableHeader
from amqtt.mqtt.publish import PublishPacket

WINDOW: Final = 1_000
PUBACK_BYTES: Final = 4
CONNACK_BYTES: Final = 4
BURST: Final = 50
_CLEAN, _WITH_LOGIN = 0x02, 0xC2


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: (place in `logins`, PUBLISH packet) in order; a login of (None, None) shows none."""

    logins: Sequence[tuple[str | None, str | None]]
    packets: Sequence[tuple[int, bytes]]


def load_of(messages: Iterable[tuple[str, bytes]], logins: Mapping[str, str] | None = None) -> Load:
    """The load of (device id, COSE bytes): on one connection, or each on that of its own login."""
    shown: list[tuple[str | None, str | None]] = list(logins.items()) if logins else [(None, None)]
    places = {username: place for place, (username, _) in enumerate(shown)}
    packets = []
    for number, (device_id, message) in enumerate(messages):
        topic = f"sparks/v1/{device_id}/readings"
        packet = PublishPacket.build(topic, message, number % 65_535 + 1, False, 1, False)
        packets.append((places[device_id] if logins else 0, bytes(packet.to_bytes())))
    return Load(shown, packets)


def write_load(path: Path, load: Load) -> None:
    """Prepare the file; only this program reads it."""
    path.write_bytes(pickle.dumps(load))


@dataclass(slots=True)
class _Connection:
    """One login's connection, and what it still has to send."""

    socket: socket.socket
    waiting: deque[bytes] = field(default_factory=deque)
    sent: int = 0
    acknowledged_bytes: int = 0

    def send_some(self) -> int:
        """Send what the window allows; how many."""
        room = WINDOW - (self.sent - self.acknowledged_bytes // PUBACK_BYTES)
        burst = [self.waiting.popleft() for _ in range(min(room, BURST, len(self.waiting)))]
        if burst:
            self.socket.sendall(b"".join(burst))
            self.sent += len(burst)
        return len(burst)

    def read(self) -> int:
        """Take acknowledgements; how many bytes of them."""
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionResetError("the broker closed the connection")
        self.acknowledged_bytes += len(received)
        return len(received)


def _connect(port: int, username: str | None, password: str | None) -> _Connection:
    header = ConnectVariableHeader(connect_flags=_WITH_LOGIN if username else _CLEAN, keep_alive=0)
    payload = ConnectPayload(client_id=f"bench-{username}", username=username, password=password)
    connected = socket.create_connection(("127.0.0.1", port))
    connected.sendall(bytes(ConnectPacket(variable_header=header, payload=payload).to_bytes()))
    answer = connected.recv(CONNACK_BYTES, socket.MSG_WAITALL)
    if answer[3:] != b"\x00":
        raise ConnectionRefusedError(f"the broker answered {answer.hex()}")
    return _Connection(connected)


def _send(connections: list[_Connection], load: Load, rate: int) -> float:
    """Send all, wait until all are acknowledged; the seconds it took."""
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    began_s = time.monotonic()
    total, offered, acknowledged_bytes = len(load.packets), 0, 0
    while acknowledged_bytes < total * PUBACK_BYTES:
        allowed = total if not rate else min(total, int((time.monotonic() - began_s) * rate) + 1)
        for place, packet in load.packets[offered : min(allowed, offered + WINDOW)]:
            connections[place].waiting.append(packet)
            offered += 1
        sent = sum(connection.send_some() for connection in connections)
        for key, _ in selector.select(0 if sent else 0.002):
            acknowledged_bytes += key.data.read()
    return time.monotonic() - began_s


def main() -> None:
    """Send what the command line says."""
    path, port, rate = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    load: Load = pickle.loads(path.read_bytes())
    connections = [_connect(port, username, password) for username, password in load.logins]
    _say('{"began": true}')
    seconds = _send(connections, load, rate)
    _say(f'{{"sent": {len(load.packets)}, "seconds": {seconds}}}')
    for connection in connections:
        connection.socket.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

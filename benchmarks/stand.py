"""The stand on which a platform is measured: real servers, and the services as processes of their own."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from paho.mqtt.client import Client

from benchmarks.servers import free_port
from contracts.commands import Command, Request
from contracts.wire import packs
from services.keys import Keys
from services.ledger.client import Accepted, Ledger
from services.ledger.remote import RemoteLedger
from services.settings import PREFIX

START_S_MAX: Final = 30
STOP_S_MAX: Final = 15
ASKED_AT_ONCE: Final = 500
PATIENCE_S: Final = 120
POLL_S: Final = 0.1


class StandFailed(Exception):
    """A process of the stand did not come up, ended, or did not do its part."""


class Service:
    """`sparks serve NAME` in a process of its own, on a free port unless it is given one."""

    def __init__(self, name: str, settings: Mapping[str, str], *, port: int | None = None) -> None:
        self.name = name
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        environment = {**inherited, **settings, f"{PREFIX}HTTP_PORT": str(self.port)}
        command = [sys.executable, "-m", "services.cli", "serve", name]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def wait_until_ready(self) -> None:
        """Return once it answers that it is; raises StandFailed."""
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s and self.process.poll() is None:
            try:
                if httpx.get(f"{self.base_url}/readyz", timeout=1).is_success:
                    return
            except httpx.TransportError:
                select.select([], [], [], 0.05)
        raise StandFailed(f"sparks serve {self.name} is not ready (exit code {self.process.poll()})")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def services(names: Sequence[str], settings: dict[str, str]) -> Iterator[dict[str, Service]]:
    """Running services by name; the ledger first, and the others pointed at it."""
    running: dict[str, Service] = {}
    try:
        for name in names:
            running[name] = Service(name, settings)
            running[name].wait_until_ready()
            if name == "ledger":
                settings = {**settings, f"{PREFIX}LEDGER_URL": running[name].base_url}
        yield running
    finally:
        for service in reversed(running.values()):
            service.stop()


def ledger_of(service: Service, data_dir: Path) -> RemoteLedger:
    """A client with the platform's own token."""
    return RemoteLedger(service.base_url, token=Keys(data_dir / "keys").internal_token())


def ask_all(ledger: Ledger, commands: Sequence[Command]) -> None:
    """Have every command accepted; raises StandFailed at the first that is not."""
    requests = [Request(os.urandom(32), bytes(32), command) for command in commands]
    for first in range(0, len(requests), ASKED_AT_ONCE):
        for outcome in ledger.submit(requests[first : first + ASKED_AT_ONCE]):
            if not isinstance(outcome, Accepted):
                raise StandFailed(f"the ledger answered {outcome}")


def wait_for_size(ledger: Ledger, wanted_size: int) -> None:
    """Return once the log has so many entries; raises StandFailed if it stops growing before."""
    size, moved_s, pause = 0, time.monotonic(), threading.Event()
    while size < wanted_size:
        pause.wait(POLL_S)
        newest = ledger.head().size
        if newest != size:
            size, moved_s = newest, time.monotonic()
        elif time.monotonic() - moved_s > PATIENCE_S:
            raise StandFailed(f"{wanted_size - size} packs were not decided")


def json_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that a process of the stand prints."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise StandFailed(f"{process.args!r} ended with {process.wait()}")
    said: dict[str, Any] = json.loads(line)
    return said


def module(name: str, *arguments: object) -> subprocess.Popen[str]:
    """A module of the benchmarks as a process that prints JSON lines."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def hear(client: Client, topic_filter: str, on_listening: Callable[[], None]) -> None:
    """Have `client` subscribe once it is connected, and say when it listens."""

    def subscribe(*_: object) -> None:
        client.subscribe(topic_filter, qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: on_listening()


def digest(text: str) -> bytes:
    """Any 32 bytes that belong to `text`."""
    return packs.message_hash(text.encode())

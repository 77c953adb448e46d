"""`sparks serve all` as a process of its own, to be killed and started again over the same data."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx

from tests.story.outsider.api import HTTP
from tests.story.outsider.stage import Stage, eventually

ROOT: Final = Path(__file__).parents[3]
STOP_S_MAX: Final = 10


def free_ports(count: int) -> list[int]:
    """TCP ports on which nobody listens, all different."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in listening]
    for one in listening:
        one.close()
    return ports


class Served:
    """The command, its ports and its data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.http_port, self.mqtt_port, self.till_port = free_ports(3)
        self.base_url = f"http://127.0.0.1:{self.http_port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it says that it is ready."""
        chosen = {
            "SPARKS_DATA_DIR": str(self.data_dir),
            "SPARKS_HTTP_PORT": str(self.http_port),
            "SPARKS_MQTT_PORT": str(self.mqtt_port),
            "SPARKS_ISO8583_PORT": str(self.till_port),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPARKS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "serve", "all"],
            cwd=ROOT,
            env=inherited | chosen,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert eventually(self._is_ready), self.process.poll()

    def stage(self) -> Stage:
        """Its operator's view."""
        credentials = json.loads((self.data_dir / "keys" / "operator.json").read_text())
        return Stage(self.base_url, f"mqtt://127.0.0.1:{self.mqtt_port}", credentials, lambda: int(time.time()))

    def end(self, with_signal: signal.Signals) -> int:
        """Its exit code after this signal; an assertion fails if anything of it is left running."""
        assert self.process is not None
        self.process.send_signal(with_signal)
        code = self.process.wait(STOP_S_MAX)
        assert not _lives(self.process.pid)
        self.process = None
        return code

    def make_sure_it_ended(self) -> None:
        """After a test that failed in the middle."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _is_ready(self) -> bool:
        try:
            return HTTP.get(f"{self.base_url}/readyz", timeout=1).is_success
        except httpx.TransportError:
            return False


def _lives(session: int) -> bool:
    """Is any process of this session still there?"""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True

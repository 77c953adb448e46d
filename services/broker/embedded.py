"""The broker of the one-process platform: an exchange with a thread and an event loop of its own."""

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from concurrent.futures import Future
from typing import Final

from sqlalchemy import Engine

from services.broker.accounts import Login, TableAccounts, never_a_unit
from services.broker.exchange import Exchange

START_S_MAX: Final = 10
STOP_S_MAX: Final = 2


class PortInUse(OSError):
    """Somebody else listens where the broker was told to."""


class EmbeddedBroker:
    """A broker of MQTT 3.1.1 and 5 inside this process.

    Units log in with their rows in the table `broker_accounts`; the platform with `platform`. Sessions and
    retained messages live in memory: after a restart, units send again what no receipt covers.
    """

    def __init__(self, *, port: int, accounts: Engine, platform: Login, host: str = "127.0.0.1") -> None:
        self._address = (host, port)
        self._accounts = TableAccounts(accounts)
        self._platform = never_a_unit(platform)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; where 0 was asked for, the one that the system gave at the start."""
        return self._address[1]

    def start(self) -> None:
        """Return once clients may connect; raises PortInUse."""
        listening = _listen(self._address)
        self._address = (self._address[0], listening.getsockname()[1])
        # amqtt logs each client that comes and goes; what a unit does is ingestion's to report.
        logging.getLogger("amqtt").setLevel(logging.ERROR)
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening, started), name="broker", daemon=True)
        self._thread.start()
        started.result(timeout=START_S_MAX)

    def stop(self) -> None:
        """Return once every client is disconnected and the port is free; a stopped broker may start again."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._loop = self._stopping = None

    def _run(self, listening: socket.socket, started: Future[None]) -> None:
        with listening:
            asyncio.run(self._serve(listening, started))

    async def _serve(self, listening: socket.socket, started: Future[None]) -> None:
        try:
            exchange = Exchange(listening, self._accounts, self._platform)
            await exchange.start()
        except BaseException as error:
            started.set_exception(error)
            return
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        started.set_result(None)
        await self._stopping.wait()
        # What has not closed by then is closed with the loop.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                await exchange.shutdown()


def _listen(address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(address, backlog=1024)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        host, port = address
        raise PortInUse(errno.EADDRINUSE, f"port {port} of {host} is in use by another program") from error

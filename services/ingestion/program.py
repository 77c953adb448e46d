"""Ingestion as a program: one worker thread between a broker and the ledger, built from explicit arguments."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from sqlalchemy import Engine

from services.clock import Clock
from services.contract_sets import CarriedSets
from services.ingestion.attention import Attention
from services.ingestion.judge import Judge
from services.ingestion.metrics import Metrics
from services.ingestion.patience import Patience, Stopping
from services.ingestion.sources.mqtt import Endpoint, MqttSource
from services.ingestion.sources.source import Outlet, Source
from services.ingestion.speaker import Speaker
from services.ingestion.worker import Worker
from services.ledger.client import Ledger

STOP_S_MAX: Final = 2.0
RESTART_S: Final = 1.0
"""How long to rest after a bug in the loop itself."""

log = structlog.get_logger(__name__)


class Transport(Source, Outlet, Protocol):
    """One connection that brings messages and takes receipts and commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """In whose name units are told what is on the ledger.

    origin                        the name of the ledger's log
    receipts_seed, commands_seed  32-byte Ed25519 seeds, a different one for each use
    """

    origin: str
    receipts_seed: bytes = field(repr=False)
    commands_seed: bytes = field(repr=False)


def worker_of(
    transport: Transport,
    *,
    ledger: Ledger,
    engine: Engine,
    clock: Clock,
    identity: Identity,
    metrics: Metrics,
    patience: Patience,
    timer: Callable[[], float] = time.time,
) -> Worker:
    """A worker that has taken up what an earlier run left; raises Stopping if it is to end before that.

    timer  wall clock in seconds, for pauses between commands
    """
    judge = Judge(
        ledger=ledger,
        engine=engine,
        clock=clock,
        origin=identity.origin,
        programme=CarriedSets(ledger.stored).programme,
        patience=patience,
    )
    speaker = Speaker(outlet=transport, receipts_seed=identity.receipts_seed, commands_seed=identity.commands_seed)
    attention = Attention(
        judge=judge,
        speaker=speaker,
        metrics=metrics,
        engine=engine,
        patience=patience,
        timer=timer,
    )
    attention.begin()
    return Worker(source=transport, judge=judge, attention=attention, monotonic=timer)


class Ingestion:
    """The program. `start` returns at once; `stop` within STOP_S_MAX, what is not acknowledged then comes again.

    client_id  of the broker's session; a different one for each worker
    """

    def __init__(
        self,
        broker: Endpoint,
        *,
        ledger: Ledger,
        engine: Engine,
        clock: Clock,
        identity: Identity,
        metrics: Metrics,
        client_id: str = "sparks-ingestion",
    ) -> None:
        self._source = MqttSource(broker, client_id=client_id)
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._identity = identity
        self._metrics = metrics
        self._stopping = threading.Event()
        self._patience = Patience(self._stopping.wait)
        self._thread = threading.Thread(target=self._run, name="ingestion", daemon=True)

    def start(self) -> None:
        """Begin; goes on trying to reach broker, ledger and database for as long as it takes."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch under way, or in the middle of waiting for the ledger."""
        self._stopping.set()
        self._source.wake()
        self._thread.join(STOP_S_MAX)
        self._source.stop()

    def is_connected(self) -> bool:
        """Do messages reach us?"""
        return self._source.is_ready

    def is_working(self) -> bool:
        """Does the worker run, and not wait for the ledger or the database?"""
        return self._thread.is_alive() and not self._patience.is_waiting

    def _run(self) -> None:
        try:
            worker = worker_of(
                self._source,
                ledger=self._ledger,
                engine=self._engine,
                clock=self._clock,
                identity=self._identity,
                metrics=self._metrics,
                patience=self._patience,
            )
            self._source.start()
            while not self._stopping.is_set():
                self._step(worker)
        except Stopping:
            log.info("stopped_while_waiting")

    def _step(self, worker: Worker) -> None:
        try:
            worker.work()
        except Stopping:
            raise
        except Exception:
            # What was taken is not acknowledged; it comes again on the next connection.
            log.exception("worker_failed")
            self._stopping.wait(RESTART_S)

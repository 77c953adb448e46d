"""The loop of one worker: take a batch, judge it, tell the units, acknowledge. One thread does it all."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from services.ingestion.arrivals import INTERNAL_ERROR, Arrival
from services.ingestion.attention import Attention
from services.ingestion.judge import Judge
from services.ingestion.patience import Stopping
from services.ingestion.sources.source import Message, Source

BATCH_MAX: Final = 500
IDLE_S: Final = 0.1
"""How long to wait for a message before looking after the units."""
ERRANDS_S: Final = 0.5
"""How often to look for instructions and replays that other programs asked for."""

log = structlog.get_logger(__name__)


class Worker:
    """Takes messages from a source. `work` is one step, for whoever drives it by hand."""

    def __init__(
        self,
        *,
        source: Source,
        judge: Judge,
        attention: Attention,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._judge = judge
        self._attention = attention
        self._monotonic = monotonic
        self._left: list[Message] = []
        self._errands_at = monotonic()

    def work(self, *, idle_s: float = IDLE_S) -> int:
        """Judge the next batch and look after the units; return how many messages were taken.

        Raises Stopping if the program is to end while the ledger or the database is waited for.
        """
        batch = self._left + self._source.take(BATCH_MAX - len(self._left), 0 if self._left else idle_s)
        self._left = []
        if batch:
            self._judge_batch(batch)
        self._attention.look_after_units()
        if self._monotonic() >= self._errands_at:
            self._attention.send_instructions()
            self._attention.replay()
            self._errands_at = self._monotonic() + ERRANDS_S
        return len(batch)

    def _judge_batch(self, batch: Sequence[Message]) -> None:
        """Judge messages together; if that raises, one by one, so that a bug keeps only its own message back."""
        by_arrival = {Arrival(message.device_id, message.payload): message for message in batch}
        try:
            report = self._judge.judge(list(by_arrival))
        except Stopping:
            raise
        except Exception:
            log.exception("batch_failed", messages=len(batch))
            if len(batch) > 1:
                for message in batch:
                    self._judge_batch([message])
                return
            (arrival,) = by_arrival
            report = self._judge.set_aside(arrival, INTERNAL_ERROR)
        left = set(report.left)
        self._left += [by_arrival[arrival] for arrival in report.left]
        try:
            self._attention.take_in(report)
        finally:
            self._source.acknowledge([message for arrival, message in by_arrival.items() if arrival not in left])

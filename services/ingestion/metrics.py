"""What an operator sees of ingestion: what became of messages, what waits, and what rang an alarm."""

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from services.database import DatabaseUnavailable, reading
from services.ingestion.arrivals import Arrival, Became, Verdict
from services.ingestion.keeping import RECEIVED, alarms
from services.setaside import tallies

OUTCOMES: Final = (RECEIVED, *(became for became in Became if became is not Became.WAITING))


class Metrics:
    """Counters of this process, and the counts of all workers from the database, read in one statement."""

    def __init__(self, registry: CollectorRegistry, engine: Engine) -> None:
        self._reasons = Counter(
            "sparks_verdicts", "Messages by outcome and reason, this process", ["outcome", "reason"], registry=registry
        )
        self._alarms = Counter("sparks_alarms", "Somebody must look at this unit", ["reason"], registry=registry)
        registry.register(_Counts(engine))

    def note(self, verdicts: Mapping[Arrival, Verdict]) -> None:
        """Count what came of a batch."""
        for verdict in verdicts.values():
            self._reasons.labels(verdict.became, verdict.reason).inc()
        for _, verdict in alarms(verdicts):
            self._alarms.labels(verdict.reason).inc()


class _Counts(Collector):
    """`received` is the sum of what messages became, whenever it is asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        try:
            with reading(self._engine) as session:
                counts = tallies.counts(session.connection())
        except DatabaseUnavailable:
            return
        messages = CounterMetricFamily("sparks_messages", "What became of messages, all workers", labels=["outcome"])
        for outcome in OUTCOMES:
            messages.add_metric([outcome], counts.get(outcome, 0))
        yield messages
        waiting = counts.get(Became.WAITING, 0)
        yield GaugeMetricFamily("sparks_messages_waiting", "Packs parked until their turn or time comes", value=waiting)

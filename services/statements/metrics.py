"""The metric that says that a statement is missing."""

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.ledger.client import LedgerUnavailable
from services.statements.publishing import Publishing


class StatementMetrics(Collector):
    """`sparks_statement_days_behind`: how many days that are over have passed since the last one with a statement."""

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing

    def describe(self) -> Iterable[Metric]:
        """The name alone: a registry asks when the ledger may not run yet."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """Nothing where the ledger does not answer."""
        try:
            behind = self._publishing.days_behind()
        except LedgerUnavailable:
            return
        family = self._family()
        family.add_metric([], behind)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("sparks_statement_days_behind", "Days that are over since the last one told")

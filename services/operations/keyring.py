"""When members' keys end: what each is worth now, and the metric that says so early enough."""

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts import state
from contracts.state import Member, MemberKey, Membership
from contracts.units import DAY_S, Seconds, UnixSeconds
from services.clock import Clock
from services.ledger.client import Ledger, LedgerUnavailable


def days_left(key: MemberKey, now_s: UnixSeconds) -> int:
    """Whole days until the key ends; 0 if it has."""
    return max(0, key.until_s - now_s) // DAY_S


def state_of(key: MemberKey, member: Member, now_s: UnixSeconds, *, forecast_s: Seconds) -> str:
    """`coming`, `valid`, `ending` (within `forecast_s`, and no key of its use lasts longer) or `ended`."""
    if now_s >= key.until_s or (member.removed_s and now_s >= member.removed_s):
        return "ended"
    if now_s < key.from_s:
        return "coming"
    is_last = key.until_s >= max(other.until_s for other in member.keys if other.use == key.use)
    return "ending" if is_last and key.until_s - now_s <= forecast_s else "valid"


class KeyMetrics(Collector):
    """`sparks_member_key_days_left`: of each present member and use, days until its last key ends.

    A key whose successor is there warns nobody.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """The name alone: a registry asks when the ledger may not run yet."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """Nothing where the ledger does not answer."""
        try:
            last = self._last()
        except LedgerUnavailable:
            return
        family = self._family()
        for (member_id, use), until_s in last.items():
            family.add_metric([member_id, use], (until_s - self._clock.now_s()) // DAY_S)
        yield family

    def _family(self) -> GaugeMetricFamily:
        said = "Days until the last key of a member and use ends"
        return GaugeMetricFamily("sparks_member_key_days_left", said, labels=["member", "use"])

    def _last(self) -> dict[tuple[str, str], UnixSeconds]:
        (membership,) = self._ledger.rows([state.MEMBERSHIP_KEY])
        present = membership.members if isinstance(membership, Membership) else ()
        rows = self._ledger.rows([state.member_key(member_id) for member_id in present])
        last: dict[tuple[str, str], UnixSeconds] = {}
        for member in rows:
            if isinstance(member, Member):
                for key in member.keys:
                    place = (member.member_id, key.use)
                    last[place] = max(last.get(place, 0), key.until_s)
        return last

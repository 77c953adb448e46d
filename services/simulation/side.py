"""One side of the comparison: the history as one contract set executes it, and what it gives to whom."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from contracts import state
from contracts.closing import STATEMENTS
from contracts.commands import DecideAgain, OpenLedger, RecordPack, ReleaseDeferred
from contracts.governed import GOVERNANCE
from contracts.units import LocalDay, MicroSparks, UnixSeconds, Watt
from services.contract_sets import ContractSet
from services.ledger.reexecution import Replayed

LARGE_PV_W: Final = 5_000
"""Panels above this nameplate make a large home; the middle of what Ontario's roofs carry."""
UNKNOWN: Final = "unknown"
"""Instead of the kind of a command that the contract set does not have."""
_EARNING: Final = frozenset({RecordPack.KIND, DecideAgain.KIND})
# Each side mints what waited by itself; who governs, and by which contracts, is not what is tried, and statements tell
# of what was.
_NOT_TRIED: Final = frozenset({OpenLedger.KIND, ReleaseDeferred.KIND})
_NOT_TRIED_OF: Final = frozenset({GOVERNANCE, STATEMENTS})
"""Collections."""


@dataclass(slots=True)
class Home:
    """A unit as it was when it last earned, and all that it earned in the span."""

    level: str
    zone: str
    home_type: str
    micro_sparks: MicroSparks = 0


@dataclass(slots=True)
class Side:
    """Executes entries in their order; `is_counted` says of a pack's first moment whether its award counts."""

    replayed: Replayed
    is_counted: Callable[[UnixSeconds], bool]
    homes: dict[str, Home] = field(default_factory=dict)
    by_rule: Counter[str] = field(default_factory=Counter)
    days: Counter[LocalDay] = field(default_factory=Counter)
    minted_micro_sparks: MicroSparks = 0
    deferred_micro_sparks: MicroSparks = 0
    packs: int = 0
    refused: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, history: Replayed, contracts: ContractSet, is_counted: Callable[[UnixSeconds], bool]) -> "Side":
        """What the history came to so far, going on under these contracts."""
        replayed = history.fork()
        replayed.activate(contracts)
        return cls(replayed, is_counted)

    def take(self, request: bytes, *, index: int, at_s: UnixSeconds) -> None:
        """Execute one entry's request as this side's contracts have it."""
        contracts = self.replayed.contracts
        try:
            command = contracts.commands.from_bytes(request).command
        except (ValueError, TypeError):
            self.rejected[UNKNOWN] += 1
            return
        if command.KIND in _NOT_TRIED or command.COLLECTION in _NOT_TRIED_OF:
            return
        self.replayed.at_s, self.replayed.index = at_s, index
        done = self._execute(command)
        if done is None:
            self.rejected[command.KIND] += 1
            return
        if command.KIND in _EARNING:
            self._count(command.device_id, done)
        while contracts.accounts.can_release(contracts.effects.Draft(self.replayed)):
            if self._execute(contracts.commands.ReleaseDeferred()) is None:
                break

    def _execute(self, command: Any) -> Any:
        """Execute and take over; None if it is rejected."""
        contracts = self.replayed.contracts
        done = contracts.execute.execute(self.replayed, command)
        if isinstance(done, contracts.effects.Rejected):
            return None
        for _ in self.replayed.apply(done.writes):
            pass  # accepted packs are not kept
        return done

    def _count(self, device_id: str, done: Any) -> None:
        result = done.result
        start_s = max((row.start_s for key, row in done.writes.items() if key.startswith("pack/")), default=0)
        if result["outcome"] != "accepted":
            self.refused += self.is_counted(self.replayed.at_s)
            return
        if result["holder"] is None or not self.is_counted(start_s):
            return
        micro_sparks: MicroSparks = result["micro_sparks"]
        self.packs += 1
        self.by_rule.update(result["awards"])
        self.days[self.replayed.programme.local_day(start_s)] += micro_sparks
        if result["deferred"]:
            self.deferred_micro_sparks += micro_sparks
        else:
            self.minted_micro_sparks += micro_sparks
        self._home(device_id, result["holder"]).micro_sparks += micro_sparks

    def _home(self, device_id: str, holder: str) -> Home:
        unit: Any = self.replayed.get(state.unit_key(device_id))
        customer: Any = self.replayed.get(state.customer_key(holder))
        home_type = home_type_of(unit.pv_nameplate_w, has_battery=unit.battery_capacity_wh > 0)
        home = self.homes.setdefault(device_id, Home(customer.level, unit.zone, home_type))
        home.level, home.zone, home.home_type = customer.level, unit.zone, home_type
        return home


def home_type_of(pv_nameplate_w: Watt, *, has_battery: bool) -> str:
    """What kind of home a unit's nameplate and battery make: six words for all there are."""
    panels = "no panels" if pv_nameplate_w == 0 else "small panels" if pv_nameplate_w <= LARGE_PV_W else "large panels"
    return f"{panels}, battery" if has_battery else panels

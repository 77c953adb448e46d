"""What the packs on a ledger add up to, unit by unit: energies, awards, refusals. For summaries.

Reads the recorded entries in order, once. Decides nothing: the sums are of what the contracts decided.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from contracts import recording
from contracts.units import MgCo2e, UnixSeconds
from contracts.wire.packs import FLOWS, Interval, Pack
from services.ledger.client import Recorded


@dataclass(slots=True)
class Harvest:
    """Of one unit.

    flows_wh, months_wh  sums of the accepted intervals by flow, in all and by month
    micro_sparks         awards by rule, minted or deferred
    """

    accepted_packs: int = 0
    intervals: list[Interval] = field(default_factory=list)
    flows_wh: Counter[str] = field(default_factory=Counter)
    months_wh: dict[str, Counter[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    micro_sparks: Counter[str] = field(default_factory=Counter)
    avoided_mg_co2e: MgCo2e = 0

    def add_accepted(self, recorded: Recorded, month_of: Callable[[UnixSeconds], str]) -> None:
        """Count an accepted pack."""
        content = recording.content_of(recorded.command["message"])
        if not isinstance(content, Pack):
            raise TypeError(f"entry {recorded.index} accepted what is no pack")
        self.accepted_packs += 1
        self.intervals.extend(content.intervals)
        self.micro_sparks.update(recorded.result["awards"])
        self.avoided_mg_co2e += recorded.result["avoided_mg_co2e"]
        for interval in content.intervals:
            flows = {flow: getattr(interval, flow) for flow in FLOWS}
            self.flows_wh.update(flows)
            self.months_wh.setdefault(month_of(interval.start_s), Counter()).update(flows)


def harvests(entries: Iterable[Recorded], month_of: Callable[[UnixSeconds], str]) -> dict[str, Harvest]:
    """By device id; `month_of` names the month that an interval counts to."""
    found: dict[str, Harvest] = {}
    for recorded in entries:
        if recorded.kind not in ("record_pack", "decide_again"):
            continue
        harvest = found.setdefault(recorded.command["device_id"], Harvest())
        if recorded.result["outcome"] == "accepted":
            harvest.add_accepted(recorded, month_of)
        else:
            harvest.refused[recorded.result["reason"]] += 1
    return found

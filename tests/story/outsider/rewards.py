"""What a household earns: programme.md once more, without events and holidays, which no test here meets."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from tests.story.outsider.packs import Flows

TORONTO: Final = ZoneInfo("America/Toronto")
CAP_MICRO_SPARKS: Final = 200_000_000
SELF_SUPPLY: Final = {"off": 400, "mid": 800, "on": 1_600}
GREEN_EXPORT: Final = {"off": 200, "mid": 1_200, "on": 2_400}
CARBON_PER_MG: Final = 5
INTENSITY_MG_PER_WH: Final = 60
LEVEL_BP: Final = {"observer": 0, "saver": 10_000, "partner": 12_500}


def period_at(start_s: int) -> str:
    """Time-of-use period of an interval; the day is taken not to be a holiday."""
    local = datetime.fromtimestamp(start_s, TORONTO)
    if local.weekday() >= 5 or not 7 <= local.hour < 19:
        return "off"
    midday = 11 <= local.hour < 17
    is_summer = 5 <= local.month <= 10
    return "on" if midday == is_summer else "mid"


@dataclass(slots=True)
class Household:
    """What is in the battery by origin, and what was earned on which day."""

    battery_capacity_wh: int
    level: str = "saver"
    green_wh: int = 0
    grey_wh: int = 0
    earned_by_day: dict[date, int] = field(default_factory=dict)
    avoided_mg_co2e: int = 0

    def earn(self, start_s: int, flows: Flows) -> dict[str, int]:
        """Micro-sparks by rule for one accepted interval."""
        self_supply_wh, green_export_wh = self._green(flows)
        avoided_mg = (self_supply_wh + green_export_wh) * INTENSITY_MG_PER_WH
        self.avoided_mg_co2e += avoided_mg
        period = period_at(start_s)
        before_level = {
            "self_supply": self_supply_wh * SELF_SUPPLY[period],
            "green_export": green_export_wh * GREEN_EXPORT[period],
            "carbon": avoided_mg * CARBON_PER_MG,
        }
        day = datetime.fromtimestamp(start_s, TORONTO).date()
        awards = {}
        for rule, amount in before_level.items():
            left = CAP_MICRO_SPARKS - self.earned_by_day.get(day, 0)
            awards[rule] = min(left, amount * LEVEL_BP[self.level] // 10_000)
            self.earned_by_day[day] = self.earned_by_day.get(day, 0) + awards[rule]
        return awards

    def _green(self, flows: Flows) -> tuple[int, int]:
        """Watt-hours of self-supply and of green export; the stock moves on."""
        pv_load = min(flows.pv, flows.load)
        pv_charge = min(flows.pv - pv_load, flows.charge)
        pv_export = min(flows.pv - pv_load - pv_charge, flows.export)
        stock_wh = self.green_wh + self.grey_wh
        g_dis = min(self.green_wh, flows.discharge * self.green_wh // stock_wh) if stock_wh else 0
        y_dis = min(self.grey_wh, flows.discharge - g_dis)
        dis_load = min(flows.discharge, flows.load - pv_load)
        g_load = g_dis * dis_load // flows.discharge if flows.discharge else 0
        g_export = min(g_dis - g_load, flows.export - pv_export)
        self.green_wh += pv_charge * 9_000 // 10_000 - g_dis
        self.grey_wh += (flows.charge - pv_charge) * 9_000 // 10_000 - y_dis
        excess_wh = max(0, self.green_wh + self.grey_wh - self.battery_capacity_wh)
        grey_out_wh = min(excess_wh, self.grey_wh)
        self.grey_wh -= grey_out_wh
        self.green_wh -= excess_wh - grey_out_wh
        return pv_load + g_load, pv_export + g_export


def total(*awards: dict[str, int]) -> dict[str, int]:
    """Sums by rule, rules that earned nothing left out."""
    rules = {rule for one in awards for rule in one}
    sums = {rule: sum(one.get(rule, 0) for one in awards) for rule in rules}
    return {rule: amount for rule, amount in sums.items() if amount}

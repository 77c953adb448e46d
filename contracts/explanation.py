"""Why a pack earned what it earned: every line of arithmetic, in the order of programme.md.

The contracts decide (`execute`); the lines here are programme.md's own formulas, worked out from their text. Where a
line leads to a figure that the contracts gave, the two must be equal, or nothing is explained: an explanation can
never say something else than what was executed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from contracts import arithmetic, recording, rewards, state
from contracts.commands import DecideAgain, RecordPack
from contracts.effects import Draft
from contracts.metering import Flows
from contracts.programmes import Programme
from contracts.rewards import RULES, IntervalAward, Judged
from contracts.state import Customer, Meter, Row, Signal, Unit, View, ZoneEvents
from contracts.units import HOUR_S, LocalDay, UnixSeconds
from contracts.wire.packs import Interval, Pack


class Unexplained(Exception):
    """The lines lead to another figure than the contracts gave: a bug, and no explanation."""


class Step(NamedTuple):
    """One line: what it makes, by which formula of programme.md, the same in numbers, and what that comes to."""

    makes: str
    formula: str
    numbers: str
    result: int


class Chapter(NamedTuple):
    """Lines under one heading of programme.md."""

    heading: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class IntervalExplained:
    """One interval: its place in time, and its lines."""

    start_s: UnixSeconds
    local_day: LocalDay
    period: str
    level: str
    counts_for_holder: bool
    chapters: tuple[Chapter, ...]
    micro_sparks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A whole pack.

    parameters  what was used of the programme, by its names there
    """

    intervals: tuple[IntervalExplained, ...]
    parameters: Mapping[str, int]


ACCEPTED_WHEN: Final = "An interval is accepted when"
WHERE_FROM: Final = "Where the watt-hours came from"
WHAT_IT_EARNS: Final = "What it earns"

# programme.md, An interval is accepted when. Each comes to 1: it holds.
_ACCEPTED: Final = (
    ("pv_within_nameplate", "pv * 360000 <= pv_nameplate_w * duration_s * pv_margin_percent + 360000"),
    ("charge_within_power", "charge * 360000 <= battery_power_w * duration_s * storage_margin_percent + 360000"),
    ("discharge_within_power", "discharge * 360000 <= battery_power_w * duration_s * storage_margin_percent + 360000"),
    ("into", "pv + import + discharge"),
    ("out", "load + export + charge"),
    ("gap", "abs(into - out)"),
)
# programme.md, Where the watt-hours came from.
_PANEL: Final = (
    ("pv_load", "min(pv, load)"),
    ("pv_charge", "min(pv - pv_load, charge)"),
    ("pv_export", "min(pv - pv_load - pv_charge, export)"),
    ("grid_charge", "charge - pv_charge"),
)
_STOCK: Final = (("stock", "green_wh + grey_wh"),)
_DISCHARGED: Final = (
    ("g_dis", "min(green_wh, discharge * green_wh // stock)"),
    ("y_dis", "min(grey_wh, discharge - g_dis)"),
    ("dis_load", "min(discharge, load - pv_load)"),
    ("g_load", "g_dis * dis_load // discharge"),
    ("g_export", "min(g_dis - g_load, export - pv_export)"),
)
_NOT_DISCHARGED: Final = (("g_dis", "0"), ("y_dis", "min(grey_wh, discharge - g_dis)"), ("g_load", "0"))
_STOCK_AFTER: Final = (
    ("green_before_limit", "green_wh + pv_charge * charge_efficiency_bp // 10000 - g_dis"),
    ("grey_before_limit", "grey_wh + grid_charge * charge_efficiency_bp // 10000 - y_dis"),
    ("excess", "max(0, green_before_limit + grey_before_limit - battery_capacity_wh)"),
    ("grey_excess", "min(excess, grey_before_limit)"),
    ("green_wh_after", "green_before_limit - (excess - grey_excess)"),
    ("grey_wh_after", "grey_before_limit - grey_excess"),
)
# programme.md, What it earns.
_WORTH: Final = (
    ("self_supply_wh", "pv_load + g_load"),
    ("green_export_wh", "pv_export + g_export"),
    ("avoided_mg_co2e", "(self_supply_wh + green_export_wh) * intensity_mg_per_wh"),
    ("self_supply_before_level", "self_supply_wh * self_supply_rate"),
    ("green_export_before_level", "green_export_wh * green_export_rate"),
    ("carbon_before_level", "avoided_mg_co2e * micro_sparks_per_avoided_mg"),
    ("event_response_before_level", "response_wh * micro_sparks_per_response_wh"),
)
_RESPONSE: Final = (
    ("expected_wh", "baseline_wh_per_hour * duration_s // 3600"),
    ("below_wh", "max(0, expected_wh - (import - export))"),
    ("response_wh_max", "(pv_nameplate_w + battery_power_w) * duration_s // 3600"),
    ("response_wh", "min(below_wh, response_wh_max)"),
)


class _Sheet:
    """Lines under each other, each knowing the figures above it."""

    def __init__(self, figures: Mapping[str, int]) -> None:
        self.figures = dict(figures)
        self._chapters: list[Chapter] = []

    def chapter(self, heading: str, *tables: tuple[tuple[str, str], ...]) -> None:
        steps = []
        for makes, formula in (line for table in tables for line in table):
            numbers = arithmetic.in_numbers(formula, self.figures)
            self.figures[makes] = arithmetic.worked_out(numbers)
            steps.append(Step(makes, formula, numbers, self.figures[makes]))
        self._chapters.append(Chapter(heading, tuple(steps)))

    def chapters(self) -> tuple[Chapter, ...]:
        return tuple(self._chapters)

    def must_agree(self, **given: int) -> None:
        """What the contracts gave is what the lines came to."""
        for name, value in given.items():
            if self.figures[name] != value:
                raise Unexplained(f"{name} comes to {self.figures[name]}, the contract says {value}")


def explain(view: View, command: RecordPack | DecideAgain) -> Explanation:
    """Explain an accepted pack; `view` is the state before it. Anything that was not accepted raises Unexplained."""
    draft = Draft(view)
    unit = draft.get(state.unit_key(command.device_id), Unit)
    meter = draft.get(state.meter_key(command.device_id), Meter) or Meter()
    pack = recording.content_of(command.message)
    if unit is None or not isinstance(pack, Pack):
        raise Unexplained("there is no unit, or no pack")
    is_again = isinstance(command, DecideAgain)
    judged = (rewards.judge_again if is_again else rewards.judge)(draft, unit, meter, pack.intervals)
    if not isinstance(judged, Judged):
        raise Unexplained(f"the pack is refused: {judged}")
    used: dict[str, int] = {}
    explained = []
    spent = _Spent(view, unit, meter)
    for interval, award in zip(pack.intervals, judged.awards, strict=True):
        case = _Case(view, unit, meter, interval, award, is_again=is_again)
        explained.append(_explained(case, used, spent_micro_sparks=spent.on(interval.start_s)))
        spent.add(interval.start_s, sum(award.micro_sparks))
        if not is_again:
            # The next interval is tested against the state that this one leaves.
            meter = case.meter_after()
    return Explanation(tuple(explained), used)


@dataclass(frozen=True, slots=True)
class _Case:
    """One interval before the contract: the state before it, and what the contract made of it."""

    view: View
    unit: Unit
    meter: Meter
    interval: Interval
    award: IntervalAward
    is_again: bool = field(kw_only=True)

    @property
    def programme(self) -> Programme:
        return self.view.programme

    def meter_after(self) -> Meter:
        judged = rewards.judge(Draft(self.view), self.unit, self.meter, (self.interval,))
        if not isinstance(judged, Judged):
            raise Unexplained(f"an interval of an accepted pack is refused: {judged}")
        return judged.meter


class _Spent:
    """What is used of each local day's cap as the pack's intervals go by."""

    def __init__(self, view: View, unit: Unit, meter: Meter) -> None:
        self._draft, self._unit = Draft(view), unit
        self._days = {meter.day: meter.day_micro_sparks}

    def on(self, start_s: UnixSeconds) -> int:
        day = self._draft.programme.local_day(start_s)
        if day not in self._days:
            filed = self._draft.get(state.day_key(self._unit.device_id, day), state.DayOfUnit)
            self._days[day] = filed.micro_sparks if filed else 0
        return self._days[day]

    def add(self, start_s: UnixSeconds, micro_sparks: int) -> None:
        self._days[self._draft.programme.local_day(start_s)] = self.on(start_s) + micro_sparks


def _explained(case: _Case, used: dict[str, int], *, spent_micro_sparks: int) -> IntervalExplained:
    programme, award = case.programme, case.award
    level = _level(case) if award.counts_for_holder else "observer"
    level_bp = programme.levels_bp[level] if award.counts_for_holder else 0
    stock = {"green_wh": case.meter.green_wh, "grey_wh": case.meter.grey_wh}
    sheet = _Sheet(_measured(case.interval) | _nameplate(case.unit) | stock)
    parameters = {name: getattr(programme, name) for name in _PARAMETERS}
    rates = {rule: programme.micro_sparks_per_wh[rule][award.period] for rule in RULES[:2]}
    sheet.figures |= parameters | {f"{rule}_rate": rate for rule, rate in rates.items()}
    sheet.figures |= {
        "intensity_mg_per_wh": _intensity(case),
        "level_bp": level_bp,
        "used_today": spent_micro_sparks,
    }
    used |= parameters | {f"micro_sparks_per_wh.{rule}.{award.period}": rate for rule, rate in rates.items()}
    used[f"levels_bp.{level}"] = level_bp
    _write_acceptance(sheet)
    _write_flows(sheet, award.flows, is_again=case.is_again)
    _write_earnings(sheet, case)
    return IntervalExplained(
        case.interval.start_s,
        programme.local_day(case.interval.start_s),
        award.period,
        level,
        award.counts_for_holder,
        sheet.chapters(),
        award.micro_sparks,
    )


def _write_acceptance(sheet: _Sheet) -> None:
    balanced = (("balanced", "gap <= imbalance_wh_max"),)
    if _gap_of(sheet.figures) > sheet.figures["imbalance_wh_max"]:
        balanced = (("balanced", "imbalance_divisor * gap <= max(into, out)"),)
    sheet.chapter(ACCEPTED_WHEN, _ACCEPTED, balanced)
    sheet.must_agree(pv_within_nameplate=1, charge_within_power=1, discharge_within_power=1, balanced=1)


def _gap_of(figures: Mapping[str, int]) -> int:
    into = figures["pv"] + figures["import"] + figures["discharge"]
    return abs(into - figures["load"] - figures["export"] - figures["charge"])


def _write_flows(sheet: _Sheet, flows: Flows, *, is_again: bool) -> None:
    if is_again:  # the second decision: for the panel only, the stock stays as it is
        stays = (("green_wh_after", "green_wh"), ("grey_wh_after", "grey_wh"))
        sheet.chapter(WHERE_FROM, _PANEL, (("g_load", "0"), ("g_export", "0")), stays)
    else:
        figures = sheet.figures
        is_discharged = bool(figures["discharge"] and figures["green_wh"] + figures["grey_wh"])
        none_out = (*_NOT_DISCHARGED, ("g_export", "min(g_dis - g_load, export - pv_export)"))
        sheet.chapter(WHERE_FROM, _PANEL, _STOCK, _DISCHARGED if is_discharged else none_out, _STOCK_AFTER)
    sheet.must_agree(
        pv_load=flows.pv_load_wh,
        pv_export=flows.pv_export_wh,
        grid_charge=flows.grid_charge_wh,
        g_load=flows.green_load_wh,
        g_export=flows.green_export_wh,
        green_wh_after=flows.green_wh,
        grey_wh_after=flows.grey_wh,
    )


def _write_earnings(sheet: _Sheet, case: _Case) -> None:
    award = case.award
    response: tuple[tuple[str, str], ...] = (("response_wh", "0"),)
    if award.response_wh:
        sheet.figures["baseline_wh_per_hour"] = _baseline(case)
        response = _RESPONSE
    cap = [("left_0", "day_micro_sparks_max - used_today")]
    for place, rule in enumerate(RULES):
        cap.append((rule, f"min({rule}_before_level * level_bp // 10000, left_{place})"))
        cap.append((f"left_{place + 1}", f"left_{place} - {rule}"))
    sheet.chapter(WHAT_IT_EARNS, response, _WORTH, tuple(cap))
    sheet.must_agree(
        self_supply_wh=award.flows.self_supply_wh,
        avoided_mg_co2e=award.avoided_mg_co2e,
        response_wh=award.response_wh,
        **dict(zip(RULES, award.micro_sparks, strict=True)),
    )


def _measured(interval: Interval) -> dict[str, int]:
    return {
        "duration_s": interval.duration_s,
        "pv": interval.pv_wh,
        "load": interval.load_wh,
        "charge": interval.charge_wh,
        "discharge": interval.discharge_wh,
        "import": interval.import_wh,
        "export": interval.export_wh,
    }


def _nameplate(unit: Unit) -> dict[str, int]:
    return {
        "pv_nameplate_w": unit.pv_nameplate_w,
        "battery_capacity_wh": unit.battery_capacity_wh,
        "battery_power_w": unit.battery_power_w,
    }


def _level(case: _Case) -> str:
    holder = case.view.get(state.customer_key(case.unit.holder or ""))
    if not isinstance(holder, Customer):
        raise Unexplained("the holder is not known")
    return holder.level if case.interval.start_s >= holder.level_from_s else holder.level_before


def _intensity(case: _Case) -> int:
    start_s = case.interval.start_s
    signal = case.view.get(state.signal_key(start_s - start_s % HOUR_S))
    return signal.intensity_mg_per_wh if isinstance(signal, Signal) else case.programme.default_intensity_mg_per_wh


def _baseline(case: _Case) -> int:
    """The baseline that the contract fixed for the earliest declared event around the interval."""
    found = case.view.get(state.zone_key(case.unit.zone))
    events = found.events if isinstance(found, ZoneEvents) else ()
    start_s, end_s = case.interval.start_s, case.interval.start_s + case.interval.duration_s
    event_id = next(known for known, from_s, to_s in events if from_s <= start_s and end_s <= to_s)
    baseline = dict(case.meter_after().baselines)[event_id]
    if baseline is None:
        raise Unexplained("a response without a baseline")
    return baseline


_PARAMETERS: Final = (
    "pv_margin_percent",
    "storage_margin_percent",
    "imbalance_wh_max",
    "imbalance_divisor",
    "charge_efficiency_bp",
    "micro_sparks_per_avoided_mg",
    "micro_sparks_per_response_wh",
    "default_intensity_mg_per_wh",
    "day_micro_sparks_max",
)
"""What every interval uses of the programme; the rates of its period and the level it earns at come on top."""

STATE_READ: Final = ("unit", "meter", "day", "pack", "customer", "events", "signal")
"""The kinds of rows that decide what a pack earns. Whether it is then minted or deferred, its effects say."""


def is_read(key: str, row: Row | None) -> bool:
    """Does this row decide what a pack earns?"""
    return row is not None and key.partition("/")[0] in STATE_READ

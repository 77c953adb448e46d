"""Runs vectors made by other implementations against these contracts, step by step.

The formats are those of `tests/vectors/rewards.json` (cases of packs) and `redemption.json` (purchases, settlements).
A case runs `rewards.judge`, not the whole RecordPack: its packs may have gaps inside, which no pack on the wire can.

A vector may be wrong in any way. What cannot be executed as it stands is a differing step that says why; a pack or a
business day like that leaves the state as it was, and a purchase without its hold or capture ends there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar

from contracts import accounts, rewards, state
from contracts.checkout import AdmitRetailer, Authorize, Capture, IssueCheckoutCode, Refund, SettleRetailer
from contracts.commands import Command
from contracts.effects import Asset, Draft, Effects
from contracts.execute import execute
from contracts.memory import Memory
from contracts.metering import Refusal
from contracts.programmes import Programme, SpendingLimit
from contracts.redemption import bonus_cents
from contracts.rewards import RULES, Judged
from contracts.state import Account, BusinessDay, Customer, Meter, Signal, Unit, ZoneEvents
from contracts.units import BP_ONE, DAY_S, MICRO_SPARKS_PER_CENT
from contracts.wire.packs import Interval

_HOLDER: Final = "holder"
_ZONE: Final = "zone"
_SHOP: Final = "SHOP"
_TILL: Final = "TILL"
_NOON_S: Final = 1_767_200_400
_PLENTY: Final = 10**18
_BITS_MAX: Final = 63
_HOUR: Final = re.compile(r"\d{1,12}", re.ASCII)

_Compared = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What a step is expected to give, and what was found."""
_Kind = TypeVar("_Kind", str, int, list, dict)  # type: ignore[type-arg]


class NoVectors(ValueError):
    """The document is not in a format of vectors, or has not a single step."""


class _NotExecuted(Exception):
    """A step cannot be executed; the message names the field that is wrong, or the contract's refusal."""


@dataclass(slots=True)
class Tally:
    """How many steps ran, and what differed: a line for each field."""

    steps: int = 0
    agreed: int = 0
    differences: list[str] = field(default_factory=list)

    def run(self, where: str, step: Callable[[], _Compared]) -> bool:
        """Count one step, and return whether it could be executed."""
        try:
            expected, found = step()
        except _NotExecuted as error:
            self.differ(where, str(error))
            return False
        self.compare(where, expected, found)
        return True

    def compare(self, where: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Count one step; every field that is expected or found must be the same in both, its type included."""
        self.steps += 1
        differing = [
            f"{where}: {name}: expected {_shown(expected, name)}, found {_shown(found, name)}"
            for name in sorted({*expected, *found})
            if name not in expected or name not in found or not _is_same(expected[name], found[name])
        ]
        self.differences += differing
        self.agreed += not differing

    def differ(self, where: str, why: str) -> None:
        """Count one step that could not be executed."""
        self.steps += 1
        self.differences.append(f"{where}: {why}")


def check(document: Any, programme: Programme) -> Tally:
    """Run every step of a vectors document; raises NoVectors if it is none."""
    parts: dict[str, Callable[[dict[str, Any], str, Programme, Tally], None]] = {
        "cases": _check_case,
        "purchases": _check_purchase,
        "settlements": _check_settlement,
    }
    tally = Tally()
    for part, vectors in _vectors(document, tuple(parts)).items():
        for number, vector in enumerate(vectors, start=1):
            name = f"{part} {number}"
            if not isinstance(vector, dict):
                tally.differ(name, "is no object")
                continue
            name = str(vector.get("name", name))
            try:
                parts[part](vector, name, programme, tally)
            except _NotExecuted as error:
                tally.differ(name, str(error))
    return tally


def _vectors(document: Any, parts: tuple[str, ...]) -> dict[str, list[Any]]:
    """The vectors of each part; raises NoVectors unless there is a step among them."""
    if not isinstance(document, dict) or not document.keys() & {*parts}:
        raise NoVectors(f"a vectors document has one of {', '.join(parts)}")
    vectors = {part: document.get(part, []) for part in parts}
    if not all(isinstance(listed, list) for listed in vectors.values()):
        raise NoVectors(f"{', '.join(parts)} are lists in a vectors document")
    if not any(_has_step(part, vector) for part, listed in vectors.items() for vector in listed):
        raise NoVectors("a vectors document has at least one step")
    return vectors


def _has_step(part: str, vector: Any) -> bool:
    if not isinstance(vector, dict):
        return False
    if part == "purchases":
        return bool(vector)
    return bool(vector.get("steps" if part == "cases" else "days", []) != [])


def _is_same(expected: Any, found: Any) -> bool:
    """Equal and of the same types, all the way down: 1, 1.0 and True are three values."""
    if type(expected) is not type(found):
        return False
    if isinstance(expected, dict):
        return expected.keys() == found.keys() and all(_is_same(expected[key], found[key]) for key in expected)
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(_is_same, expected, found))
    return bool(expected == found)


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else "nothing"


def _member(source: Any, name: str, kind: type[_Kind], *, of: str = "") -> _Kind:
    """A member of a vector's object, which must have exactly this type; `of` says whose in the message."""
    if not isinstance(source, dict):
        raise _NotExecuted(f"{of}{source!r} is no object")
    if name not in source:
        raise _NotExecuted(f"{of}{name}: missing")
    value = source[name]
    if isinstance(value, int) and value.bit_length() > _BITS_MAX:
        raise _NotExecuted(f"{of}{name}: {value} is out of range")
    if type(value) is not kind:
        raise _NotExecuted(f"{of}{name}: {value!r} is no {kind.__name__}")
    return value


def _natural(source: Any, name: str, *, of: str = "", at_most: int | None = None) -> int:
    """A member that no vector can have below zero."""
    value = _member(source, name, int, of=of)
    if value < 0 or (at_most is not None and value > at_most):
        raise _NotExecuted(f"{of}{name}: {value} is out of range")
    return value


# Cases: packs and what they earn


@dataclass(slots=True)
class _Metered:
    """The unit of a case, as the packs before left it."""

    view: Memory
    unit: Unit
    meter: Meter = field(default_factory=Meter)

    def take(self, step: Any) -> _Compared:
        """Judge one pack; a refused one changes nothing."""
        listed = _member(step, "intervals", list)
        intervals = [_interval(given, of=f"interval {place} ") for place, given in enumerate(listed, start=1)]
        draft = Draft(self.view)
        judged = rewards.judge(draft, self.unit, self.meter, intervals)
        if isinstance(judged, Refusal):
            return _expected(step), {"refused": str(judged)}
        accounts.mint(draft, _HOLDER, judged.micro_sparks())
        self.view.apply(draft)
        self.meter = judged.meter
        return _expected(step), _found(judged)


def _check_case(case: dict[str, Any], name: str, programme: Programme, tally: Tally) -> None:
    metered = _Metered(_case_view(case, programme), _unit(case))
    for number, step in enumerate(_member(case, "steps", list), start=1):
        tally.run(f"{name} step {number}", partial(metered.take, step))


def _expected(step: Mapping[str, Any]) -> dict[str, Any]:
    """The step's expectations, its results spelled out by interval."""
    if "refused" in step:
        # What a refused pack earned is told by nothing but the reason.
        return {"refused": step["refused"]}
    flat = {name: value for name, value in step.items() if name not in ("intervals", "results")}
    results = step.get("results", [])
    if not isinstance(results, list):
        return flat | {"results": results}
    for place, result in enumerate(results, start=1):
        named = result if isinstance(result, dict) else {"result": result}
        flat |= {f"interval {place} {name}": value for name, value in named.items()}
    return flat


def _found(judged: Judged) -> dict[str, Any]:
    flat: dict[str, Any] = {"minted_micro_sparks": judged.micro_sparks()}
    for place, award in enumerate(judged.awards, start=1):
        found = {
            "period": award.period,
            "self_supply_wh": award.flows.self_supply_wh,
            "green_export_pv_wh": award.flows.pv_export_wh,
            "green_export_storage_wh": award.flows.green_export_wh,
            "event_response_wh": award.response_wh,
            "avoided_mg_co2e": award.avoided_mg_co2e,
            "award_micro_sparks": dict(zip(RULES, award.micro_sparks, strict=True)),
            "minted_micro_sparks": sum(award.micro_sparks),
            "green_wh": award.flows.green_wh,
            "grey_wh": award.flows.grey_wh,
        }
        flat |= {f"interval {place} {name}": value for name, value in found.items()}
    return flat


def _case_view(case: dict[str, Any], programme: Programme) -> Memory:
    given = replace(programme, default_intensity_mg_per_wh=_natural(case, "default_intensity_mg_per_wh"))
    view = Memory(given)
    level_from_s = _member(case, "level_from_s", int)
    level, level_before = (_level(case, name, programme) for name in ("level", "level_before"))
    view.rows = {
        state.customer_key(_HOLDER): Customer(_HOLDER, level, level_before, level_from_s),
        state.zone_key(_ZONE): ZoneEvents(tuple(_event(event) for event in _member(case, "events", list))),
        state.account_key(Asset.CAD, accounts.RESERVE): Account(_PLENTY),
    }
    intensities = _member(case, "intensity_mg_per_wh_by_hour", dict)
    for hour in intensities:
        if not _HOUR.fullmatch(hour):
            raise _NotExecuted(f"intensity_mg_per_wh_by_hour: {hour!r} is no hour")
        intensity = _natural(intensities, hour, of="intensity_mg_per_wh_by_hour ")
        view.rows[state.signal_key(int(hour))] = Signal(intensity)
    return view


def _level(case: dict[str, Any], name: str, programme: Programme) -> str:
    level = _member(case, name, str)
    if level not in programme.levels_bp:
        raise _NotExecuted(f"{name}: {level!r} is no level of {programme.name}")
    return level


def _event(event: Any) -> tuple[str, int, int]:
    return (
        _member(event, "id", str, of="event "),
        _member(event, "start_s", int, of="event "),
        _member(event, "end_s", int, of="event "),
    )


def _unit(case: dict[str, Any]) -> Unit:
    device = _member(case, "device", dict)
    return Unit(
        device_id="unit",
        pv_nameplate_w=_natural(device, "pv_nameplate_w", of="device "),
        battery_capacity_wh=_natural(device, "battery_capacity_wh", of="device "),
        battery_power_w=_natural(device, "battery_power_w", of="device "),
        zone=_ZONE,
        keys=(),
        suspended=False,
        claim_hash=b"",
        holder=_HOLDER,
        held_from_s=0,
        had_holder=False,
    )


def _interval(given: Any, *, of: str) -> Interval:
    return Interval(
        start_s=_member(given, "start_s", int, of=of),
        duration_s=_member(given, "duration_s", int, of=of),
        pv_wh=_member(given, "pv", int, of=of),
        load_wh=_member(given, "load", int, of=of),
        charge_wh=_member(given, "charge", int, of=of),
        discharge_wh=_member(given, "discharge", int, of=of),
        import_wh=_member(given, "import", int, of=of),
        export_wh=_member(given, "export", int, of=of),
    )


# Purchases and settlements


def _check_purchase(vector: dict[str, Any], name: str, programme: Programme, tally: Tally) -> None:
    view = _checkout_view(_member(vector, "bonus_bp", int), programme)
    is_captured = tally.run(f"{name} hold", partial(_hold, view, vector)) and tally.run(
        f"{name} capture", partial(_capture, view, vector)
    )
    if is_captured:
        for number, refund in enumerate(_member(vector, "refunds", list), start=1):
            tally.run(f"{name} refund {number}", partial(_refund, view, refund))


def _hold(view: Memory, vector: dict[str, Any]) -> _Compared:
    amount_cents = _member(vector, "amount_cents", int)
    code = bytes(32)
    _do(view, IssueCheckoutCode(_HOLDER, code, amount_cents))
    _do(view, Authorize("purchase", _SHOP, _TILL, amount_cents, code, capture=False, reference=""))
    found = {
        "hold_micro_sparks": _balance(view, accounts.held(_HOLDER)),
        "bonus_cents": bonus_cents(amount_cents, vector["bonus_bp"]),
    }
    return _only(vector, found), found


def _capture(view: Memory, vector: dict[str, Any]) -> _Compared:
    free = _balance(view, accounts.customer(_HOLDER))
    _do(view, Capture(_SHOP, "purchase", _member(vector, "captured_cents", int)))
    found = {
        "taken_micro_sparks": _balance(view, accounts.retailer(_SHOP)),
        "released_micro_sparks": _balance(view, accounts.customer(_HOLDER)) - free,
    }
    return _only(vector, found), found


def _refund(view: Memory, expected: Any) -> _Compared:
    cents = _member(expected, "cents", int)
    before = _balance(view, accounts.customer(_HOLDER))
    _do(view, Refund(_SHOP, "purchase", cents))
    returned = _balance(view, accounts.customer(_HOLDER)) - before
    return expected, {"cents": cents, "returns_micro_sparks": returned}


def _only(vector: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The expectations of one step of a vector that holds those of several."""
    return {name: vector[name] for name in found if name in vector}


def _check_settlement(vector: dict[str, Any], name: str, programme: Programme, tally: Tally) -> None:
    fee_bp = _natural(vector, "fee_bp", at_most=BP_ONE)
    view = _checkout_view(0, replace(programme, settlement_fee_bp=fee_bp))
    for number, expected in enumerate(_member(vector, "days", list), start=1):
        tally.run(f"{name} day {number}", partial(_settle, view, expected))


def _settle(view: Memory, expected: Any) -> _Compared:
    captured, refunded = _natural(expected, "captured"), _natural(expected, "refunded")
    account = state.account_key(Asset.SPARK, accounts.retailer(_SHOP))
    before = _balance(view, accounts.retailer(_SHOP))
    today = view.programme.local_day(view.at_s)
    view.rows[account] = Account(before + captured - refunded)
    view.rows[state.business_key(_SHOP, today)] = BusinessDay(captured, refunded)
    view.at_s += DAY_S
    return expected, _do(view, SettleRetailer(_SHOP, today)).result


def _checkout_view(bonus_bp: int, programme: Programme) -> Memory:
    limit = SpendingLimit(day_cents=_PLENTY, thirty_days_cents=_PLENTY)
    view = Memory(replace(programme, spending={"enhanced": limit}), at_s=_NOON_S)
    customer = Customer(_HOLDER, "saver", "saver", 0, identity="enhanced", identity_expires_s=_PLENTY)
    view.rows = {
        state.customer_key(_HOLDER): customer,
        state.account_key(Asset.SPARK, accounts.customer(_HOLDER)): Account(_PLENTY * MICRO_SPARKS_PER_CENT),
        state.account_key(Asset.CAD, accounts.RESERVE): Account(_PLENTY),
    }
    _do(view, AdmitRetailer(_SHOP, "shop", (_TILL,), bonus_bp))
    return view


def _do(view: Memory, command: Command) -> Effects:
    """Execute a command and take its effects over. Raises _NotExecuted if the contract rejects it."""
    done = execute(view, command)
    if not isinstance(done, Effects):
        raise _NotExecuted(f"rejected: {done.reason}")
    view.apply(done)
    return done


def _balance(view: Memory, account: str) -> int:
    row = view.rows.get(state.account_key(Asset.SPARK, account))
    return row.balance if isinstance(row, Account) else 0

"""Runs vectors made by other implementations against these contracts, step by step.

The formats are those of `tests/vectors/rewards.json` (cases of packs) and `redemption.json` (purchases, settlements).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from contracts import accounts, rewards, state
from contracts.commands import AdmitRetailer, Authorize, Capture, Command, IssueCheckoutCode, Refund, SettleRetailer
from contracts.effects import Asset, Draft, Effects
from contracts.execute import execute
from contracts.memory import Memory
from contracts.metering import Refusal
from contracts.programmes import Programme, SpendingLimit
from contracts.redemption import bonus_cents
from contracts.rewards import RULES, Judged
from contracts.state import Account, BusinessDay, Customer, Meter, Signal, Unit, ZoneEvents
from contracts.units import DAY_S, MICRO_SPARKS_PER_CENT
from contracts.wire.packs import Interval

_HOLDER: Final = "holder"
_ZONE: Final = "zone"
_SHOP: Final = "SHOP"
_TILL: Final = "TILL"
_NOON_S: Final = 1_767_200_400
_PLENTY: Final = 10**18


class NoVectors(ValueError):
    """The document is not in a format of vectors."""


@dataclass(slots=True)
class Tally:
    """How many steps ran, and what differed: a line for each field."""

    steps: int = 0
    agreed: int = 0
    differences: list[str] = field(default_factory=list)

    def compare(self, where: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Count one step; every field that is expected or found must be the same in both."""
        self.steps += 1
        differing = [
            f"{where}: {name}: expected {expected.get(name)!r}, found {found.get(name)!r}"
            for name in sorted({*expected, *found})
            if expected.get(name) != found.get(name) or (name in expected) != (name in found)
        ]
        self.differences += differing
        self.agreed += not differing


def check(document: Any, programme: Programme) -> Tally:
    """Run every step of a vectors document; raises NoVectors if it is none."""
    tally = Tally()
    parts: dict[str, Callable[[Any, str, Programme, Tally], None]] = {
        "cases": _check_case,
        "purchases": _check_purchase,
        "settlements": _check_settlement,
    }
    if not isinstance(document, dict) or not parts.keys() & document.keys():
        raise NoVectors(f"a vectors document has one of {', '.join(parts)}")
    for part, check_one in parts.items():
        for number, vector in enumerate(document.get(part, ()), start=1):
            name = f"{part} {number}"
            try:
                check_one(vector, str(vector.get("name", name)), programme, tally)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise NoVectors(f"{name}: {type(error).__name__}: {error}") from error
    return tally


def _check_case(case: Mapping[str, Any], name: str, programme: Programme, tally: Tally) -> None:
    view = _case_view(case, programme)
    unit = _unit(case["device"])
    meter = Meter()
    for number, step in enumerate(case["steps"], start=1):
        where = f"{name} step {number}"
        draft = Draft(view)
        judged = rewards.judge(draft, unit, meter, [_interval(given) for given in step["intervals"]])
        if isinstance(judged, Refusal):
            tally.compare(where, _expected(step), {"refused": str(judged)})
            continue
        accounts.mint(draft, _HOLDER, judged.micro_sparks())
        view.apply(draft)
        meter = judged.meter
        tally.compare(where, _expected(step), _found(judged))


def _expected(step: Mapping[str, Any]) -> dict[str, Any]:
    """The step's expectations, its results spelled out by interval."""
    flat = {name: value for name, value in step.items() if name not in ("intervals", "results")}
    for place, result in enumerate(step.get("results", ()), start=1):
        flat |= {f"interval {place} {name}": value for name, value in result.items()}
    if "refused" in flat:
        # What a refused pack earned is told by nothing but the reason.
        return {"refused": flat["refused"]}
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


def _case_view(case: Mapping[str, Any], programme: Programme) -> Memory:
    given = replace(programme, default_intensity_mg_per_wh=case["default_intensity_mg_per_wh"])
    events = tuple((event["id"], event["start_s"], event["end_s"]) for event in case["events"])
    view = Memory(given)
    view.rows = {
        state.customer_key(_HOLDER): Customer(_HOLDER, case["level"], case["level_before"], case["level_from_s"]),
        state.zone_key(_ZONE): ZoneEvents(events),
        state.account_key(Asset.CAD, accounts.RESERVE): Account(_PLENTY),
    }
    for hour, intensity in case["intensity_mg_per_wh_by_hour"].items():
        view.rows[state.signal_key(int(hour))] = Signal(intensity)
    return view


def _unit(device: Mapping[str, Any]) -> Unit:
    return Unit(
        device_id="unit",
        pv_nameplate_w=device["pv_nameplate_w"],
        battery_capacity_wh=device["battery_capacity_wh"],
        battery_power_w=device["battery_power_w"],
        zone=_ZONE,
        keys=(),
        suspended=False,
        claim_hash=b"",
        holder=_HOLDER,
        held_from_s=0,
        had_holder=False,
    )


def _interval(given: Mapping[str, Any]) -> Interval:
    return Interval(
        start_s=given["start_s"],
        duration_s=given["duration_s"],
        pv_wh=given["pv"],
        load_wh=given["load"],
        charge_wh=given["charge"],
        discharge_wh=given["discharge"],
        import_wh=given["import"],
        export_wh=given["export"],
    )


def _check_purchase(vector: Mapping[str, Any], name: str, programme: Programme, tally: Tally) -> None:
    view = _checkout_view(vector["bonus_bp"], programme)
    amount_cents, bonus_bp = vector["amount_cents"], vector["bonus_bp"]
    code = bytes(32)
    _do(view, IssueCheckoutCode(_HOLDER, code, amount_cents))
    _do(view, Authorize("purchase", _SHOP, _TILL, amount_cents, code, capture=False, reference=""))
    tally.compare(
        f"{name} hold",
        {key: vector[key] for key in ("hold_micro_sparks", "bonus_cents")},
        {
            "hold_micro_sparks": _balance(view, accounts.held(_HOLDER)),
            "bonus_cents": bonus_cents(amount_cents, bonus_bp),
        },
    )
    free = _balance(view, accounts.customer(_HOLDER))
    _do(view, Capture(_SHOP, "purchase", vector["captured_cents"]))
    tally.compare(
        f"{name} capture",
        {key: vector[key] for key in ("taken_micro_sparks", "released_micro_sparks")},
        {
            "taken_micro_sparks": _balance(view, accounts.retailer(_SHOP)),
            "released_micro_sparks": _balance(view, accounts.customer(_HOLDER)) - free,
        },
    )
    for number, expected in enumerate(vector["refunds"], start=1):
        before = _balance(view, accounts.customer(_HOLDER))
        _do(view, Refund(_SHOP, "purchase", expected["cents"]))
        returned = _balance(view, accounts.customer(_HOLDER)) - before
        found = {"cents": expected["cents"], "returns_micro_sparks": returned}
        tally.compare(f"{name} refund {number}", expected, found)


def _check_settlement(vector: Mapping[str, Any], name: str, programme: Programme, tally: Tally) -> None:
    view = _checkout_view(0, replace(programme, settlement_fee_bp=vector["fee_bp"]))
    account = state.account_key(Asset.SPARK, accounts.retailer(_SHOP))
    for number, expected in enumerate(vector["days"], start=1):
        today = view.programme.local_day(view.at_s)
        row = view.rows.get(account)
        before = row.balance if isinstance(row, Account) else 0
        view.rows[account] = Account(before + expected["captured"] - expected["refunded"])
        view.rows[state.business_key(_SHOP, today)] = BusinessDay(expected["captured"], expected["refunded"])
        view.at_s += DAY_S
        tally.compare(f"{name} day {number}", expected, _do(view, SettleRetailer(_SHOP, today)).result)


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
    """Execute a command that succeeds, and take its effects over."""
    done = execute(view, command)
    if not isinstance(done, Effects):
        raise ValueError(f"{command.KIND} was rejected: {done.reason}")
    view.apply(done)
    return done


def _balance(view: Memory, account: str) -> int:
    row = view.rows.get(state.account_key(Asset.SPARK, account))
    return row.balance if isinstance(row, Account) else 0

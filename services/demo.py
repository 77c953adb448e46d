"""`sparks demo`: one simulated summer day of homes near Toronto, through the real platform, and a purchase at the end.

Everything goes the way that outsiders go: units over MQTT, people and member organisations over HTTP. Now and then a
unit misbehaves, so that the summary shows what becomes of that.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from contracts.units import DAY_S, HOUR_S
from contracts.wire.packs import FLOWS, Interval
from contracts.wire.receipts import EventCall
from device_sim import household
from device_sim.fleet import Fleet, Provision
from device_sim.household import Home
from device_sim.measured.rows import local_midnight_s, local_month
from device_sim.mischief import Mischief
from device_sim.people import Customer, Shop
from device_sim.publisher import Login, broker_at
from services.consortium import Consortium
from services.harvest import harvests
from services.rehearsal import Rehearsal

DAY: Final = date(2026, 7, 7)
INTERVAL_S: Final = 300
SEED: Final = 1905
RESERVE_CENTS: Final = 2_500_000
PASSWORD: Final = "sunny side of the street"
EVENT: Final = ("peak-tuesday", 17, 19)
SALE_CENTS, CAPTURE_CENTS, REFUND_CENTS = 450, 380, 80
HELD_MAX_PER_UNIT: Final = 40
PATIENCE_S: Final = 60
LOOK_S: Final = 5
AT_ONCE: Final = 4

# (home, hour of the first day, what it does)
MISCHIEFS: Final = (
    (2, 9, Mischief.DUPLICATE),
    (4, 10, Mischief.FORGED_SIGNATURE),
    (6, 11, Mischief.IMPOSSIBLE_ENERGY),
    (8, 12, Mischief.TAMPERED_PAYLOAD),
    (10, 13, Mischief.EQUIVOCATION),
    (12, 14, Mischief.DROP),
    (14, 15, Mischief.WRONG_KEY),
    (16, 16, Mischief.CLOCK_DAYS_AHEAD),
    (18, 17, Mischief.MALFORMED),
    (20, 18, Mischief.REORDER),
    (22, 19, Mischief.REPLAY),
    (24, 23, Mischief.CLOCK_HOURS_AHEAD),
)


class DemoStuck(Exception):
    """The platform did not decide the packs it was sent."""


Progress = Callable[[str, int, int], None]
"""What is going on, how much of it is done, how much there is."""


@dataclass(slots=True)
class Story:
    """What the demo remembers to tell at the end."""

    homes: list[Home]
    days: int
    provisions: dict[str, Provision]
    logins: dict[str, Login]
    customers: list[Customer]
    shop: Shop
    packs_sent: int = 0
    statements: list[dict[str, Any]] = field(default_factory=list)
    purchase: dict[str, Any] = field(default_factory=dict)


def first_moment_s() -> int:
    """Midnight before the first simulated day."""
    return local_midnight_s(DAY)


def demo(
    platform: Rehearsal,
    consortium: Consortium,
    *,
    homes: int,
    days: int,
    folder: Path,
    pace: float | None,
    on_progress: Progress,
) -> dict[str, Any]:
    """Found the membership, live through the days and buy something; the summary as a JSON object.

    pace  simulated seconds per real second, None: as fast as the machine can
    """
    consortium.found()
    with ExitStack() as stack:
        story = _enrol(platform, household.neighbourhood(homes, seed=SEED), days, stack, on_progress)
        fleet = Fleet(
            folder,
            story.provisions.values(),
            broker=broker_at(platform.broker_url),
            logins=story.logins,
            platform=platform.unit_keys(),
            now_s=platform.simulated_clock.now_s,
            clock_s=time.monotonic,
            chance=Random(SEED),
        )
        with fleet:
            _call_to_events(platform, fleet, story)
            _live(platform, fleet, story, pace, on_progress)
        story.purchase = _buy(platform, story)
        on_progress("verifying the ledger", 0, 1)
        summary = _summary(platform, story)
        on_progress("verifying the ledger", 1, 1)
        size = summary["ledger"]["size"]
        consortium.wait_until_cosigned(size, at_most_s=PATIENCE_S, on_progress=on_progress)
        return summary | {"members": consortium.summary(size)}


def _enrol(platform: Rehearsal, homes: list[Home], days: int, stack: ExitStack, on_progress: Progress) -> Story:
    operator = stack.enter_context(closing(platform.operator()))
    operator.deposit(RESERVE_CENTS * days, "demo")
    shop_client = operator.admit_shop("Maple Street Grocery", ["TILL01"], bonus_bp=500)
    shop = Shop(
        platform.base_url,
        client_id=shop_client["client_id"],
        client_secret=shop_client["client_secret"],
        terminal_id="TILL01",
    )
    stack.enter_context(closing(shop))
    provisions = {home.name: _provision(home, number) for number, home in enumerate(homes, start=1)}
    items = operator.provision([provision.enrolment() for provision in provisions.values()])
    customers = []
    # A password takes a while to hash, on purpose; several people may enrol at once.
    with ThreadPoolExecutor(AT_ONCE) as people:
        for done, customer in enumerate(people.map(lambda item: _join(platform, item), items), start=1):
            customers.append(stack.enter_context(closing(customer)))
            on_progress("enrolling homes", done, len(items))
    logins = {
        item["device_id"]: Login(username=item["mqtt_username"], password=item["mqtt_password"]) for item in items
    }
    return Story(homes, days, provisions, logins, customers, shop)


def _provision(home: Home, number: int) -> Provision:
    return Provision(
        device_id=home.name,
        seed=SEED.to_bytes(16, "big") + number.to_bytes(16, "big"),
        pv_nameplate_w=home.pv_nameplate_w,
        battery_capacity_wh=home.battery_capacity_wh,
        battery_power_w=home.battery_power_w,
        zone=home.zone,
        reserve_floor_pct=home.battery.reserve_pct,
    )


def _join(platform: Rehearsal, item: dict[str, Any]) -> Customer:
    device_id = item["device_id"]
    customer = Customer(platform.base_url, email=f"{device_id}@example.com", password=PASSWORD)
    customer_id = customer.enroll(name=f"Resident of {device_id}", postal_code="M5V 2T6", level="saver")
    customer.claim(item["claim_code"])
    with closing(platform.operator()) as operator:
        operator.verify_identity(customer_id, level="verified", expires_at="2040-01-01T00:00:00Z")
    return customer


def _call_to_events(platform: Rehearsal, fleet: Fleet, story: Story) -> None:
    """Declare each day's event once every unit listens: a broker keeps nothing for one that never did."""
    if not fleet.wait_until_connected(PATIENCE_S):
        raise DemoStuck(f"units are not connected: {fleet.troubles()}")
    name, from_hour, to_hour = EVENT
    with closing(platform.operator()) as operator:
        for day in range(story.days):
            midnight_s = first_moment_s() + day * DAY_S
            operator.declare_event(
                f"{name}-{day + 1}",
                zone="toronto",
                start_at=_rfc3339(midnight_s + from_hour * HOUR_S),
                end_at=_rfc3339(midnight_s + to_hour * HOUR_S),
            )
    # A day may be over in seconds: whoever is to respond to its event must have heard of it before.
    if not fleet.wait_until_called(story.days, PATIENCE_S, now_s=first_moment_s()):
        raise DemoStuck("units were not told of the demand event")


def _live(platform: Rehearsal, fleet: Fleet, story: Story, pace: float | None, on_progress: Progress) -> None:
    start_s = first_moment_s()
    steps = story.days * DAY_S // INTERVAL_S

    def calls(home: str, now_s: int) -> list[EventCall]:
        return fleet.unit(home).events(now_s)

    lives = household.live(story.homes, start_s=start_s, interval_s=INTERVAL_S, count=steps, seed=SEED, calls=calls)
    began_s = time.monotonic()
    for step in range(1, steps + 1):
        platform.simulated_clock.advance_to(start_s + step * INTERVAL_S)
        with fleet.batch():
            _measure(fleet, story, lives, step)
        _wait_until_empty(platform, fleet, held_max=HELD_MAX_PER_UNIT * len(story.homes))
        if pace:
            time.sleep(max(0.0, step * INTERVAL_S / pace - (time.monotonic() - began_s)))
        on_progress("living the day", step, steps)
        if step * INTERVAL_S % DAY_S == 0:
            story.statements.append(_publish(platform, step * INTERVAL_S // DAY_S))
    # A pack that is ahead of the clock stays with its unit until it is due.
    waiting = sum(mischief is Mischief.CLOCK_HOURS_AHEAD for _, mischief in _planned(story).values())
    on_progress("waiting for receipts", 0, 1)
    _wait_until_empty(platform, fleet, held_max=waiting)
    on_progress("waiting for receipts", 1, 1)


def _publish(platform: Rehearsal, days: int) -> dict[str, Any]:
    """The statement of the day that is just over."""
    with closing(platform.operator()) as operator:
        return operator.publish_statement((DAY + timedelta(days=days - 1)).isoformat())


def _wait_until_empty(platform: Rehearsal, fleet: Fleet, *, held_max: int) -> None:
    """Return once units hold no more than that; whoever cannot write to its disk is not waited for long."""
    for _ in range(PATIENCE_S // LOOK_S):
        if fleet.wait_until_empty(LOOK_S, held_max=held_max):
            return
        if fleet.outbox_trouble or not platform.is_ready():
            break
    raise DemoStuck(f"packs wait for a receipt: {fleet.outbox_trouble or fleet.progress()}")


def _measure(fleet: Fleet, story: Story, lives: dict[str, Iterator[Interval]], step: int) -> None:
    planned = _planned(story)
    for home, life in lives.items():
        at_step, mischief = planned.get(home, (0, None))
        interval = next(life)
        if mischief is None or at_step != step:
            fleet.measure(home, [interval])
        else:
            fleet.misbehave(home, mischief, [[interval]])
        story.packs_sent += 1


def _planned(story: Story) -> dict[str, tuple[int, Mischief]]:
    """Home by home, the step in which it misbehaves; the one whose clock is ahead does so last of all."""
    last = story.days * DAY_S // INTERVAL_S
    return {
        story.homes[number - 1].name: (
            last if mischief is Mischief.CLOCK_HOURS_AHEAD else hour * HOUR_S // INTERVAL_S + 1,
            mischief,
        )
        for number, hour, mischief in MISCHIEFS
        if number <= len(story.homes)
    }


def _buy(platform: Rehearsal, story: Story) -> dict[str, Any]:
    """Who has most buys something: a hold, a capture of less, a refund of a part."""
    richest = max(story.customers, key=lambda customer: customer.sparks()["balance_micro_sparks"])
    before = richest.sparks()
    sale_cents = min(SALE_CENTS, before["value_cents"])
    capture_cents, refund_cents = sale_cents * CAPTURE_CENTS // SALE_CENTS, sale_cents * REFUND_CENTS // SALE_CENTS
    hold = story.shop.authorize(amount_cents=sale_cents, checkout_code=richest.checkout_code(), capture=False)
    if hold["status"] != "authorized":
        return {"hold": hold}
    return {
        "before": before,
        "hold": hold,
        "capture": story.shop.capture(hold["id"], capture_cents),
        "refund": story.shop.refund(hold["id"], refund_cents),
        "after": richest.sparks(),
    }


def _summary(platform: Rehearsal, story: Story) -> dict[str, Any]:
    by_unit = harvests(platform.recorded(), local_month)
    rules: dict[str, int] = {}
    for harvest in by_unit.values():
        for rule, micro_sparks in harvest.micro_sparks.items():
            rules[rule] = rules.get(rule, 0) + micro_sparks
    return {
        "homes": len(story.homes),
        "days": story.days,
        "packs": {"sent": story.packs_sent, **platform.messages()},
        "energy_wh": {flow: sum(harvest.flows_wh[flow] for harvest in by_unit.values()) for flow in FLOWS},
        "micro_sparks": rules,
        "avoided_mg_co2e": sum(harvest.avoided_mg_co2e for harvest in by_unit.values()),
        "statements": story.statements,
        "purchase": story.purchase,
        "ledger": platform.verified_head(),
    }


def _rfc3339(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

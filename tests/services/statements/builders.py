"""What the tests of statements ask of a platform, with defaults."""

import json
from datetime import date
from typing import Any

from contracts import programmes
from contracts.units import DAY_S
from services.identity import Scope
from services.ledger.client import Ledger
from services.statements.days import day_of
from services.statements.publishing import Publishing
from tests.services.customers.platform import NOON_S, Platform, Who

MONDAY = "2026-07-06"
TUESDAY = "2026-07-07"


def number_of(day: str) -> int:
    """Days since 1970-01-01."""
    return day_of(date.fromisoformat(day))


def go_on(platform: Platform, day: str = MONDAY) -> None:
    """To the noon after the day."""
    over_s = NOON_S + (number_of(day) - number_of(MONDAY) + 1) * DAY_S
    if platform.clock.now_s() < over_s:
        platform.advance_to(over_s)


def published(platform: Platform, day: str = MONDAY) -> dict[str, Any]:
    """Go on to the noon after the day and publish its statement; the figures."""
    go_on(platform, day)
    answered = platform.call("PUT", f"/v1/statements/{day}", headers=manager(platform).headers)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def manager(platform: Platform) -> Who:
    """Who may publish."""
    return platform.client("manager", Scope.PROGRAMME)


def fresh(platform: Platform, *callers: Who) -> None:
    """New tokens, as the clock has moved."""
    platform.advance_to(platform.clock.now_s(), *callers)


def proof_of(who: Who, day: str = MONDAY) -> dict[str, Any]:
    """The proof that a customer or retailer is counted."""
    path = f"/v1/statements/{day}/proof" if who.retailer_id else f"/v1/me/statements/{day}/proof"
    answered = who.get(path)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = json.loads(answered.text)
    return found


def a_publishing(platform: Platform, ledger: Ledger | None = None, *, kept_days: int = 35) -> Publishing:
    """One beside the platform's own, on another ledger client if one is given."""
    return Publishing(
        platform.engine,
        ledger or platform.ledger,
        platform.clock,
        programme=programmes.load,
        kept_days=kept_days,
    )

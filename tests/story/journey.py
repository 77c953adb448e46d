"""What every shape of the platform must be able to do: measure, earn, pay."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx
from paho.mqtt.enums import MQTTProtocolVersion

from contracts.wire.packs import Interval
from device_sim.fleet import Fleet, Provision
from device_sim.people import Customer, Operator, Shop
from device_sim.publisher import Login, broker_at
from device_sim.unit import PlatformKeys

HOUR_S = 3_600
HOURS = 12
PATIENCE_S = 30
UNIT = "story-1"


class Person(NamedTuple):
    """Whose home it is."""

    email: str
    password: str
    name: str
    postal_code: str


ANN = Person("ann@example.com", "sunny side of the street", "Ann", "L5B 4M7")


def platform_keys(base_url: str) -> PlatformKeys:
    """The platform's public keys as it publishes them."""
    from base64 import urlsafe_b64decode

    found: dict[str, list[bytes]] = {}
    for key in httpx.get(f"{base_url}/.well-known/jwks.json").json()["keys"]:
        found.setdefault(key["sparks_use"], []).append(urlsafe_b64decode(key["x"] + "=="))
    return PlatformKeys(receipts=tuple(found["receipts"]), commands=tuple(found["commands"]))


@dataclass(frozen=True, slots=True)
class Household:
    """A unit that is connected, its owner who is signed in, and a shop nearby."""

    fleet: Fleet
    customer: Customer
    shop: Shop
    first_s: int

    def measure(self, hours: range) -> None:
        """The unit publishes what it measured in each of these hours, without waiting for an answer."""
        for hour in hours:
            self.fleet.measure(UNIT, [Interval(self.first_s + hour * HOUR_S, HOUR_S, 50_000, 50_000, 0, 0, 0, 0)])

    def wait_for_receipts(self) -> None:
        """Return once receipts cover all that was measured."""
        assert self.fleet.wait_until_empty(PATIENCE_S), (self.fleet.progress(), self.fleet.troubles())


@contextmanager
def joined(
    base_url: str,
    broker_url: str,
    operator: Operator,
    folder: Path,
    now_s: int,
    *,
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
    person: Person = ANN,
) -> Iterator[Household]:
    """A household takes part: its unit can measure the twelve hours before `now_s`."""
    provision = Provision(
        device_id=UNIT,
        seed=b"s" * 32,
        pv_nameplate_w=100_000,
        battery_capacity_wh=10_000,
        battery_power_w=5_000,
        zone="toronto",
    )
    operator.deposit(1_000_000, "story")
    (item,) = operator.provision([provision.enrolment()])
    shop_client = operator.admit_shop("Corner Shop", ["TILL01"])
    customer = Customer(base_url, email=person.email, password=person.password)
    shop = Shop(
        base_url,
        client_id=shop_client["client_id"],
        client_secret=shop_client["client_secret"],
        terminal_id="TILL01",
    )
    with closing(customer), closing(shop):
        customer_id = customer.enroll(name=person.name, postal_code=person.postal_code, level="saver")
        customer.claim(item["claim_code"])
        operator.verify_identity(customer_id, level="verified", expires_at="2040-01-01T00:00:00Z")
        login = Login(username=item["mqtt_username"], password=item["mqtt_password"])
        fleet = Fleet(
            folder,
            [provision],
            broker=broker_at(broker_url, protocol=protocol),
            logins={provision.device_id: login},
            platform=platform_keys(base_url),
            now_s=lambda: now_s,
            clock_s=time.monotonic,
            chance=Random(1),
        )
        with fleet:
            yield Household(fleet, customer, shop, now_s // HOUR_S * HOUR_S - HOURS * HOUR_S)


def measure_earn_and_pay(
    base_url: str,
    broker_url: str,
    operator: Operator,
    folder: Path,
    now_s: int,
    *,
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
    person: Person = ANN,
) -> dict[str, Any]:
    """A unit publishes twelve hours; its owner buys for 100 cents. What the customer has before and after."""
    with joined(base_url, broker_url, operator, folder, now_s, protocol=protocol, person=person) as home:
        home.measure(range(HOURS))
        home.wait_for_receipts()
        before = home.customer.sparks()
        sale = home.shop.authorize(amount_cents=100, checkout_code=home.customer.checkout_code())
        assert sale["status"] == "captured", sale
        return {"before": before, "sale": sale, "after": home.customer.sparks()}

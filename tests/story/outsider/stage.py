"""A running platform seen from outside, and the people on it: operator, households, shops."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from tests.story.outsider.api import Api, access_token, base64url, published_keys
from tests.story.outsider.cose import SigningKey
from tests.story.outsider.unit import HOUR_S, PATIENCE_S, Login, Unit

PASSWORD: Final = "sunny side of the street"
CAPACITY_WH: Final = 10_000
LATER: Final = "2040-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Home:
    """A household: its unit, connected, and its person, signed in."""

    unit: Unit
    customer: Api
    customer_id: str
    claim_code: str

    def sparks(self) -> dict[str, Any]:
        """What the person has."""
        return self.customer.got("/v1/me/sparks")

    def entries(self) -> list[dict[str, Any]]:
        """All entries that moved their sparks, newest first, page by page."""
        found: list[dict[str, Any]] = []
        page = self.customer.got("/v1/me/sparks/entries", limit=2)
        found += page["items"]
        while page["next_cursor"]:
            page = self.customer.got("/v1/me/sparks/entries", limit=50, cursor=page["next_cursor"])
            found += page["items"]
        return found

    def checkout_code(self, **body: int) -> str:
        """A fresh one-time code."""
        return str(self.customer.posted("/v1/me/checkout-codes", body)["code"])


@dataclass(frozen=True, slots=True)
class Shop:
    """A retailer's calls from one till."""

    api: Api
    retailer_id: str
    terminal_id: str
    credentials: dict[str, Any]

    def authorize(self, amount_cents: int, checkout_code: str, **more: object) -> dict[str, Any]:
        """Ask for a sale; whatever the amount, the answer is 201."""
        body = {"terminal_id": self.terminal_id, "amount_cents": amount_cents, "checkout_code": checkout_code, **more}
        answer = self.api.post("/v1/authorizations", body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        assert found["amount_cents"] == amount_cents
        return found

    def decline_reason(self, amount_cents: int, checkout_code: str, **more: object) -> str | None:
        """Why this sale is declined."""
        answer = self.authorize(amount_cents, checkout_code, **more)
        reason: str | None = answer.get("decline_reason")
        assert (answer["status"] == "declined") == (reason is not None)
        return reason

    def move(self, authorization_id: str, to: str, amount_cents: int | None = None) -> httpx.Response:
        """Capture, void or refund."""
        body = {} if amount_cents is None else {"amount_cents": amount_cents}
        return self.api.post(f"/v1/authorizations/{authorization_id}/{to}", body)


def eventually(holds: Callable[[], bool]) -> bool:
    """Does it come true in time? A stranger can only ask again."""
    deadline_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        pause.wait(0.02)
    return True


class Stage:
    """A platform at `base_url` and its first operator.

    now_s  the platform's clock
    """

    def __init__(self, base_url: str, broker_url: str, credentials: dict[str, str], now_s: Callable[[], int]) -> None:
        self.base_url = base_url
        self.broker = urlsplit(broker_url)
        self.now_s = now_s
        self.operator = self.organisation(credentials["client_id"], credentials["client_secret"])
        self.keys = published_keys(base_url)

    def deposit(self, amount_cents: int = 100_000_000) -> None:
        """Pay into the reserve that funds all sparks."""
        self.operator.posted("/v1/reserve-deposits", {"amount_cents": amount_cents, "reference": "first"})

    def registered(self, device_id: str, key: SigningKey | None = None) -> dict[str, Any]:
        """What the platform says of a new device, its secrets included."""
        body = {"devices": [device(device_id, (key or SigningKey.named(device_id)).public)]}
        (item,) = self.operator.posted("/v1/devices", body)["items"]
        assert item["device_id"] == device_id and not item.get("error"), item
        return dict(item)

    def unit(self, item: dict[str, Any], *, start_s: int | None = None) -> Unit:
        """The unit that was registered as `item`; its intervals begin 20 hours ago unless said."""
        login = Login(self.broker.hostname or "", self.broker.port or 0, item["mqtt_username"], item["mqtt_password"])
        begins_s = self.now_s() // HOUR_S * HOUR_S - 20 * HOUR_S if start_s is None else start_s
        return Unit(item["device_id"], login, platform_keys=self.keys, start_s=begins_s)

    def unclaimed(self, name: str) -> Unit:
        """A new unit that is nobody's."""
        return self.unit(self.registered(name))

    def enrolled(self, name: str, level: str | None = None) -> tuple[str, Api]:
        """A customer's id, and their calls."""
        person = {"email": f"{name}@example.com", "password": PASSWORD, "name": name}
        body = {**person, "postal_code": "L5B 4M7", "language": "en", "consent": True}
        answer = Api(self.base_url).post("/v1/customers", body | ({"participation_level": level} if level else {}))
        assert answer.status_code == 201, answer.text
        return answer.json()["customer_id"], self.signed_in(name)

    def signed_in(self, name: str) -> Api:
        """Somebody's calls with a fresh token."""
        session = Api(self.base_url).post("/v1/sessions", {"email": f"{name}@example.com", "password": PASSWORD})
        assert session.status_code == 201, session.text
        return Api(self.base_url, session.json()["access_token"])

    def attest(self, customer_id: str, level: str = "verified") -> None:
        """Say who somebody is."""
        body = {"level": level, "provider": "in person", "expires_at": LATER}
        self.operator.posted(f"/v1/customers/{customer_id}/identity", body)

    @contextmanager
    def home(self, name: str, *, level: str | None = None, start_s: int | None = None) -> Iterator[Home]:
        """A household whose person has claimed its unit."""
        item = self.registered(name)
        customer_id, customer = self.enrolled(name, level)
        assert customer.posted("/v1/me/devices", {"claim_code": item["claim_code"]}) == {"device_id": name}
        with self.unit(item, start_s=start_s) as unit:
            yield Home(unit, customer, customer_id, item["claim_code"])

    def shop(self, terminal_id: str) -> "Shop":
        """A retailer with one till."""
        admitted = self.operator.posted("/v1/retailers", {"name": terminal_id, "terminals": [terminal_id]})
        assert admitted["retailer_id"].isalnum() and len(admitted["retailer_id"]) <= 15
        api = self.organisation(admitted["client_id"], admitted["client_secret"])
        return Shop(api, admitted["retailer_id"], terminal_id, admitted)

    def organisation(self, client_id: str, client_secret: str) -> Api:
        """Its calls with a fresh token."""
        return Api(self.base_url, access_token(self.base_url, client_id, client_secret))

    def reopened(self, shop: "Shop") -> "Shop":
        """The shop with a fresh token."""
        credentials = shop.credentials
        return replace(shop, api=self.organisation(credentials["client_id"], credentials["client_secret"]))

    def quarantined(self, device_id: str, **query: str) -> list[dict[str, Any]]:
        """Rows of one unit."""
        return list(self.operator.got("/v1/quarantine", device_id=device_id, **query)["items"])


def device(device_id: str, public_key: bytes) -> dict[str, Any]:
    """A registration."""
    return {
        "device_id": device_id,
        "public_key": base64url(public_key),
        "pv_nameplate_w": 100_000,
        "battery_capacity_wh": CAPACITY_WH,
        "battery_power_w": 5_000,
        "zone": "toronto",
    }

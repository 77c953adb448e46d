"""The people around the units, as callers of the platform's HTTP API: an operator, customers, a shop.

Speaks only the interface that outsiders have. Each caller signs in by itself and again when its token has expired
(a simulated clock runs fast); each POST carries an Idempotency-Key, so that a call repeated after a broken
connection happens once.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import httpx

PROVISIONED_AT_ONCE: Final = 1_000
TRIES: Final = 3
TIMEOUT_S: Final = 60


class CallFailed(Exception):
    """The platform answered with a problem, or not at all; the message says which call and why."""

    def __init__(self, call: str, status: int, code: str, detail: str) -> None:
        super().__init__(f"{call}: {status} {code}: {detail}" if status else f"{call}: {detail}")
        self.status = status
        self.code = code


class Caller(ABC):
    """One connection to the platform, with the token of one caller."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._http = httpx.Client(base_url=base_url, timeout=TIMEOUT_S)

    def close(self) -> None:
        """Give up the connection."""
        self._http.close()

    @abstractmethod
    def token(self) -> str:
        """Sign in; the access token."""

    def get(self, path: str, **query: Any) -> Any:
        """GET; the JSON of the answer."""
        return self._call("GET", path, params=query)

    def fetch(self, path: str) -> bytes:
        """GET what is open to all; the bytes of the answer."""
        response = self._send("GET", path, {})
        if not response.is_success:
            _json(f"GET {path}", response)
        return response.content

    def post(self, path: str, body: dict[str, Any] | None = None, *, key: str | None = None) -> Any:
        """POST under an Idempotency-Key (a fresh one unless given); the JSON of the answer."""
        headers = {"Idempotency-Key": f'"{key or uuid.uuid4()}"'}
        return self._call("POST", path, json=body if body is not None else {}, headers=headers)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """PUT; the JSON of the answer."""
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """PATCH; the JSON of the answer."""
        return self._call("PATCH", path, json=body)

    def _call(self, method: str, path: str, **request: Any) -> Any:
        response = self._send(method, path, request)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # Who asks for a token shows no old one beside the credentials (RFC 6749 2.3).
            self._http.headers.pop("Authorization", None)
            self._http.headers["Authorization"] = f"Bearer {self.token()}"
            response = self._send(method, path, request)
        return _json(f"{method} {path}", response)

    def _send(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        for remaining in reversed(range(TRIES)):
            try:
                return self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if not remaining:
                    detail = f"no answer from {self._base_url}: {error}"
                    raise CallFailed(f"{method} {path}", 0, "no_answer", detail) from error
        raise AssertionError("unreachable: the last try returns or raises")


class Operator(Caller):
    """Who runs the fleet and the programme."""

    def __init__(self, base_url: str, *, client_id: str, client_secret: str) -> None:
        super().__init__(base_url)
        self._client = {"client_id": client_id, "client_secret": client_secret}

    def token(self) -> str:
        """Client credentials, all scopes that the client has."""
        return _organisation_token(self._http, self._client)

    def provision(self, enrolments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Register units; their items with claim code and broker login."""
        items: list[dict[str, Any]] = []
        for first in range(0, len(enrolments), PROVISIONED_AT_ONCE):
            some = list(enrolments[first : first + PROVISIONED_AT_ONCE])
            items += self.post("/v1/devices", {"devices": some})["items"]
        return items

    def deposit(self, amount_cents: int, reference: str) -> None:
        """Pay into the reserve."""
        self.post("/v1/reserve-deposits", {"amount_cents": amount_cents, "reference": reference})

    def admit_shop(self, name: str, terminals: Sequence[str], *, bonus_bp: int = 0) -> dict[str, Any]:
        """Register a retailer; its id and client credentials."""
        body = {"name": name, "terminals": list(terminals), "bonus_bp": bonus_bp}
        answer: dict[str, Any] = self.post("/v1/retailers", body)
        return answer

    def verify_identity(self, customer_id: str, *, level: str, expires_at: str) -> None:
        """Attest who a customer is."""
        body = {"level": level, "provider": "simulated", "expires_at": expires_at}
        self.post(f"/v1/customers/{customer_id}/identity", body)

    def declare_event(self, event_id: str, *, zone: str, start_at: str, end_at: str) -> None:
        """Call for less import in a zone."""
        self.post("/v1/events", {"id": event_id, "zone": zone, "start_at": start_at, "end_at": end_at})

    def publish_signal(self, hour: str, intensity_mg_per_wh: int) -> None:
        """Publish the grid's carbon intensity in one hour."""
        self.put(f"/v1/grid-signals/{hour}", {"intensity_mg_per_wh": intensity_mg_per_wh})

    def publish_statement(self, date: str) -> dict[str, Any]:
        """Publish the statement of a day that is just over; its figures."""
        answer: dict[str, Any] = self.put(f"/v1/statements/{date}", {})
        return answer


class Customer(Caller):
    """A person with a unit at home."""

    def __init__(self, base_url: str, *, email: str, password: str) -> None:
        super().__init__(base_url)
        self._login = {"email": email, "password": password}

    def enroll(self, *, name: str, postal_code: str, level: str) -> str:
        """Take part; the customer id."""
        person = {"name": name, "postal_code": postal_code, "language": "en", "consent": True}
        answer = self.post("/v1/customers", {**self._login, **person, "participation_level": level})
        return str(answer["customer_id"])

    def token(self) -> str:
        """Sign in with e-mail and password."""
        answer = _json("POST /v1/sessions", self._http.post("/v1/sessions", json=self._login))
        return str(answer["access_token"])

    def claim(self, claim_code: str) -> str:
        """Hold the unit that shows this code; its id."""
        return str(self.post("/v1/me/devices", {"claim_code": claim_code})["device_id"])

    def sparks(self) -> dict[str, Any]:
        """The balance."""
        answer: dict[str, Any] = self.get("/v1/me/sparks")
        return answer

    def checkout_code(self, *, max_cents: int = 10_000) -> str:
        """A code to show at a till."""
        return str(self.post("/v1/me/checkout-codes", {"max_cents": max_cents})["code"])


class Shop(Caller):
    """A retailer's till, by the REST API."""

    def __init__(self, base_url: str, *, client_id: str, client_secret: str, terminal_id: str) -> None:
        super().__init__(base_url)
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._terminal_id = terminal_id

    def token(self) -> str:
        """Client credentials."""
        return _organisation_token(self._http, self._client)

    def authorize(self, *, amount_cents: int, checkout_code: str, capture: bool = True) -> dict[str, Any]:
        """Ask for an amount: taken at once, or held."""
        body = {"terminal_id": self._terminal_id, "amount_cents": amount_cents, "checkout_code": checkout_code}
        answer: dict[str, Any] = self.post("/v1/authorizations", {**body, "capture": capture})
        return answer

    def capture(self, authorization_id: str, amount_cents: int) -> dict[str, Any]:
        """Take part or all of a hold."""
        return self._move(authorization_id, "captures", amount_cents)

    def refund(self, authorization_id: str, amount_cents: int) -> dict[str, Any]:
        """Give part or all of a sale back."""
        return self._move(authorization_id, "refunds", amount_cents)

    def _move(self, authorization_id: str, move: str, amount_cents: int) -> dict[str, Any]:
        path = f"/v1/authorizations/{authorization_id}/{move}"
        answer: dict[str, Any] = self.post(path, {"amount_cents": amount_cents})
        return answer


def _organisation_token(http: httpx.Client, client: dict[str, str]) -> str:
    form = {"grant_type": "client_credentials", **client}
    return str(_json("POST /oauth/token", http.post("/oauth/token", data=form))["access_token"])


def _json(call: str, response: httpx.Response) -> Any:
    if response.is_success:
        try:
            return response.json() if response.content else None
        except ValueError:
            raise CallFailed(
                call, response.status_code, "no_json", "whoever answers there is no such platform"
            ) from None
    is_json = "json" in response.headers.get("content-type", "")
    problem = response.json() if is_json else {}
    code = str(problem.get("code", problem.get("error", "unexpected")))
    raise CallFailed(call, response.status_code, code, str(problem.get("detail", response.reason_phrase)))

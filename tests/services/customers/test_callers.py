"""Every call of customers, by whoever may not make it."""

from typing import Final

import pytest

from services.identity import Scope
from tests.services.customers.platform import Platform

KEYED: Final = [
    ("POST", "/v1/me/devices", {"claim_code": "0000-0000-0000-0000"}),
    ("POST", "/v1/me/checkout-codes", {}),
    ("POST", "/v1/me/freeze", {}),
    ("POST", "/v1/me/unfreeze", {}),
]
CALLS: Final = [
    *KEYED,
    ("DELETE", "/v1/sessions/current", None),
    ("GET", "/v1/me", None),
    ("PATCH", "/v1/me", {"language": "fr"}),
    ("GET", "/v1/me/devices", None),
    ("DELETE", "/v1/me/devices/unit-1", None),
    ("GET", "/v1/me/sparks", None),
    ("GET", "/v1/me/sparks/entries", None),
    ("GET", "/v1/me/energy", None),
]


def test_every_call_is_for_a_customer_with_a_token_that_is_good(platform):
    expired = platform.customer()
    platform.clock.advance_to(platform.clock.now_s() + 900)
    shop = platform.client("shop", Scope.RETAILER, retailer_id="SHOP")
    key = {"Idempotency-Key": "k"}
    strangers = {
        "nobody": ({}, 401, "unauthorized"),
        "a forger": ({"Authorization": "Bearer x.y.z"}, 401, "unauthorized"),
        "somebody else's scheme": ({"Authorization": "Basic eDp5"}, 401, "unauthorized"),
        "too late": (expired.headers, 401, "unauthorized"),
        "a till": (shop.headers, 403, "forbidden"),
    }

    for who, (headers, status, code) in strangers.items():
        for method, path, body in CALLS:
            answered = platform.call(method, path, headers=headers | key, **({} if body is None else {"json": body}))
            assert (answered.status_code, answered.json()["code"]) == (status, code), (who, method, path)
            assert answered.headers["content-type"] == "application/problem+json"
            assert "Bearer" in answered.headers["www-authenticate"]


def test_every_post_needs_a_key_and_refuses_it_for_another_body(platform):
    ann = platform.customer()

    for method, path, body in KEYED:
        missing = platform.call(method, path, headers=ann.headers, json=body)
        assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing"), path
        malformed = platform.call(method, path, headers=ann.headers | {"Idempotency-Key": '"'}, json=body)
        assert (malformed.status_code, malformed.json()["code"]) == (400, "idempotency_key_malformed"), path
        for wrong in (b"{", b'"x"', b"[]", b'{"unknown": 1}', b"\xff", b"[" * 30_000):
            headers = ann.headers | {"Idempotency-Key": "k", "Content-Type": "application/json"}
            refused = platform.call(method, path, headers=headers, content=wrong)
            assert refused.status_code in (400, 422), (path, wrong)
            assert refused.headers["content-type"] == "application/problem+json"


@pytest.fixture
def ann_s_unit(platform: Platform) -> str:
    ann = platform.customer()
    assert ann.post("/v1/me/devices", {"claim_code": platform.unit("unit-1")}).status_code == 201
    return "unit-1"


def test_nobody_moves_another_customers_unit_out(platform, ann_s_unit):
    bob = platform.customer()

    answered = bob.delete(f"/v1/me/devices/{ann_s_unit}")

    assert (answered.status_code, answered.json()["code"]) == (404, "unknown_device")


def test_a_key_of_one_customer_says_nothing_of_anothers(platform):
    ann, bob = platform.customer(), platform.customer()

    assert ann.post("/v1/me/freeze", key="k").json() == {"frozen": True}
    assert bob.get("/v1/me").json()["frozen"] is False
    assert bob.post("/v1/me/freeze", key="k").json() == {"frozen": True}

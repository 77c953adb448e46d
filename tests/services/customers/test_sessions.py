"""Signing in and out, and how guessing is slowed down."""

import hashlib
import json

import httpx
import pytest
from sqlmodel import select

from services.customers.attempts import ATTEMPTS_MAX, WINDOW_S
from services.customers.passwords import Passwords
from services.database import reading
from services.idempotency.tables import AnswerRow
from tests.services.customers.platform import CHEAP, PASSWORD, Platform, an_enrolment


def sign_in(
    platform: Platform, password: str = PASSWORD, email: str = "ann@example.com", *, key: str | None = None
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return platform.call("POST", "/v1/sessions", headers=headers, json={"email": email, "password": password})


@pytest.fixture
def enrolled(platform: Platform) -> Platform:
    assert platform.call("POST", "/v1/customers", json=an_enrolment()).status_code == 201
    return platform


def test_signing_in_gives_a_bearer_token_for_fifteen_minutes(enrolled):
    answered = sign_in(enrolled, email="Ann@Example.com")

    assert answered.status_code == 201
    token = answered.json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 900)
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert enrolled.call("GET", "/v1/me", headers=headers).status_code == 200
    enrolled.clock.advance_to(enrolled.clock.now_s() + 900)
    assert enrolled.call("GET", "/v1/me", headers=headers).json()["code"] == "unauthorized"


def test_a_wrong_password_and_an_unknown_email_are_told_alike(enrolled):
    wrong, unknown, malformed = (
        sign_in(enrolled, "wrong password"),
        sign_in(enrolled, email="bob@example.com"),
        sign_in(enrolled, email="\0"),
    )

    assert wrong.status_code == unknown.status_code == malformed.status_code == 401
    assert wrong.json() == unknown.json() == malformed.json()
    assert wrong.json()["code"] == "wrong_credentials"


def test_an_unknown_email_costs_as_much_as_a_wrong_password(monkeypatch):
    compared: list[bytes] = []
    passwords = Passwords(opslimit=1, memlimit_bytes=8192)
    known = passwords.hash(PASSWORD)
    verify = passwords.matches.__globals__["pwhash"].verify

    def noted(password_hash: bytes, password: bytes) -> bool:
        compared.append(password_hash)
        return bool(verify(password_hash, password))

    monkeypatch.setattr("services.customers.passwords.pwhash.verify", noted)

    assert not passwords.matches("wrong", known)
    assert not passwords.matches("wrong", None)
    cost = [password_hash.split(b"$")[1:4] for password_hash in compared]
    assert len(cost) == 2
    assert cost[0] == cost[1]


def test_nobodys_password_is_no_password():
    assert not CHEAP.matches("no password at all", None)


def test_after_many_wrong_passwords_even_the_right_one_has_to_wait(enrolled):
    for _ in range(ATTEMPTS_MAX["email"]):
        assert sign_in(enrolled, "wrong password").status_code == 401

    answered = sign_in(enrolled)

    assert (answered.status_code, answered.json()["code"]) == (429, "too_many_requests")
    assert 0 < int(answered.headers["Retry-After"]) <= WINDOW_S
    assert sign_in(enrolled, email="bob@example.com").status_code == 401
    enrolled.clock.advance_to(enrolled.clock.now_s() + int(answered.headers["Retry-After"]))
    assert sign_in(enrolled).status_code == 201


def test_a_right_password_forgets_the_wrong_ones(enrolled):
    for _ in range(ATTEMPTS_MAX["email"] // 2 + 1):
        sign_in(enrolled, "wrong password")
    assert sign_in(enrolled).status_code == 201

    for _ in range(ATTEMPTS_MAX["email"]):
        assert sign_in(enrolled, "wrong password").status_code == 401


def test_an_address_cannot_try_many_emails(enrolled):
    for number in range(ATTEMPTS_MAX["address"]):
        assert sign_in(enrolled, email=f"nobody-{number}@example.com").status_code == 401

    assert sign_in(enrolled, email="nobody@example.com").status_code == 429


def test_a_repeat_under_the_same_key_does_not_show_the_token_again(enrolled):
    first, again = (sign_in(enrolled, key="k") for _ in range(2))

    assert first.json()["access_token"]
    assert "code" not in first.json()
    assert again.status_code == 201
    assert again.json() == {"token_type": "Bearer", "expires_in": 900, "code": "secret_already_shown"}


def test_the_same_key_with_another_body_and_one_that_is_no_key_are_refused(enrolled):
    sign_in(enrolled, key="k")

    reused = sign_in(enrolled, email="bob@example.com", key="k")
    malformed = sign_in(enrolled, key='"')

    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert (malformed.status_code, malformed.json()["code"]) == (400, "idempotency_key_malformed")


def test_a_wrong_password_does_not_use_up_the_key(enrolled):
    assert sign_in(enrolled, "wrong password", key="k").status_code == 401

    assert sign_in(enrolled, key="k").json()["access_token"]


def test_a_key_that_was_used_is_no_way_to_try_passwords_faster(enrolled):
    sign_in(enrolled, key="k")

    for _ in range(ATTEMPTS_MAX["email"]):
        assert sign_in(enrolled, "a guess", key="k").status_code == 422

    assert sign_in(enrolled, "a guess", key="k").status_code == 429


def test_what_is_kept_of_signing_in_does_not_let_anybody_test_a_password(enrolled):
    sign_in(enrolled, key="k")

    body = {"email": "ann@example.com", "password": PASSWORD}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    with reading(enrolled.engine) as session:
        (kept,) = session.exec(select(AnswerRow)).all()
    assert kept.digest != hashlib.sha256(canonical).digest()
    assert json.loads(kept.body) == {"token_type": "Bearer", "expires_in": 900, "code": "secret_already_shown"}


def test_signing_out_ends_this_session_and_no_other(enrolled):
    first, second = (enrolled.sign_in("ann@example.com") for _ in range(2))

    ended = enrolled.call("DELETE", "/v1/sessions/current", headers=first)

    assert (ended.status_code, ended.content) == (204, b"")
    assert enrolled.call("GET", "/v1/me", headers=first).status_code == 401
    assert enrolled.call("GET", "/v1/me", headers=second).status_code == 200

"""Tokens: signed, short-lived, scoped, and ended when a customer signs out."""

import base64
import json
from typing import Annotated, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI

from contracts.wire import signatures
from services import problems
from services.clock import SimulatedClock
from services.identity import Caller, Scope, Tokens
from services.identity.tokens import TOKEN_S
from services.problems import Problem
from tests.services.asgi import Http

NOW_S = 1_782_810_000
SEED = bytes(range(32))


@pytest.fixture
def clock():
    return SimulatedClock(NOW_S)


@pytest.fixture
def tokens(engine, clock):
    return Tokens(SEED, clock=clock, engine=engine)


def claims_of(token: str) -> list[dict[str, Any]]:
    """Header and claims, unverified."""
    parts = token.split(".")[:2]
    return [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts]


def signed(seed: bytes = SEED, **changes: Any) -> str:
    """A token as we make them, but for `changes`; None leaves a claim out."""
    claims = {"sub": "c1", "scope": "customer", "iat": NOW_S, "exp": NOW_S + TOKEN_S, "jti": "t1", **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, Ed25519PrivateKey.from_private_bytes(seed), "EdDSA")


def test_a_token_says_who_for_what_and_until_when(tokens):
    issued = tokens.issue("retailer-1", frozenset({Scope.RETAILER}), retailer_id="R1")

    header, claims = claims_of(issued.access_token)
    assert (header["alg"], header["kid"]) == ("EdDSA", signatures.key_id(signatures.public_key_of(SEED)).hex())
    assert (claims["sub"], claims["scope"], claims["iat"], claims["exp"]) == (
        *("retailer-1", "retailer"),
        *(NOW_S, NOW_S + 900),
    )
    assert issued.expires_in_s == 900
    caller = tokens.caller_of(issued.access_token)
    assert (caller.subject, caller.scopes, caller.retailer_id) == ("retailer-1", {"retailer"}, "R1")


def test_no_two_tokens_have_the_same_id(tokens):
    ids = {tokens.caller_of(tokens.issue("c1", frozenset({Scope.CUSTOMER})).access_token).token_id for _ in range(9)}

    assert len(ids) == 9


def test_a_token_ends_by_the_platforms_clock_also_when_it_was_seen_before(tokens, clock):
    token = tokens.issue("c1", frozenset({Scope.CUSTOMER})).access_token
    clock.advance_to(NOW_S + TOKEN_S - 1)
    assert tokens.caller_of(token).subject == "c1"

    clock.advance_to(NOW_S + TOKEN_S)

    with pytest.raises(Problem, match="expired"):
        tokens.caller_of(token)


def _with_alg_none() -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    _, claims = claims_of(signed())
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def _with_hmac_of_the_public_key() -> str:
    _, claims = claims_of(signed())
    return jwt.encode(claims, signatures.public_key_of(SEED), "HS256")


@pytest.mark.parametrize(
    "token",
    [
        *("", "x", "a.b.c", "é.é.é", signed()[:-4] + "AAAA"),
        signed(seed=bytes(32)),
        _with_alg_none(),
        _with_hmac_of_the_public_key(),
        *(signed(sub=None), signed(scope=None), signed(exp=None), signed(jti=None)),
    ],
)
def test_a_forged_token_names_nobody(tokens, token):
    with pytest.raises(Problem) as raised:
        tokens.caller_of(token)

    assert raised.value.code == "unauthorized"
    assert raised.value.headers == {"WWW-Authenticate": 'Bearer error="invalid_token"'}


def test_a_customer_who_signed_out_is_nobody_at_once_and_in_every_process(tokens, engine, clock):
    http, elsewhere = _service(tokens), _service(Tokens(SEED, clock=clock, engine=engine))
    token = tokens.issue("c1", frozenset({Scope.CUSTOMER})).access_token
    other = tokens.issue("c1", frozenset({Scope.CUSTOMER})).access_token
    assert _get(http, "/me", token).json() == "c1"
    assert _get(elsewhere, "/me", token).json() == "c1"

    tokens.revoke(tokens.caller_of(token))
    tokens.revoke(tokens.caller_of(token))

    assert _get(http, "/me", token).json()["code"] == "unauthorized"
    assert _get(elsewhere, "/me", token).status_code == 401
    assert _get(http, "/me", other).status_code == 200


def test_what_was_revoked_is_forgotten_once_it_has_expired(tokens, engine, clock):
    tokens.revoke(tokens.caller_of(tokens.issue("c1", frozenset({Scope.CUSTOMER})).access_token))
    clock.advance_to(NOW_S + TOKEN_S)

    tokens.revoke(tokens.caller_of(tokens.issue("c2", frozenset({Scope.CUSTOMER})).access_token))

    with engine.connect() as connection:
        assert len(connection.exec_driver_sql("SELECT * FROM revoked_tokens").all()) == 1


def test_a_scope_opens_its_own_calls_and_no_others(tokens):
    http = _service(tokens)
    for scope in Scope:
        token = tokens.issue("someone", frozenset({scope})).access_token
        opened = [path for path in ("/me", "/fleet", "/retailer") if _get(http, path, token).status_code == 200]
        assert opened == {"customer": ["/me"], "fleet": ["/fleet"], "retailer": ["/retailer"]}.get(scope, [])
    forbidden = _get(http, "/fleet", tokens.issue("c1", frozenset({Scope.CUSTOMER})).access_token)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    assert 'error="insufficient_scope"' in forbidden.headers["www-authenticate"]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic eDp5", "bearer  ", "Token x"])
def test_without_a_bearer_token_nobody_asks(tokens, authorization):
    answer = _service(tokens).get("/fleet", headers={"Authorization": authorization})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def _get(http: Http, path: str, token: str) -> httpx.Response:
    return http.get(path, headers={"Authorization": f"Bearer {token}"})


def _service(tokens: Tokens) -> Http:
    app = FastAPI()
    problems.install(app)

    @app.get("/me")
    def me(caller: Annotated[Caller, Depends(tokens.customer)]) -> str:
        return caller.subject

    for scope in (Scope.FLEET, Scope.RETAILER):

        @app.get(f"/{scope}")
        def organisation(caller: Annotated[Caller, Depends(tokens.organisation(scope))]) -> str:
            return caller.subject

    return Http(app)

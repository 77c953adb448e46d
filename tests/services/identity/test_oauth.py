"""Client credentials, by the letter of RFC 6749, and what is published of the keys."""

import base64
from collections.abc import Mapping
from urllib.parse import quote_plus

import httpx
import jwt
import pytest
from fastapi import FastAPI

from services import problems
from services.clock import SimulatedClock
from services.identity import Client, Clients, Scope, Tokens, oauth_router, well_known_router
from services.keys import Keys, Use
from tests.services.asgi import Http

GRANT = {"grant_type": "client_credentials"}
SECRET = "s: +%&=é"


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "keys")


@pytest.fixture
def clients(engine, keys):
    clients = Clients(engine, keys)
    clients.admit(Client("shop", frozenset({Scope.RETAILER}), "R1"), SECRET)
    return clients


@pytest.fixture
def tokens(engine, keys):
    return Tokens(keys.seed(Use.TOKENS), clock=SimulatedClock(1_782_810_000), engine=engine)


@pytest.fixture
def http(keys, clients, tokens):
    app = FastAPI()
    problems.install(app)
    app.include_router(oauth_router(tokens=tokens, clients=clients))
    app.include_router(well_known_router(keys=keys))
    return Http(app)


def ask(http: Http, form: Mapping[str, object], *, basic: tuple[str, str] | None = None) -> httpx.Response:
    headers = {}
    if basic is not None:
        userpass = ":".join(quote_plus(part) for part in basic)
        headers["Authorization"] = "Basic " + base64.b64encode(userpass.encode()).decode()
    return http.call("POST", "/oauth/token", data=form, headers=headers)


def test_a_client_gets_a_token_by_form_or_by_basic(http, tokens):
    by_form = ask(http, {**GRANT, "client_id": "shop", "client_secret": SECRET})
    by_basic = ask(http, GRANT, basic=("shop", SECRET))

    for answer in (by_form, by_basic):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 900, "retailer")
        caller = tokens.caller_of(body["access_token"])
        assert (caller.subject, caller.retailer_id) == ("shop", "R1")


def test_the_operator_of_the_first_start_may_run_fleet_and_programme_and_ask_for_less(http, clients, keys):
    clients.admit_operator()
    clients.admit_operator()
    operator = keys.operator()
    form = {**GRANT, "client_id": operator.name, "client_secret": operator.secret}

    assert ask(http, form).json()["scope"] == "auditor fleet programme"
    assert ask(http, {**form, "scope": "fleet"}).json()["scope"] == "fleet"


def test_a_new_secret_ends_the_old_one(http, clients):
    clients.admit(Client("shop", frozenset({Scope.RETAILER}), "R1"), "another")

    assert ask(http, GRANT, basic=("shop", SECRET)).status_code == 401
    assert ask(http, GRANT, basic=("shop", "another")).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({**GRANT, "client_id": "shop", "client_secret": "wrong"}, 401, "invalid_client"),
        ({**GRANT, "client_id": "nobody", "client_secret": SECRET}, 401, "invalid_client"),
        ({**GRANT, "client_id": "shop\0", "client_secret": SECRET}, 401, "invalid_client"),
        ({**GRANT, "client_id": "shop"}, 401, "invalid_client"),
        (GRANT, 401, "invalid_client"),
        ({"client_id": "shop", "client_secret": SECRET}, 400, "invalid_request"),
        ({"grant_type": "password", "client_id": "shop", "client_secret": SECRET}, 400, "unsupported_grant_type"),
        ({**GRANT, "client_id": "shop", "client_secret": SECRET, "scope": "fleet"}, 400, "invalid_scope"),
        ({**GRANT, "client_id": "shop", "client_secret": SECRET, "scope": "retailer fleet"}, 400, "invalid_scope"),
        ({**GRANT, "client_id": "shop", "client_secret": SECRET, "scope": "customer"}, 400, "invalid_scope"),
        ({"grant_type": ["client_credentials"] * 2}, 400, "invalid_request"),
        ({f"field{n}": "x" for n in range(100)}, 400, "invalid_request"),
    ],
)
def test_what_is_not_granted_is_told_in_oauths_own_words(http, form, status, error):
    answer = ask(http, form)

    told = answer.json()
    assert (answer.status_code, told["error"]) == (status, error)
    assert (told["code"], told["title"], told["status"]) == (error, answer.reason_phrase, status)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_credentials_given_twice_are_refused(http):
    answer = ask(http, {**GRANT, "client_id": "shop", "client_secret": SECRET}, basic=("shop", SECRET))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("authorization", ["Basic", "Basic !", "Basic /w==", "Basic c2hvcA==", "Bearer x"])
def test_a_malformed_authorization_is_no_client(http, authorization):
    answer = http.call("POST", "/oauth/token", data=GRANT, headers={"Authorization": authorization})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("body", [b"", b"\xff", b"grant_type", b"grant_type=%ff"])
def test_a_malformed_form_is_an_invalid_request(http, body):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = http.call("POST", "/oauth/token", content=body, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_json_is_no_form(http):
    answer = http.call("POST", "/oauth/token", json=GRANT)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_secrets_lie_nowhere_in_the_database(http, engine):
    with engine.connect() as connection:
        (row,) = connection.exec_driver_sql("SELECT * FROM oauth_clients").all()

    assert SECRET not in str(row)
    assert SECRET.encode() not in bytes(row.secret_hash)


def test_a_token_verifies_with_the_published_key_its_header_names(http):
    token = ask(http, GRANT, basic=("shop", SECRET)).json()["access_token"]
    published = http.get("/.well-known/jwks.json").json()["keys"]

    key = next(key for key in published if key["kid"] == jwt.get_unverified_header(token)["kid"])

    assert (key["sparks_use"], key["use"], key["kty"], key["crv"]) == ("tokens", "sig", "OKP", "Ed25519")
    claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["EdDSA"], options={"verify_exp": False, "verify_iat": False})
    assert claims["sub"] == "shop"


def test_a_different_key_is_published_for_each_use(http, keys):
    published = http.get("/.well-known/jwks.json").json()["keys"]

    assert [key["sparks_use"] for key in published] == ["receipts", "commands", "tokens"]
    assert len({key["x"] for key in published}) == 3


def test_the_metadata_name_where_to_ask(http):
    metadata = http.get("/.well-known/oauth-authorization-server").json()

    assert metadata["issuer"] == "http://sparks.test"
    assert metadata["token_endpoint"] == "http://sparks.test/oauth/token"
    assert metadata["jwks_uri"] == "http://sparks.test/.well-known/jwks.json"
    assert metadata["grant_types_supported"] == ["client_credentials"]
    assert "customer" not in metadata["scopes_supported"]

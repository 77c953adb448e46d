"""Which requests are the same, and which keys are keys."""

import hashlib
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from services import problems
from services.idempotency import Asked, asked_by, asked_by_anyone, keyed_digest, part_of
from services.idempotency.asked import parse_key
from services.identity import Caller
from services.keys import Keys
from tests.services.asgi import Http


def caller_named(subject: str):
    def caller() -> Caller:
        return Caller(subject, frozenset(), None, "token", 0)

    return caller


def a_service() -> Http:
    """Calls that answer what they were asked, as hex."""
    app = FastAPI()
    problems.install(app)

    def shown(asked: Asked) -> dict[str, str]:
        return {"id": asked.id.hex(), "digest": asked.digest.hex()}

    @app.post("/one")
    def one(asked: Annotated[Asked, Depends(asked_by(caller_named("c1")))]) -> dict[str, str]:
        return shown(asked)

    @app.post("/one/more")
    def more(asked: Annotated[Asked, Depends(asked_by(caller_named("c1")))]) -> dict[str, str]:
        return shown(asked)

    @app.put("/one")
    def put(asked: Annotated[Asked, Depends(asked_by(caller_named("c1")))]) -> dict[str, str]:
        return shown(asked)

    @app.post("/other")
    def other(asked: Annotated[Asked, Depends(asked_by(caller_named("c2")))]) -> dict[str, str]:
        return shown(asked)

    @app.post("/anyone")
    def anyone(asked: Annotated[Asked | None, Depends(asked_by_anyone)]) -> dict[str, str]:
        return {} if asked is None else shown(asked)

    return Http(app)


@pytest.fixture(scope="module")
def http():
    return a_service()


@pytest.mark.parametrize("header", ['"8e03978e-40d5"', "8e03978e-40d5", ' "8e03978e-40d5" '])
def test_a_quoted_and_a_bare_key_are_the_same(header):
    assert parse_key(header) == "8e03978e-40d5"


@given(key=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255))
def test_every_printable_key_can_be_quoted(key):
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')

    assert parse_key(f'"{escaped}"') == key


@pytest.mark.parametrize(
    "header",
    ["", '""', '"', 'a"b', '"a" b', "a b", '"a";p=1', "a,b", "é", '"\x00"', "x" * 256, f'"{"x" * 256}"', '"a\\b"'],
)
def test_what_is_no_key_is_refused(header):
    assert parse_key(header) is None


def test_the_same_request_is_known_again(http):
    one, again = (http.post("/one", {"a": 1, "b": [2]}, key="k").json() for _ in range(2))

    assert one == again


def test_caller_method_path_and_key_make_a_request_another_one(http):
    asked = [
        http.post("/one", {"a": 1}, key="k"),
        http.post("/one", {"a": 1}, key="l"),
        http.post("/one/more", {"a": 1}, key="k"),
        http.post("/other", {"a": 1}, key="k"),
        http.call("PUT", "/one", json={"a": 1}, headers={"Idempotency-Key": "k"}),
    ]

    assert len({answer.json()["id"] for answer in asked}) == len(asked)
    assert len({answer.json()["digest"] for answer in asked}) == 1


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (b'{"a":1,"b":2}', b'{ "b": 2, "a": 1 }', True),
        (b'"\\u00e9"', b'"\xc3\xa9"', True),
        (b"[1,2]", b"[2,1]", False),
        (b'{"a":1}', b'{"a":"1"}', False),
        (b'{"a":1}', b'{"a":true}', False),
        (b'{"a":1}', b"{}", False),
        (b"", b"{}", True),
        (b"", b"null", False),
        (b"{not json", b"{not  json", False),
    ],
)
def test_bodies_are_compared_as_parsed_json(http, one, other, is_same):
    digests = {http.call("POST", "/one", content=body, headers=_KEYED).json()["digest"] for body in (one, other)}

    assert (len(digests) == 1) == is_same


def test_a_missing_key_a_malformed_one_and_two_of_them_are_refused(http):
    missing = http.call("POST", "/one")
    malformed = http.call("POST", "/one", headers={"Idempotency-Key": '"'})

    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")
    assert (malformed.status_code, malformed.json()["code"]) == (400, "idempotency_key_malformed")


def test_half_a_surrogate_pair_is_refused_before_anything_is_done(http):
    answer = http.call("POST", "/one", content=b'{"note": "\\ud800"}', headers=_KEYED)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


def test_where_the_key_is_optional_a_call_without_one_is_not_known_again(http):
    keyed = [http.post("/anyone", {"a": 1}, key="k").json() for _ in range(2)]
    malformed = http.call("POST", "/anyone", json={"a": 1}, headers={"Idempotency-Key": '"'})

    assert keyed[0] == keyed[1] != {}
    assert http.call("POST", "/anyone", json={"a": 1}).json() == {}
    assert (malformed.status_code, malformed.json()["code"]) == (400, "idempotency_key_malformed")


def test_the_digest_of_a_secret_body_is_of_use_on_this_platform_only(tmp_path):
    asked = Asked(bytes(32), hashlib.sha256(b"body").digest())
    ours, theirs = Keys(tmp_path / "ours"), Keys(tmp_path / "theirs")

    by_us, by_us_again, by_them = (keyed_digest(keys, asked) for keys in (ours, ours, theirs))

    assert by_us == by_us_again
    assert by_us is not None and by_them is not None
    assert by_us.id == by_them.id == asked.id
    assert len({asked.digest, by_us.digest, by_them.digest}) == 3
    assert keyed_digest(ours, None) is None


def test_the_parts_of_a_call_are_told_apart_by_name():
    asked = Asked(bytes(32), bytes(32))

    assert part_of(asked, "unit-1") == part_of(asked, "unit-1")
    assert len({asked.id, part_of(asked, "unit-1").id, part_of(asked, "unit-2").id}) == 3


_KEYED = {"Idempotency-Key": "k", "Content-Type": "application/json"}

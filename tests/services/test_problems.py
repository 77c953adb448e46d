"""Every error of an app is a problem document with a code that stays."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict

from contracts.effects import Reason
from services import problems
from services.problems import BODY_BYTES_MAX, MEDIA_TYPE, STATUS_BY_CODE, Problem
from tests.services.asgi import Http

_JSON = {"Content-Type": "application/json"}


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    amount_cents: int
    note: str = ""


class Unreachable(Exception):
    """What some adapter raises."""


@pytest.fixture(scope="module")
def http():
    app = FastAPI()
    problems.install(app, code_by_exception={Unreachable: "ledger_unavailable"})

    @app.post("/bodies")
    def take(body: Body) -> dict[str, int]:
        return {"amount_cents": body.amount_cents}

    @app.get("/raise/{what}")
    def fail(what: str, limit: Annotated[int, Query(ge=1)] = 1) -> None:
        raise {
            "problem": Problem("invalid_state", "It is over.", extras={"state": "expired"}),
            "teapot": HTTPException(418, "a teapot"),
            "gateway": HTTPException(502, "no"),
            "unreachable": Unreachable("secret host name"),
            "half": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
            "bug": RuntimeError("secret detail"),
        }[what]

    return Http(app)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code; the document is sound."""
    assert answer.headers["content-type"] == MEDIA_TYPE
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"] == "about:blank"
    assert document["title"]
    return answer.status_code, document["code"]


def test_no_reason_of_the_contracts_is_without_a_status():
    assert {str(reason) for reason in Reason} - set(STATUS_BY_CODE) == set()


def test_every_status_is_one_of_an_error():
    assert all(400 <= status < 600 for status in STATUS_BY_CODE.values())


def test_a_problem_carries_code_detail_and_further_members(http):
    answer = http.get("/raise/problem")

    assert answer.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "It is over.",
        "code": "invalid_state",
        "state": "expired",
    }
    assert problem_of(answer) == (409, "invalid_state")


def test_an_unknown_path_and_a_wrong_method_are_problems(http):
    assert problem_of(http.get("/nowhere")) == (404, "not_found")
    answer = http.get("/bodies")
    assert problem_of(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_errors_of_the_framework_are_problems(http):
    assert problem_of(http.get("/raise/teapot")) == (418, "malformed_body")
    assert problem_of(http.get("/raise/gateway")) == (502, "internal_error")


def test_wrong_fields_are_listed_and_what_was_sent_is_not_echoed(http):
    answer = http.post("/bodies", {"amount_cents": "hunter2", "note": 1, "extra": "hunter2"})

    assert problem_of(answer) == (422, "validation_failed")
    assert [field["field"] for field in answer.json()["fields"]] == ["amount_cents", "note", "extra"]
    assert "hunter2" not in answer.text


def test_a_wrong_query_names_its_parameter(http):
    answer = http.get("/raise/bug?limit=0")

    assert problem_of(answer) == (422, "validation_failed")
    assert answer.json()["fields"][0]["field"] == "query.limit"


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount_cents": 1',
        b"\xff\xfe",
        b'"\xc3\x28"',
        b"[" * 30_000,
        b'{"amount_cents": ' + b"9" * 5_000 + b"}",
    ],
    ids=["cut", "utf-16", "not utf-8", "deep", "long integer"],
)
def test_a_body_that_is_not_json_is_malformed(http, body):
    answer = http.call("POST", "/bodies", content=body, headers=_JSON)

    assert problem_of(answer) == (400, "malformed_body")


def test_half_a_surrogate_pair_is_the_clients_error_wherever_it_shows(http):
    as_a_name = http.call("POST", "/bodies", content=b'{"\\ud800": 1, "amount_cents": 1}', headers=_JSON)

    assert problem_of(as_a_name) == (422, "validation_failed")
    assert problem_of(http.get("/raise/half")) == (400, "malformed_body")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1.0", "true", '"1"', "1e3", "null"])
def test_only_an_integer_is_an_integer(http, value):
    body = f'{{"amount_cents": {value}}}'.encode()

    answer = http.call("POST", "/bodies", content=body, headers=_JSON)

    assert problem_of(answer) == (422, "validation_failed")


def test_a_body_above_the_limit_is_refused_also_when_it_does_not_say_its_length(http):
    chunk = b" " * 65_536

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // len(chunk) + 1):
            yield chunk

    whole = http.call("POST", "/bodies", content=b" " * (BODY_BYTES_MAX + 1), headers=_JSON)
    streamed = http.call("POST", "/bodies", content=chunks(), headers=_JSON)

    assert problem_of(whole) == problem_of(streamed) == (413, "body_too_large")


def test_a_body_at_the_limit_is_taken(http):
    body = b'{"amount_cents": 1}'.ljust(BODY_BYTES_MAX)

    assert http.call("POST", "/bodies", content=body, headers=_JSON).status_code == 200


def test_a_foreign_exception_becomes_the_problem_it_means(http):
    answer = http.get("/raise/unreachable")

    assert problem_of(answer) == (503, "ledger_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "secret" not in answer.text


def test_a_bug_says_nothing_of_itself(http):
    answer = http.get("/raise/bug")

    assert problem_of(answer) == (500, "internal_error")
    assert "secret" not in answer.text


def test_openapi_shows_several_codes_of_one_status():
    shown = problems.responses("unknown_device", "unknown_event", "invalid_state")

    assert set(shown) == {404, 409}
    assert set(shown[404]["content"][MEDIA_TYPE]["examples"]) == {"unknown_device", "unknown_event"}
    json.dumps(shown)

"""What OpenAPI promises of all these calls, against requests that a generator makes from it, good and bad ones."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from services.identity import Scope
from tests.services.customers.platform import Platform, Who, a_platform

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES = 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    with a_platform(f"sqlite:///{folder / 'sparks.db'}", folder) as platform:
        yield platform


def documented(platform: Platform) -> dict[str, Any]:
    document: dict[str, Any] = platform.call("GET", "/openapi.json").json()
    return document


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
def test_every_call_keeps_what_openapi_promises(running, mode):
    ann, shop = running.customer(), running.retailer(f"SHOP{mode.name[:3]}")
    running.earn(ann, 400)
    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", running.app)
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.startswith("/v1/"):
            caller = shop if "authorizations" in operation.path else fresh(running, ann)
            checked(operation, caller, mode)()


def checked(operation: Any, caller: Who, mode: GenerationMode) -> Callable[[], None]:
    """The test of one call, by somebody who may make it; a good one has a good key too."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        key = {"Idempotency-Key": caller.platform.new_key()} if mode is GenerationMode.POSITIVE else {}
        case.call_and_validate(headers=caller.headers | key, checks=CHECKS)

    return check


def fresh(platform: Platform, who: Who) -> Who:
    """The same customer with another session: one of the calls ends it."""
    token = platform.tokens.issue(who.id, frozenset({Scope.CUSTOMER})).access_token
    return Who(platform, who.id, {"Authorization": f"Bearer {token}"})


STATEMENTS = ("/v1/statements", "/v1/statements/{date}")


def test_every_call_says_who_may_make_it_and_which_problems_it_answers(running):
    open_to_all = {("post", "/v1/customers"), ("post", "/v1/sessions"), *(("get", path) for path in STATEMENTS)}
    open_to_all |= {("get", "/v1/erasures/{erasure_id}"), ("put", "/v1/erasures/{index}/receipts/{member_id}")}
    for path, calls in documented(running)["paths"].items():
        for method, call in calls.items():
            if not path.startswith("/v1/"):
                continue
            assert call["summary"], path
            assert bool(call.get("security")) == ((method, path) not in open_to_all), (method, path)
            assert {"422", "503"} <= set(call["responses"]), path
            for status, answer in call["responses"].items():
                expected = {"application/problem+json"} if status >= "400" else {"application/json"}
                assert set(answer.get("content", expected)) == expected, (method, path, status)

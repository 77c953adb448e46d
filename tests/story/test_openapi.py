"""The whole interface in one document: what each call takes and answers, by example, and its errors as problems."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.clock import SimulatedClock
from services.embedded import Platform
from services.settings import Settings

MONDAY_NOON_S = 1_783_353_600


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("platform")
    settings = Settings(data_dir=folder, http_port=0, mqtt_port=0)
    with Platform(settings, SimulatedClock(MONDAY_NOON_S)) as platform:
        found: dict[str, Any] = httpx.get(f"{platform.base_url}/openapi.json").json()
    return found


def calls(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every call as `POST /v1/...`."""
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            yield f"{method.upper()} {path}", call


def has_example(document: dict[str, Any], content: dict[str, Any]) -> bool:
    """Is there one beside the schema, in it, or in what it refers to?"""
    schema = content.get("schema", {})
    named = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
    return any(place.get("example") or place.get("examples") for place in (content, schema, named))


def test_every_body_and_every_answer_in_json_has_an_example(document):
    without = set()
    for name, call in calls(document):
        parts = {"body": call.get("requestBody", {}), **call["responses"]}
        for part, said in parts.items():
            for media_type, content in said.get("content", {}).items():
                is_shown = "json" in media_type or part == "body"
                if is_shown and not has_example(document, content):
                    without.add((name, part))

    assert without == set()


def test_no_call_promises_the_frameworks_own_errors(document):
    assert "ValidationError" not in json.dumps(document)


def test_every_post_of_a_caller_says_what_is_wrong_with_a_key_or_a_body(document):
    wanted = {"idempotency_key_missing", "idempotency_key_malformed", "malformed_body", "body_too_large"}
    for name, call in calls(document):
        if name.startswith("POST /v1/") and call.get("security"):
            assert wanted <= codes_of(call), name


def test_where_the_key_is_optional_the_call_says_what_is_wrong_with_one(document):
    for path in ("/v1/customers", "/v1/sessions"):
        codes = codes_of(document["paths"][path]["post"])

        assert {"idempotency_key_malformed", "idempotency_key_reused", "request_in_progress"} <= codes
        assert "idempotency_key_missing" not in codes


def codes_of(call: dict[str, Any]) -> set[str]:
    """The problems that a call says it can answer."""
    said = (answer.get("content", {}).get("application/problem+json", {}) for answer in call["responses"].values())
    return {code for content in said for code in content.get("examples", {})}

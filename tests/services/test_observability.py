"""Events as JSON lines without secrets, figures, and whether a service is ready."""

import io
import json
import logging
from collections.abc import Mapping

import pytest
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services import problems
from services.observability import Check, configure_logging, count_requests, drop_secrets, observability_router
from tests.services.asgi import Http


@pytest.fixture
def stream():
    """Where events go; logging is as it was before when the test is through."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_an_event_is_one_json_line_with_its_fields(stream):
    structlog.get_logger().info("reading_accepted", sequence=8, generated_wh=250)

    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["sequence"], event["generated_wh"]) == (
        *("reading_accepted", "info"),
        *(8, 250),
    )
    assert event["timestamp"].endswith("Z")


def test_events_of_libraries_are_json_lines_too(stream):
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("some.library").exception("it broke")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "it broke"
    assert "ValueError" in json.loads(line)["exception"]


@pytest.mark.parametrize(
    "name",
    [
        *("password", "client_secret", "access_token", "Authorization", "seed", "private_key", "email", "e_mail"),
        *("claim_code", "checkout_code", "mqtt_password", "postal_code", "cookie"),
    ],
)
def test_fields_named_like_secrets_or_persons_are_dropped(stream, name):
    structlog.get_logger().info("something", **{name: "hunter2", "kept": 1})

    assert "hunter2" not in stream.getvalue()
    assert json.loads(stream.getvalue())["kept"] == 1


def test_fields_that_name_things_are_kept():
    fields = {"event": "x", "device_id": "unit-1", "seq": 1, "reason": "bad_signature", "kid": "ab", "index": 3}

    assert drop_secrets(None, "info", dict(fields)) == fields


def test_a_service_is_ready_when_all_its_checks_pass():
    state = {"database": True}
    http = _service({"database": lambda: state["database"], "broker": lambda: True})
    assert http.get("/healthz").json() == {"status": "alive"}
    assert http.get("/readyz").json() == {"status": "ready"}

    state["database"] = False

    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["code"], answer.json()["failing"]) == (503, "not_ready", ["database"])
    assert http.get("/healthz").status_code == 200


def test_a_check_that_raises_is_one_that_fails():
    def broken() -> bool:
        raise ConnectionError("no")

    assert _service({"broker": broken}).get("/readyz").status_code == 503


def test_requests_are_counted_by_the_template_of_their_route():
    http = _service({})
    http.get("/things/1")
    http.get("/things/2")
    http.get("/nowhere/3")
    http.get("/fails")
    http.get("/bug")
    http.call("BREW", "/fails")

    text = http.get("/metrics").text
    assert 'sparks_http_requests_total{method="GET",route="/things/{number}",status="200"} 2.0' in text
    assert 'sparks_http_requests_total{method="GET",route="(other)",status="404"} 1.0' in text
    assert 'sparks_http_requests_total{method="GET",route="/fails",status="409"} 1.0' in text
    assert 'sparks_http_requests_total{method="GET",route="/bug",status="500"} 1.0' in text
    assert 'sparks_http_requests_total{method="(other)",route="/fails",status="405"} 1.0' in text
    assert 'sparks_http_request_seconds_count{route="/things/{number}"} 2.0' in text
    assert "/things/1" not in text


def _service(ready_checks: Mapping[str, Check]) -> Http:
    app = FastAPI()
    registry = CollectorRegistry()
    problems.install(app)
    count_requests(app, registry=registry)
    app.include_router(observability_router(registry=registry, ready_checks=ready_checks))

    @app.get("/things/{number}")
    def thing(number: int) -> int:
        return number

    @app.get("/fails")
    def fails() -> None:
        raise problems.Problem("invalid_state", "no")

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError

    return Http(app)

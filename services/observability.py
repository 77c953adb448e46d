"""What an operator sees: one JSON line per event on standard error, counters, and whether a service is ready.

Owns how events and figures leave a process. Refuses to print what is secret or names a person: keys of that kind are
dropped from every event, whoever wrote it.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog
from fastapi import APIRouter, FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.problems import Problem, responses

_SECRET_NAME: Final = re.compile(
    r"secret|passw|token|authorization|cookie|seed|private|credential|claim_code|checkout_code|e_?mail|postal|full_name",
    re.IGNORECASE,
)
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "(other)"
_BUG: Final = 500

READY: Final = "ready"

Check = Callable[[], bool]


def drop_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: leave out every field whose name says that it is secret or names a person."""
    for name in [name for name in event if _SECRET_NAME.search(name)]:
        del event[name]
    return event


def configure_logging(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send our events and those of the libraries to `stream` (standard error) as JSON, a line each."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        drop_secrets,
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # What these say of each start and each connection is of no use to anybody.
    for library in ("alembic", "amqtt", "httpx", "transitions"):
        logging.getLogger(library).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def observability_router(
    *, registry: CollectorRegistry, ready_checks: Mapping[str, Check], status: Callable[[], str] = lambda: READY
) -> APIRouter:
    """Return the router of `/healthz` (the process answers), `/readyz` (it can do its work) and `/metrics`.

    ready_checks  by name; one that raises counts as not ready
    status        what a process that can do its work says of itself
    """
    router = APIRouter(tags=["observability"])

    @router.get("/healthz", summary="Is the process alive", responses=_told(status="alive"))
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", summary="Can it do its work", responses=responses("not_ready") | _told(status="ready"))
    async def readyz() -> dict[str, str]:
        failing = [name for name, check in ready_checks.items() if not await run_in_threadpool(_passes, name, check)]
        if failing:
            raise Problem("not_ready", f"Not ready: {', '.join(failing)}.", extras={"failing": failing})
        return {"status": status()}

    @router.get("/metrics", summary="Prometheus text", response_class=Response)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def count_requests(app: FastAPI, *, registry: CollectorRegistry) -> None:
    """Count the requests of `app` by route and status, and how long they took."""
    app.add_middleware(
        _RequestCounts,
        requests=Counter("sparks_http_requests", "Requests answered", ["method", "route", "status"], registry=registry),
        duration=Histogram(
            "sparks_http_request_seconds", "Time to the answer", ["route"], registry=registry, buckets=_SECONDS
        ),
    )


def _told(**members: str) -> dict[int | str, dict[str, Any]]:
    """An example of the answer, for OpenAPI."""
    return {200: {"content": {"application/json": {"example": members}}}}


def _passes(name: str, check: Check) -> bool:
    try:
        return check()
    except Exception as error:  # whatever it is, a service that cannot even be asked is not ready
        structlog.get_logger().warning("ready_check_failed", check=name, error=repr(error))
        return False


class _RequestCounts:
    """ASGI middleware. Routes are counted by their template, so that no client can make as many series as it likes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        requests: Counter,
        duration: Histogram,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._requests = requests
        self._duration = duration
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._monotonic()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"], started)
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except Exception:
            self._count(scope, _BUG, started)  # the answer to a bug is sent outside of us
            raise

    def _count(self, scope: Scope, status: int, started: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        route = getattr(scope.get("route"), "path", _OTHER)
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(route).observe(self._monotonic() - started)

"""Errors as HTTP clients see them: RFC 9457 problem documents with a stable `code`, and the one table of statuses.

Owns every code that leaves the platform. A program raises `Problem(code, detail)` and never picks a status; a foreign
exception becomes a problem in its adapter, or through `install`.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE: Final = "application/problem+json"
BODY_BYTES_MAX: Final = 64 * 1024
LARGE_BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Ten thousand units in one call need about 3 MiB; only callers with a token get so far."""
_LARGE_BODIES: Final = ("/v1/devices", "/internal/")
_PROPOSALS: Final = "/v1/proposals"
"""One may carry a whole contract set; what lies below it, an approval, is small and open to all."""
FIELDS_SHOWN_MAX: Final = 20
"""More errors in one body than anybody reads would take long to list."""

STATUS_BY_CODE: Final[Mapping[str, int]] = {
    # HTTP itself
    "malformed_body": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "validation_failed": 422,
    "too_many_requests": 429,
    "internal_error": 500,
    "ledger_unavailable": 503,
    "database_unavailable": 503,
    "broker_unavailable": 503,
    "not_ready": 503,
    # asking twice
    "idempotency_key_missing": 400,
    "idempotency_key_malformed": 400,
    "idempotency_key_reused": 422,
    "request_in_progress": 409,
    # members
    "delivery_not_signed_for": 409,
    "finality_pending": 503,
    # lists
    "invalid_cursor": 400,
    # signing in
    "wrong_credentials": 401,
    "email_taken": 409,
    "customer_closed": 409,
    # what the contracts reject (contracts.effects.Reason)
    "invalid_id": 422,
    "unknown_customer": 404,
    "customer_exists": 409,
    "unknown_recipient": 422,
    "invalid_erasure": 422,
    "rows_changed": 409,
    "unknown_level": 422,
    "unknown_identity_level": 422,
    "unknown_device": 404,
    "device_exists": 409,
    "invalid_device_id": 422,
    "device_suspended": 409,
    "unknown_key": 409,
    "invalid_nameplate": 422,
    "unknown_claim_code": 404,
    "claim_code_expired": 410,
    "claim_code_exists": 409,
    "key_number_taken": 409,
    "key_in_use": 409,
    "bad_key_signature": 422,
    "malformed_cose": 422,
    "malformed_pack": 422,
    "duplicate": 409,
    "equivocation": 409,
    "declared_lost": 409,
    "too_early": 409,
    "too_far_ahead": 409,
    "not_yet_due": 409,
    "nothing_lost": 409,
    "unknown_pack": 404,
    "not_refused": 409,
    "refused_again": 409,
    "unknown_event": 404,
    "event_exists": 409,
    "event_too_soon": 422,
    "invalid_event": 422,
    "invalid_hour": 422,
    "invalid_amount": 422,
    "nothing_to_release": 409,
    "retailer_exists": 409,
    "unknown_retailer": 404,
    "code_exists": 409,
    "unknown_authorization": 404,
    "authorization_exists": 409,
    "invalid_state": 409,
    "capture_above_hold": 422,
    "refund_above_sale": 422,
    "refund_too_late": 422,
    "reserve_short": 409,
    "invalid_day": 422,
    "statement_exists": 409,
    "unknown_statement": 404,
    "invalid_root": 422,
    "total_differs": 422,
    "ledger_already_open": 409,
    "stale_serial": 409,
    "too_few_approvals": 422,
    "bad_approval": 422,
    "approval_key_expired": 422,
    "approved_twice": 422,
    "approver_not_member": 422,
    "unknown_member": 404,
    "unknown_proposal": 404,
    "too_many_proposals": 429,
    "member_exists": 409,
    "invalid_member": 422,
    "unknown_role": 422,
    "invalid_cosign_name": 422,
    "cosign_name_taken": 409,
    "invalid_member_key": 422,
    "key_not_proven": 422,
    "unknown_member_key": 404,
    "too_many_keys": 409,
    "last_govern_key": 409,
    "last_member": 409,
    "invalid_quorum": 422,
    "quorum_out_of_reach": 409,
    "malformed_bundle": 422,
    "bundle_of_other_version": 422,
    "invalid_parameters": 422,
    "invalid_simulation": 422,
    "unknown_contracts": 404,
    "contracts_active": 409,
    "contracts_unusable": 422,
    "other_contracts": 409,
}

_HEADERS_BY_CODE: Final[Mapping[str, Mapping[str, str]]] = {
    "unauthorized": {"WWW-Authenticate": "Bearer"},
    "wrong_credentials": {"WWW-Authenticate": "Bearer"},
    "ledger_unavailable": {"Retry-After": "1"},
    "database_unavailable": {"Retry-After": "1"},
    "broker_unavailable": {"Retry-After": "1"},
    "not_ready": {"Retry-After": "1"},
    "finality_pending": {"Retry-After": "1"},
    "request_in_progress": {"Retry-After": "1"},
}
_CODE_BY_STATUS: Final[Mapping[int, str]] = {
    400: "malformed_body",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "too_many_requests",
}
_CODE_BY_MISSING_HEADER: Final[Mapping[str, str]] = {"Idempotency-Key": "idempotency_key_missing"}
_FIELD_NAME_LENGTH_MAX: Final = 200
_FASTAPIS_ERROR: Final = "HTTPValidationError"


class Problem(HTTPException):
    """An answer other than the one asked for.

    code    a key of STATUS_BY_CODE
    detail  a sentence for the person behind the client, about this occurrence
    extras  further members of the document (RFC 9457 3.2)
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        extras: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        merged = {**_HEADERS_BY_CODE.get(code, {}), **(headers or {})}
        super().__init__(STATUS_BY_CODE[code], detail, headers=merged)
        self.code = code
        self.extras = extras or {}

    @property
    def document(self) -> dict[str, object]:
        """The members of the problem document."""
        return _document(self.status_code, self.code, self.detail, self.extras)


def install(app: FastAPI, *, code_by_exception: Mapping[type[Exception], str] | None = None) -> None:
    """Make every error of `app` a problem, and refuse bodies that are too large.

    code_by_exception  what a foreign exception means to a client, such as the ledger's LedgerUnavailable
    """
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(UnicodeEncodeError, _of_half_a_character)
    app.add_exception_handler(Exception, _of_bug)
    for exception, code in (code_by_exception or {}).items():
        app.add_exception_handler(exception, _handler_of(code))
    app.add_middleware(_BodyLimit)
    _document_our_errors_only(app)


def _document_our_errors_only(app: FastAPI) -> None:
    """Take out what FastAPI says by itself of a 422, of routes that do not tell theirs: it has another shape."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for call in (call for path in document["paths"].values() for call in path.values()):
            if _FASTAPIS_ERROR in json.dumps(call["responses"].get("422", {})):
                del call["responses"]["422"]
        for name in (_FASTAPIS_ERROR, "ValidationError"):
            document.get("components", {}).get("schemas", {}).pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's "Extending OpenAPI" has it


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of these problems, for `responses=` of a route or router."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status = STATUS_BY_CODE[code]
        shown = by_status.setdefault(
            status,
            {
                "description": HTTPStatus(status).phrase,
                "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}},
            },
        )
        example = _document(status, code, "What happened, in a sentence.", {})
        shown["content"][MEDIA_TYPE]["examples"][code] = {"value": example}
    return by_status


_SCHEMA: Final = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable; decide on this"},
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def _document(status: int, code: str, detail: str, extras: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **extras,
    }


def _response(document: Mapping[str, object], status: int, headers: Mapping[str, str] | None = None) -> Response:
    # ASCII, because a field name that a client sent may hold half of a surrogate pair.
    body = json.dumps(document, ensure_ascii=True).encode("ascii")
    return Response(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


async def _of_http(_request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return _response(error.document, error.status_code, error.headers)
    if not isinstance(error, HTTPException):
        raise TypeError(f"not an HTTPException: {error!r}")
    code = _CODE_BY_STATUS.get(error.status_code, "malformed_body" if error.status_code < 500 else "internal_error")
    return _response(_document(error.status_code, code, error.detail, {}), error.status_code, error.headers)


async def _of_validation(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"not a RequestValidationError: {error!r}")
    errors = error.errors()
    if any(one["type"] == "json_invalid" for one in errors):
        problem = Problem("malformed_body", "The body is not JSON.")
    elif missing := _missing_header(errors):
        problem = Problem(_CODE_BY_MISSING_HEADER[missing], f"This call needs the header {missing}.")
    else:
        fields = [{"field": _field_name(one["loc"]), "message": one["msg"]} for one in errors[:FIELDS_SHOWN_MAX]]
        problem = Problem(
            "validation_failed", "The request does not have the shape asked for.", extras={"fields": fields}
        )
    return _response(problem.document, problem.status_code)


def _missing_header(errors: Sequence[Any]) -> str | None:
    """The header whose absence has a code of its own, if it is absent."""
    names = (one["loc"][1] for one in errors if one["type"] == "missing" and one["loc"][0] == "header")
    return next((name for name in names if name in _CODE_BY_MISSING_HEADER), None)


async def _of_half_a_character(_request: Request, _error: Exception) -> Response:
    # JSON can spell half of a surrogate pair, Python can hold it, and nothing after that can write it down.
    problem = Problem("malformed_body", "A text in the request is not Unicode.")
    return _response(problem.document, problem.status_code)


async def _of_bug(_request: Request, _error: Exception) -> Response:
    # What went wrong is in the log; it is not the client's to know.
    problem = Problem("internal_error", "Something went wrong here. Ask again with the same Idempotency-Key.")
    return _response(problem.document, problem.status_code)


def _handler_of(code: str) -> Any:
    async def handle(_request: Request, _error: Exception) -> Response:
        problem = Problem(code, "The platform cannot answer now. Ask again with the same Idempotency-Key.")
        return _response(problem.document, problem.status_code, problem.headers)

    return handle


def _field_name(location: tuple[int | str, ...]) -> str:
    """Where the error is, without saying that a body is a body: `devices.0.zone`."""
    parts = location[1:] if location and location[0] == "body" else location
    return ".".join(str(part) for part in parts)[:_FIELD_NAME_LENGTH_MAX]


class _BodyLimit:
    """ASGI middleware: a body above its limit is refused before more than that is in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received_bytes = 0
        path = scope["path"]
        is_large = path.startswith(_LARGE_BODIES) or path == _PROPOSALS
        bytes_max = LARGE_BODY_BYTES_MAX if is_large else BODY_BYTES_MAX

        async def receive_counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > bytes_max:
                raise Problem("body_too_large", f"A body has at most {bytes_max} bytes.")
            return message

        await self._app(scope, receive_counted, send)

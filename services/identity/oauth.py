"""`/oauth/token` (RFC 6749 4.4, client credentials) and the documents under `/.well-known/`."""

import base64
import binascii
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from services.identity.clients import Client, Clients
from services.identity.tokens import TOKEN_S, Scope, Tokens, published_key
from services.keys import Keys, Use
from services.problems import responses

ORGANISATION_SCOPES: Final = tuple(scope for scope in Scope if scope is not Scope.CUSTOMER)
PUBLISHED_USES: Final = (Use.RECEIPTS, Use.COMMANDS, Use.TOKENS)

_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM: Final = "application/x-www-form-urlencoded"
_FORM_FIELDS_MAX: Final = 20


def _error(error: str, description: str, *, status: int) -> dict[str, str | int]:
    return {
        "error": error,
        "error_description": description,
        "code": error,
        "title": HTTPStatus(status).phrase,
        "status": status,
    }


def _told(description: str, **examples: dict[str, Any]) -> dict[str, Any]:
    """An answer of `/oauth/token` as OpenAPI shows it."""
    shown = {name: {"value": value} for name, value in examples.items()}
    return {
        "description": description,
        "content": {"application/json": {"schema": {"type": "object"}, "examples": shown}},
    }


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = responses(
    "body_too_large", "internal_error", "database_unavailable"
) | {
    200: _told(
        "A token",
        granted={
            "access_token": "eyJhbGciOi...",
            "token_type": "Bearer",
            "expires_in": TOKEN_S,
            "scope": "fleet programme",
        },
    ),
    400: _told(
        "RFC 6749 5.2",
        invalid_request=_error("invalid_request", "grant_type is missing.", status=400),
        unsupported_grant_type=_error("unsupported_grant_type", "Only client_credentials is supported.", status=400),
        invalid_scope=_error("invalid_scope", "The client may not have this scope.", status=400),
    ),
    401: _told(
        "RFC 6749 5.2",
        invalid_client=_error("invalid_client", "Unknown client, or wrong secret.", status=401),
    ),
}

_DOCUMENTATION: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "const": "client_credentials"},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string", "format": "password"},
                        "scope": {"type": "string"},
                    },
                },
                "example": {
                    "grant_type": "client_credentials",
                    "client_id": "operator",
                    "client_secret": "the secret",
                    "scope": "fleet programme",
                },
            }
        },
    }
}


class _Refused(Exception):
    """An error of RFC 6749 5.2, with what our other clients decide on beside it: `code`, `title` and `status`."""

    def __init__(self, error: str, description: str, *, status: int = 400, challenge: str | None = None) -> None:
        super().__init__(description)
        self.response = JSONResponse(
            _error(error, description, status=status),
            status,
            headers=_NO_STORE | ({"WWW-Authenticate": challenge} if challenge else {}),
        )


def oauth_router(*, tokens: Tokens, clients: Clients) -> APIRouter:
    """Return the router of `/oauth/token`."""
    router = APIRouter(tags=["identity"])

    @router.post(
        "/oauth/token",
        openapi_extra=_DOCUMENTATION,
        summary="A token for an organisation's client",
        response_class=JSONResponse,
        responses=_ANSWERS,
    )
    async def token(request: Request) -> JSONResponse:
        """Client credentials in the form or by HTTP Basic; `scope` asks for less than the client may have."""
        try:
            form = await _form_of(request)
            client = await _client_of(request, form, clients)
            scopes = _scopes_of(form, client)
        except _Refused as refused:
            return refused.response
        issued = tokens.issue(client.client_id, scopes, retailer_id=client.retailer_id)
        answer = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in_s,
            "scope": " ".join(sorted(scopes)),
        }
        return JSONResponse(answer, headers=_NO_STORE)

    return router


def well_known_router(*, keys: Keys) -> APIRouter:
    """Return the router of `/.well-known/jwks.json` and `/.well-known/oauth-authorization-server`."""
    router = APIRouter(prefix="/.well-known", tags=["identity"])
    key_set = {"keys": [published_key(keys.public_key(use), sparks_use=use) for use in PUBLISHED_USES]}

    example = {"keys": [published_key(bytes(32), sparks_use=Use.RECEIPTS)]}

    @router.get(
        "/jwks.json",
        summary="The keys that sign receipts, commands and tokens",
        responses={200: {"content": {"application/json": {"example": example}}}},
    )
    async def jwks() -> dict[str, list[dict[str, str]]]:
        return key_set

    @router.get(
        "/oauth-authorization-server",
        summary="RFC 8414 metadata",
        responses={200: {"content": {"application/json": {"example": _metadata("https://sparks.example")}}}},
    )
    async def metadata(request: Request) -> dict[str, str | list[str]]:
        return _metadata(str(request.base_url).rstrip("/"))

    return router


def _metadata(issuer: str) -> dict[str, str | list[str]]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": [str(scope) for scope in ORGANISATION_SCOPES],
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


async def _form_of(request: Request) -> dict[str, str]:
    """The form's fields; anything but one well-formed form, each field once, is `invalid_request`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise _Refused("invalid_request", f"The body is sent as {_FORM}.")
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_FORM_FIELDS_MAX
        )
    except ValueError:
        raise _Refused("invalid_request", "The form is malformed.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Refused("invalid_request", "A field is given twice.")
    return fields


async def _client_of(request: Request, form: Mapping[str, str], clients: Clients) -> Client:
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise _Refused("invalid_request", "grant_type is missing.")
    if grant_type != "client_credentials":
        raise _Refused("unsupported_grant_type", "Only client_credentials is supported.")
    authorization = request.headers.get("authorization")
    if authorization is not None and "client_secret" in form:
        raise _Refused("invalid_request", "Credentials are given twice.")
    shown = (form.get("client_id"), form.get("client_secret")) if authorization is None else _basic(authorization)
    client_id, secret = shown
    client = None
    if client_id is not None and secret is not None:
        client = await run_in_threadpool(clients.proven, client_id, secret)
    if client is None:
        challenge = 'Basic realm="sparks", charset="UTF-8"'
        raise _Refused("invalid_client", "Unknown client, or wrong secret.", status=401, challenge=challenge)
    return client


def _basic(authorization: str) -> tuple[str | None, str | None]:
    """User name and password of HTTP Basic, each form-encoded before (RFC 6749 2.3.1); None, None if malformed."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None, None
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else (None, None)


def _scopes_of(form: Mapping[str, str], client: Client) -> frozenset[str]:
    asked = frozenset(form.get("scope", "").split())
    if not asked:
        return client.scopes
    if not asked <= client.scopes:
        raise _Refused("invalid_scope", "The client may not have this scope.")
    return asked

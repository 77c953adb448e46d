"""Which problems each of these calls can answer, for OpenAPI."""

from typing import Any

from services.problems import responses

_ALWAYS = ("validation_failed", "malformed_body", "body_too_large", "internal_error", "ledger_unavailable")
_SIGNED_IN = ("unauthorized", "forbidden")
_KEYED = ("idempotency_key_missing", "idempotency_key_malformed", "idempotency_key_reused", "request_in_progress")


def open_to_all(*codes: str) -> dict[int | str, dict[str, Any]]:
    """A call without a token."""
    return responses(*_ALWAYS, *codes)


def signed_in(*codes: str) -> dict[int | str, dict[str, Any]]:
    """A customer's call without an Idempotency-Key."""
    return responses(*_ALWAYS, *_SIGNED_IN, *codes)


def keyed(*codes: str) -> dict[int | str, dict[str, Any]]:
    """A customer's POST."""
    return responses(*_ALWAYS, *_SIGNED_IN, *_KEYED, *codes)

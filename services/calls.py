"""What many calls have in common, as OpenAPI tells it: the problems that any of them can answer, and the empty body.

Owns these lists for all programs. What one call alone can answer stands beside that call.
"""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from services.problems import responses

KEY_OPTIONAL: Final = ("idempotency_key_malformed", "idempotency_key_reused", "request_in_progress")
"""A call that takes an Idempotency-Key and does not need one."""

_ALWAYS: Final = ("validation_failed", "malformed_body", "body_too_large", "internal_error", "ledger_unavailable")
_SIGNED_IN: Final = ("unauthorized", "forbidden")
_KEYED: Final = ("idempotency_key_missing", *KEY_OPTIONAL)


def open_to_all(*codes: str) -> dict[int | str, dict[str, Any]]:
    """A call without a token."""
    return responses(*_ALWAYS, *codes)


def signed_in(*codes: str) -> dict[int | str, dict[str, Any]]:
    """A call with a token and without an Idempotency-Key."""
    return responses(*_ALWAYS, *_SIGNED_IN, *codes)


def keyed(*codes: str) -> dict[int | str, dict[str, Any]]:
    """A call with a token and an Idempotency-Key: every POST that has a caller."""
    return responses(*_ALWAYS, *_SIGNED_IN, *_KEYED, *codes)


class NothingBody(BaseModel):
    """There is nothing to say."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}]})

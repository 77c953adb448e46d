"""What tills send and are answered, as OpenAPI tells it."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from contracts.redemption import Decline, State

_Rfc3339: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
_TEXT = r"^[^\x00]*$"
"""A NUL is text nowhere."""


class AuthorizationBody(BaseModel):
    """A purchase that a customer pays with a checkout code."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"terminal_id": "TILL1", "amount_cents": 1999, "checkout_code": "402918374650192834"},
                {
                    "terminal_id": "TILL1",
                    "amount_cents": 5000,
                    "checkout_code": "402918374650192834",
                    "reference": "order 7",
                    "capture": False,
                },
            ]
        },
    )

    terminal_id: Annotated[str, Field(max_length=64, pattern=_TEXT)]
    amount_cents: Annotated[StrictInt, Field(description="below 1 or above 99,999,999: declined as `amount_invalid`")]
    checkout_code: Annotated[str, Field(max_length=64, pattern=_TEXT, description="18 digits")]
    reference: Annotated[
        str, Field(max_length=140, pattern=_TEXT, description="kept on the ledger for ever: never a person's name")
    ] = ""
    capture: Annotated[StrictBool, Field(description="false: only hold the amount, and capture it later")] = True


class AmountBody(BaseModel):
    """How much of it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"amount_cents": 500}, {}]})

    amount_cents: Annotated[StrictInt | None, Field(description="left out: all of it")] = None


class Authorization(BaseModel):
    """A purchase as it stands after the call."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5f0c1b7e9a3d4c2e8b6a7f1d0e9c8b7a",
                    "status": "captured",
                    "terminal_id": "TILL1",
                    "amount_cents": 1999,
                    "micro_sparks": 1_999_000_000,
                    "bonus_cents": 0,
                    "captured_cents": 1999,
                    "refunded_cents": 0,
                    "refunded_micro_sparks": 0,
                    "created_at": "2026-07-06T16:00:00Z",
                    "entry_index": 4711,
                }
            ]
        }
    )

    id: str
    status: State
    terminal_id: str
    amount_cents: Annotated[int, Field(description="of the sale once captured, before that of the hold")]
    micro_sparks: Annotated[int, Field(description="what amount_cents costs the customer; 0 if declined")]
    bonus_cents: Annotated[int, Field(description="what the retailer bears of amount_cents")]
    captured_cents: int
    refunded_cents: int
    refunded_micro_sparks: int
    created_at: _Rfc3339
    entry_index: Annotated[int, Field(description="the ledger's entry that this answer tells of")]
    decline_reason: Decline | None = None
    reference: str | None = None
    expires_at: Annotated[_Rfc3339 | None, Field(description="from when on a hold cannot be captured")] = None

"""What customers send and are answered, as OpenAPI tells it."""

from typing import Annotated, Any, Final, Literal

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints

from services.customers.energy import Resolution
from services.customers.statement import KINDS

_NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f]*$"
EMAIL_LENGTH_MAX: Final = 254

Language = Literal["en", "fr"]
Level = Annotated[str, Field(min_length=1, max_length=32, examples=["saver"], description="observer, saver or partner")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_NO_CONTROLS)]
PostalCode = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_upper=True, min_length=3, max_length=12, pattern=r"^[A-Za-z0-9 -]+$"),
]
Password = Annotated[str, Field(min_length=8, max_length=256)]


def normal_email(text: str) -> str:
    # Whether mail arrives is not asked: only that it is one address, and the same one however it is typed.
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None


def _given(consent: bool) -> bool:
    if not consent:
        raise ValueError("nobody takes part without consent")
    return consent


Rfc3339 = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A moment in an answer, UTC."""

Email = Annotated[
    str,
    Field(max_length=EMAIL_LENGTH_MAX, json_schema_extra={"format": "email"}),
    AfterValidator(normal_email),
]


def _like(*examples: dict[str, Any], extra: Literal["forbid", "ignore"] = "ignore") -> ConfigDict:
    return ConfigDict(extra=extra, json_schema_extra={"examples": list(examples)})


# --- what is sent ----------------------------------------------------------------------------------------------------


class EnrolmentBody(BaseModel):
    """A person who wants to take part."""

    model_config = _like(
        {
            "email": "ann@example.com",
            "password": "correct horse battery",
            "name": "Ann Tremblay",
            "postal_code": "M5V 3L9",
            "language": "en",
            "consent": True,
        },
        extra="forbid",
    )

    email: Email
    password: Password
    name: Name
    postal_code: PostalCode
    language: Language
    consent: Annotated[
        StrictBool,
        Field(description="to the programme's terms and its use of personal data", json_schema_extra={"const": True}),
        AfterValidator(_given),
    ]
    participation_level: Level | None = None


class SignInBody(BaseModel):
    """Who comes, and how they prove it."""

    model_config = _like({"email": "ann@example.com", "password": "correct horse battery"}, extra="forbid")

    email: Annotated[str, Field(max_length=EMAIL_LENGTH_MAX)]
    password: Annotated[str, Field(max_length=256)]


class ChangeBody(BaseModel):
    """What is to be different; what is left out stays."""

    model_config = _like({"participation_level": "partner"}, {"language": "fr"}, extra="forbid")

    # A factory, because OpenAPI would show a plain default as what is meant when a field is left out.
    participation_level: Annotated[Level, Field(default_factory=str)]
    language: Annotated[Language, Field(default_factory=lambda: "en")]
    name: Annotated[Name, Field(default_factory=str)]
    postal_code: Annotated[PostalCode, Field(default_factory=str)]


class ClaimBody(BaseModel):
    """The claim code that came with a unit."""

    model_config = _like({"claim_code": "K7QF-2M9X-PD4T"}, extra="forbid")

    claim_code: Annotated[str, Field(min_length=1, max_length=128)]


class CheckoutCodeBody(BaseModel):
    """How much the code is good for."""

    model_config = _like({"max_cents": 5000}, {}, extra="forbid")

    max_cents: Annotated[StrictInt | None, Field(description="default 10000")] = None


class LeavingBody(BaseModel):
    """What becomes of what is left."""

    model_config = _like({}, {"transfer_to": "0a1b2c3d4e5f60718293a4b5c6d7e8f9"}, extra="forbid")

    transfer_to: Annotated[
        str | None, Field(max_length=64, description="another customer_id gets all of it; left out: paid out")
    ] = None


class SignedReceiptBody(BaseModel):
    """An erasure receipt (deterministic CBOR) and the member's Ed25519 signature over it, in base64url."""

    model_config = _like({"receipt": "h25zcGFya3M...", "signature": "kX3v..."}, extra="forbid")

    receipt: Annotated[str, Field(max_length=2_000)]
    signature: Annotated[str, Field(max_length=100)]


# --- what is answered ------------------------------------------------------------------------------------------------


class Enrolled(BaseModel):
    """The pseudonym that the ledger knows the person by."""

    model_config = _like({"customer_id": "5f0c1b7e9a3d4c2e8b6a7f1d0e9c8b7a"})

    customer_id: str


class Session(BaseModel):
    """A bearer token and its life in seconds."""

    model_config = _like({"access_token": "eyJhbGciOi...", "token_type": "Bearer", "expires_in": 900})

    access_token: Annotated[str, Field(default_factory=str, description="in the first answer only")]
    token_type: Literal["Bearer"]
    expires_in: int
    code: Annotated[str, Field(default_factory=str, description="secret_already_shown: a repeat")]


class Me(BaseModel):
    """A customer about themself."""

    model_config = _like(
        {
            "customer_id": "5f0c1b7e9a3d4c2e8b6a7f1d0e9c8b7a",
            "email": "ann@example.com",
            "name": "Ann Tremblay",
            "postal_code": "M5V 3L9",
            "language": "en",
            "participation_level": "saver",
            "participation_level_next": "partner",
            "effective_at": "2026-07-07T04:00:00Z",
            "identity": "verified",
            "identity_expires_at": "2027-07-01T00:00:00Z",
            "frozen": False,
            "consent": {"version": "2026-11", "at": "2026-07-06T16:00:00Z"},
            "enrolled_at": "2026-07-06T16:00:00Z",
        }
    )

    customer_id: str
    email: str
    name: str
    postal_code: str
    language: Language
    participation_level: Annotated[str, Field(description="now")]
    participation_level_next: Annotated[str | None, Field(description="from effective_at on; null: no change ahead")]
    effective_at: Rfc3339 | None
    identity: Annotated[str, Field(description="unverified, verified or enhanced; past its expiry: unverified")]
    identity_expires_at: Rfc3339 | None
    frozen: bool
    consent: "Consent"
    enrolled_at: Rfc3339


class Consent(BaseModel):
    """To which text the person agreed, and when."""

    version: str
    at: Rfc3339


class FinalStatement(BaseModel):
    """What there was when the account was closed, and what became of it."""

    closed_at: Rfc3339
    balance_micro_sparks: int
    held_micro_sparks: Annotated[int, Field(description="0: nobody leaves with an open hold")]
    lifetime_micro_sparks: int
    lapsed_micro_sparks: Annotated[int, Field(description="earned, and never funded until now")]
    paid_out_cents: int
    transferred_micro_sparks: int
    below_a_cent_micro_sparks: Annotated[int, Field(description="too little to pay out: stays with the programme")]
    devices_left: list[str]


class SignedReceipt(BaseModel):
    """One copy's word that it has erased; the operator's is signed with its key for receipts."""

    who: Annotated[str, Field(description="operator, or a member's id")]
    erased_at: Rfc3339
    backups_expire_at: Annotated[Rfc3339, Field(description="when no backup has it any more")]
    receipt: Annotated[str, Field(description="deterministic CBOR, base64url")]
    signature: Annotated[str, Field(description="Ed25519 over the receipt, base64url")]


class Erasure(BaseModel):
    """A departure: the final statement, and which copies of the ledger have erased."""

    model_config = _like(
        {
            "erasure_id": "9d2f0c1b7e9a3d4c2e8b6a7f1d0e9c8b",
            "state": "erased",
            "entry_index": 4713,
            "final_statement": {
                "closed_at": "2026-07-06T16:00:00Z",
                "balance_micro_sparks": 212_500_000,
                "held_micro_sparks": 0,
                "lifetime_micro_sparks": 950_000_000,
                "lapsed_micro_sparks": 0,
                "paid_out_cents": 212,
                "transferred_micro_sparks": 0,
                "below_a_cent_micro_sparks": 500_000,
                "devices_left": ["unit-1"],
            },
            "receipts": [
                {
                    "who": "operator",
                    "erased_at": "2026-07-06T16:00:00Z",
                    "backups_expire_at": "2026-08-10T16:00:00Z",
                    "receipt": "h25zcGFya3M...",
                    "signature": "kX3v...",
                }
            ],
            "waiting_for": ["auditor-1"],
        }
    )

    erasure_id: Annotated[str, Field(description="keep it: whoever knows it may ask /v1/erasures/{id}")]
    state: Literal["erasing", "erased"]
    entry_index: Annotated[int | None, Field(description="the ledger entry that erases; null: not yet")]
    final_statement: FinalStatement
    receipts: list[SignedReceipt]
    waiting_for: Annotated[list[str], Field(description="members whose copies have not answered yet")]


class Frozen(BaseModel):
    """Is spending stopped?"""

    model_config = _like({"frozen": True})

    frozen: bool


class Claimed(BaseModel):
    """The unit that is the customer's now."""

    model_config = _like({"device_id": "unit-1"})

    device_id: str


class Device(BaseModel):
    """A unit that the customer holds, and how far its packs have come."""

    device_id: str
    claimed_at: Rfc3339
    zone: str
    pv_nameplate_w: int
    battery_capacity_wh: int
    battery_power_w: int
    suspended: bool
    last_seq: Annotated[int, Field(description="the last pack decided; 0: none yet")]
    last_interval_end_at: Annotated[Rfc3339 | None, Field(description="end of the last accepted interval")]


class Devices(BaseModel):
    """The units that the customer holds, all of them."""

    model_config = _like(
        {
            "items": [
                {
                    "device_id": "unit-1",
                    "claimed_at": "2026-07-01T16:00:00Z",
                    "zone": "toronto",
                    "pv_nameplate_w": 7600,
                    "battery_capacity_wh": 13500,
                    "battery_power_w": 5000,
                    "suspended": False,
                    "last_seq": 288,
                    "last_interval_end_at": "2026-07-06T16:00:00Z",
                }
            ],
            "next_cursor": None,
        }
    )

    items: list[Device]
    next_cursor: str | None


class Sparks(BaseModel):
    """A customer's sparks: balance = available + held; what is deferred is in none of the others."""

    model_config = _like(
        {
            "balance_micro_sparks": 212_500_000,
            "held_micro_sparks": 12_500_000,
            "available_micro_sparks": 200_000_000,
            "deferred_micro_sparks": 0,
            "value_cents": 200,
            "lifetime_micro_sparks": 950_000_000,
            "avoided_mg_co2e": 1_406_000,
        }
    )

    balance_micro_sparks: int
    held_micro_sparks: int
    available_micro_sparks: int
    deferred_micro_sparks: Annotated[int, Field(description="earned, and waiting for the programme's reserve")]
    value_cents: Annotated[int, Field(description="what the available ones buy")]
    lifetime_micro_sparks: Annotated[int, Field(description="all ever minted to the customer")]
    avoided_mg_co2e: Annotated[int, Field(description="an estimate for your eyes, never a claim")]


class SparksEntry(BaseModel):
    """One ledger entry that moved or deferred the customer's sparks."""

    index: int
    at: Rfc3339
    kind: Annotated[str, Field(description=", ".join(KINDS))]
    micro_sparks: Annotated[int, Field(description="signed; all lines together are the balance")]
    awards: Annotated[dict[str, int], Field(description="what a pack earned, by rule")]
    held_micro_sparks: Annotated[int | None, Field(description="change of what is held")] = None
    deferred_micro_sparks: Annotated[int | None, Field(description="change of what waits for the reserve")] = None
    device_id: str | None = None
    retailer: Annotated[str | None, Field(description="retailer_id")] = None
    retailer_name: str | None = None
    authorization_id: str | None = None
    amount_cents: Annotated[int | None, Field(description="of the sale, at the till")] = None


class SparksEntries(BaseModel):
    """Newest first."""

    model_config = _like(
        {
            "items": [
                {
                    "index": 4712,
                    "at": "2026-07-06T16:05:00Z",
                    "kind": "purchase",
                    "micro_sparks": -100_000_000,
                    "awards": {},
                    "retailer": "R4K2QW7ZT9XB3MC",
                    "retailer_name": "Corner Grocery",
                    "authorization_id": "5f0c1b7e9a3d4c2e8b6a7f1d0e9c8b7a",
                    "amount_cents": 100,
                },
                {
                    "index": 4711,
                    "at": "2026-07-06T16:00:00Z",
                    "kind": "earned",
                    "micro_sparks": 1_250_000,
                    "awards": {"self_supply": 1_250_000},
                    "device_id": "unit-1",
                },
            ],
            "next_cursor": "NDcxMQ",
        }
    )

    items: list[SparksEntry]
    next_cursor: Annotated[str | None, Field(description="null: that was all")]


class EnergyStep(BaseModel):
    """Sums over one step, in wh."""

    start_at: Rfc3339
    end_at: Rfc3339
    pv_wh: int
    load_wh: int
    charge_wh: int
    discharge_wh: int
    import_wh: int
    export_wh: int


class Energy(BaseModel):
    """Steps in which nothing was measured are left out."""

    model_config = _like(
        {
            "resolution": "hour",
            "from": "2026-07-06T16:00:00Z",
            "to": "2026-07-06T18:00:00Z",
            "items": [
                {
                    "start_at": "2026-07-06T16:00:00Z",
                    "end_at": "2026-07-06T17:00:00Z",
                    "pv_wh": 4200,
                    "load_wh": 900,
                    "charge_wh": 2500,
                    "discharge_wh": 0,
                    "import_wh": 0,
                    "export_wh": 800,
                }
            ],
        }
    )

    resolution: Resolution
    since: Annotated[Rfc3339, Field(alias="from")]
    until: Annotated[Rfc3339, Field(alias="to")]
    items: list[EnergyStep]


class CheckoutCode(BaseModel):
    """Good for one approval until it expires; the PAN at a till is `9` and the code."""

    model_config = _like({"code": "402918374650192834", "expires_at": "2026-07-06T16:05:00Z"})

    code: str
    expires_at: Rfc3339

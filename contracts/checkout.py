"""The commands of a till: who takes sparks, a customer's code, and what becomes of a purchase."""

from dataclasses import dataclass
from typing import ClassVar, Final

from contracts.units import Bp, Cents, LocalDay, UnixSeconds

CHECKOUT: Final = "checkout"


@dataclass(frozen=True, slots=True)
class AdmitRetailer:
    """A retailer takes sparks at these terminals; `bonus_bp` is its own green bonus."""

    KIND: ClassVar[str] = "admit_retailer"
    COLLECTION: ClassVar[str] = CHECKOUT
    retailer_id: str
    name: str
    terminals: tuple[str, ...]
    bonus_bp: Bp


@dataclass(frozen=True, slots=True)
class AttestRetailer:
    """A provider vouches for who runs a retailer; never the personal data itself."""

    KIND: ClassVar[str] = "attest_retailer"
    COLLECTION: ClassVar[str] = CHECKOUT
    retailer_id: str
    level: str
    provider: str
    expires_s: UnixSeconds


@dataclass(frozen=True, slots=True)
class IssueCheckoutCode:
    """A customer may pay once with this code, known here by its SHA-256."""

    KIND: ClassVar[str] = "issue_checkout_code"
    COLLECTION: ClassVar[str] = CHECKOUT
    customer_id: str
    code_hash: bytes
    max_cents: Cents


@dataclass(frozen=True, slots=True)
class Authorize:
    """A till asks for `amount_cents`: taken at once (`capture`) or held."""

    KIND: ClassVar[str] = "authorize"
    COLLECTION: ClassVar[str] = CHECKOUT
    authorization_id: str
    retailer_id: str
    terminal_id: str
    amount_cents: Cents
    code_hash: bytes
    capture: bool
    reference: str


@dataclass(frozen=True, slots=True)
class Capture:
    """Take `amount_cents` of a hold (None: all of it) and release the rest."""

    KIND: ClassVar[str] = "capture"
    COLLECTION: ClassVar[str] = CHECKOUT
    retailer_id: str
    authorization_id: str
    amount_cents: Cents | None


@dataclass(frozen=True, slots=True)
class Void:
    """The purchase is not to be: everything goes back."""

    KIND: ClassVar[str] = "void"
    COLLECTION: ClassVar[str] = CHECKOUT
    retailer_id: str
    authorization_id: str


@dataclass(frozen=True, slots=True)
class Refund:
    """Give back `amount_cents` of a sale (None: all that is left of it)."""

    KIND: ClassVar[str] = "refund"
    COLLECTION: ClassVar[str] = CHECKOUT
    retailer_id: str
    authorization_id: str
    amount_cents: Cents | None


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """A hold whose time has passed is released."""

    KIND: ClassVar[str] = "expire_hold"
    COLLECTION: ClassVar[str] = CHECKOUT
    authorization_id: str


@dataclass(frozen=True, slots=True)
class SettleRetailer:
    """Close a retailer's business day: pay whole cents out of the reserve, carry the rest."""

    KIND: ClassVar[str] = "settle_retailer"
    COLLECTION: ClassVar[str] = CHECKOUT
    retailer_id: str
    day: LocalDay

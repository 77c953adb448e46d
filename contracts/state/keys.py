"""Under which key of text each row lies: `kind/name`."""

from typing import Final

from contracts.units import LocalDay, UnixSeconds

LEDGER_KEY: Final = "ledger/"
ACTIVE_KEY: Final = "active/"
QUEUE_KEY: Final = "queue/"
MEMBERSHIP_KEY: Final = "membership/"


def contracts_key(version: bytes) -> str:
    """Key of a `ContractFiles`."""
    return f"contracts/{version.hex()}"


def unit_key(device_id: str) -> str:
    """Key of a `Unit`."""
    return f"unit/{device_id}"


def meter_key(device_id: str) -> str:
    """Key of a `Meter`."""
    return f"meter/{device_id}"


def day_key(device_id: str, day: LocalDay) -> str:
    """Key of a `DayOfUnit`."""
    return f"day/{device_id}/{day}"


def pack_key(device_id: str, seq: int) -> str:
    """Key of a `Decided`."""
    return f"pack/{device_id}/{seq}"


def claim_key(claim_hash: bytes) -> str:
    """Key of a `Claim`."""
    return f"claim/{claim_hash.hex()}"


def customer_key(customer_id: str) -> str:
    """Key of a `Customer`."""
    return f"customer/{customer_id}"


def holdings_key(customer_id: str) -> str:
    """Key of a `Holdings`."""
    return f"holdings/{customer_id}"


def earnings_key(customer_id: str) -> str:
    """Key of an `Earnings`."""
    return f"earnings/{customer_id}"


def avoided_key(customer_id: str) -> str:
    """Key of an `Avoided`."""
    return f"avoided/{customer_id}"


def account_key(asset: str, account: str) -> str:
    """Key of an `Account`."""
    return f"account/{asset}/{account}"


def deferred_key(number: int) -> str:
    """Key of a `DeferredAward`."""
    return f"deferred/{number}"


def event_key(event_id: str) -> str:
    """Key of an `Event`."""
    return f"event/{event_id}"


def zone_key(zone: str) -> str:
    """Key of a `ZoneEvents`."""
    return f"events/{zone}"


def signal_key(hour_s: UnixSeconds) -> str:
    """Key of a `Signal`."""
    return f"signal/{hour_s}"


def retailer_key(retailer_id: str) -> str:
    """Key of a `Retailer`."""
    return f"retailer/{retailer_id}"


def business_key(retailer_id: str, day: LocalDay) -> str:
    """Key of a `BusinessDay`."""
    return f"business/{retailer_id}/{day}"


def code_key(code_hash: bytes) -> str:
    """Key of a `CheckoutCode`."""
    return f"code/{code_hash.hex()}"


def spending_key(customer_id: str) -> str:
    """Key of a `Spending`."""
    return f"spending/{customer_id}"


def purchase_key(authorization_id: str) -> str:
    """Key of a `Purchase`."""
    return f"purchase/{authorization_id}"


def statement_key(day: LocalDay) -> str:
    """Key of a `Statement`."""
    return f"statement/{day}"


def member_key(member_id: str) -> str:
    """Key of a `Member`."""
    return f"member/{member_id}"

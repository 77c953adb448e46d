"""What must hold of a log before a writer goes on with it: its name, its contract set, its last entry's time."""

from dataclasses import dataclass, field

from contracts.state import Ledger, Row
from contracts.units import DAY_S, UnixSeconds
from services.ledger.store import Last


class ClockNeedsAcceptance(Exception):
    """The last entry is more than a day away from the clock: is that right? `--accept-clock` says so."""


class OtherContracts(Exception):
    """The last entry was executed by another contract set than this program has."""


class OtherLedger(Exception):
    """The database keeps a log of another origin or programme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIdentity:
    """Which log this is, and the Ed25519 seed that signs its checkpoints."""

    origin: str
    seed: bytes = field(repr=False)
    programme: str = "ontario"


def check_contracts(last: Last, version: bytes) -> None:
    """Raise OtherContracts unless the contract set `version` executed the last entry."""
    if last.entry.contract_version != version:
        had, have = last.entry.contract_version.hex()[:12], version.hex()[:12]
        raise OtherContracts(f"entry {last.index} was executed by contract set {had}; this program has {have}")


def check_identity(kept: Row | None, identity: LogIdentity) -> None:
    """Raise OtherLedger unless the row `kept` under the ledger's key says what `identity` says."""
    wanted = Ledger(identity.origin, identity.programme)
    if kept != wanted:
        raise OtherLedger(f"the database keeps {kept}, not {wanted}")


def check_clock(now_s: UnixSeconds, *known_s: UnixSeconds) -> None:
    """Raise ClockNeedsAcceptance unless `now_s` is within a day of one of these moments."""
    stopped_s = min((now_s - at_s for at_s in known_s), key=abs)
    if stopped_s < -DAY_S:
        raise ClockNeedsAcceptance(
            f"the clock is {-stopped_s // DAY_S} days behind the last entry, and ledger time would stand still; "
            "set it right, or start with --accept-clock"
        )
    if stopped_s > DAY_S:
        raise ClockNeedsAcceptance(
            f"the last entry is {stopped_s // DAY_S} days old; if the clock is right, start with --accept-clock"
        )

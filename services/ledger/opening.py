"""What must hold of a log before a writer goes on with it: its name, its contract set, its last entry's time."""

from dataclasses import dataclass, field

from contracts import state
from contracts.state import ActiveContracts, ContractFiles, Ledger, Row
from contracts.units import DAY_S, UnixSeconds
from services import contract_sets
from services.contract_sets import ContractSet, UnusableBundle
from services.ledger.store import Store


class ClockNeedsAcceptance(Exception):
    """The last entry is more than a day away from the clock: is that right? `--accept-clock` says so."""


class OtherContracts(Exception):
    """The contract set that is active cannot be executed by this program, or the log carries none."""


class OtherLedger(Exception):
    """The database keeps a log of another origin or programme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIdentity:
    """Which log this is, and the Ed25519 seed that signs its checkpoints."""

    origin: str
    seed: bytes = field(repr=False)
    programme: str = "ontario"


def active_contracts(store: Store, own: ContractSet, programme: str) -> ContractSet:
    """The contract set that executes the next entry, out of what the ledger carries. Raises OtherContracts."""
    active = store.rows([state.ACTIVE_KEY]).get(state.ACTIVE_KEY)
    if not isinstance(active, ActiveContracts):
        raise OtherContracts("the log carries no contract set: an early version of this program made it")
    if active.version == own.version:
        return own
    key = state.contracts_key(active.version)
    carried = store.rows([key]).get(key)
    if not isinstance(carried, ContractFiles):
        raise OtherContracts(f"the ledger has lost the files of contract set {active.version.hex()[:12]}")
    try:
        return contract_sets.load(carried.files, programme=programme, version=active.version)
    except UnusableBundle as error:
        raise OtherContracts(str(error)) from error


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

"""Which failures an operator can mend, and the one line that says so. The rest are bugs."""

import errno
from typing import Final

import sqlalchemy.exc

from contracts.check import NoVectors
from device_sim.fleet import FleetFailed
from device_sim.measured.rows import UnreadableFile
from device_sim.outbox import OutboxFailed
from device_sim.people import CallFailed
from services.backups import CannotRestore
from services.broker.embedded import PortInUse
from services.broker.mosquitto import ControlFailed
from services.contract_sets import UnusableBundle
from services.database import DatabaseUnavailable, OtherSchema
from services.demo import DemoStuck
from services.embedded import AddressInUse, UnusableSettings
from services.faces import UnknownService
from services.keys import KeyFileUnusable
from services.ledger.archive import BadBackup
from services.ledger.archiving import AlreadyArchiving
from services.ledger.backup import NotEmpty
from services.ledger.client import LedgerUnavailable
from services.ledger.continuing import AnotherLog
from services.ledger.lease import AnotherWriter
from services.ledger.opening import ClockNeedsAcceptance, OtherContracts, OtherLedger
from services.member.program import UnusableMember
from services.proposing import NothingToSign
from services.receipts.checks import NoReceipt
from services.replay import ReplayStuck
from services.settings import BadSettings
from services.simulation import NothingToSimulate
from services.simulation.plots import NoPlots
from services.upkeep import NoLedger

MENDABLE: Final = (
    AddressInUse,
    AlreadyArchiving,
    AnotherLog,
    AnotherWriter,
    BadBackup,
    BadSettings,
    CallFailed,
    CannotRestore,
    ClockNeedsAcceptance,
    ControlFailed,
    DatabaseUnavailable,
    DemoStuck,
    FleetFailed,
    KeyFileUnusable,
    LedgerUnavailable,
    NoLedger,
    NoPlots,
    NoReceipt,
    NothingToSimulate,
    NoVectors,
    NothingToSign,
    NotEmpty,
    OtherContracts,
    OtherLedger,
    OtherSchema,
    OutboxFailed,
    PortInUse,
    ReplayStuck,
    UnknownService,
    UnusableBundle,
    UnreadableFile,
    UnusableMember,
    UnusableSettings,
)
# The disk is full, a quota is used up, or a file may not grow any further (`ulimit -f`).
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def in_one_line(error: Exception) -> str | None:
    """What to tell the operator, or None if this is not for the operator to mend."""
    if isinstance(error, OSError) and error.errno in _FULL:
        where = f" of {error.filename}" if error.filename else ""
        return f"no space is left on the disk{where}: free some and start again; nothing is lost"
    if isinstance(error, MENDABLE):
        return " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, sqlalchemy.exc.OperationalError):
        return f"the database: {' '.join(str(error.orig).split())}"
    if type(error) is sqlalchemy.exc.DatabaseError:  # SQLite's word for a file that is none of its own, or damaged
        return f"the database: {' '.join(str(error.orig).split())}"
    if isinstance(error, OSError):
        said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return " ".join(said.split())
    return None

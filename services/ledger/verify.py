"""Re-executes the log from entry 0 and compares every byte of every table with what must be there.

An entry whose request is not the one it commits to ends the re-execution, because what it did is not known; the bytes
of the entries, the tiles and the checkpoints are compared to the end all the same. What nothing commits to cannot be
missed: an older checkpoint or a remembered rejection that was removed as a whole leaves no trace.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, exc

from services.database import translated
from services.ledger import stored
from services.ledger.findings import Finding
from services.ledger.full_audit import FullAudit
from services.ledger.given_audit import GivenAudit
from services.ledger.log_audit import OnProgress


@dataclass(frozen=True, slots=True)
class Report:
    """What the comparison came to.

    size, root  of the tree over the entries as they are stored
    taken       entries that were taken as committed: erased, or reading what an erased one wrote
    unsigned    entries above the newest checkpoint, of a member's copy that has not caught up
    outside     entries whose payload is not for this copy: their public bytes and the tree were compared
    findings    the first differences in the order they were met; count says how many there are
    """

    size: int
    root: bytes
    taken: int
    unsigned: int
    outside: int
    findings: tuple[Finding, ...]
    count: int

    @property
    def ok(self) -> bool:
        """Does every table say what re-execution says?"""
        return self.count == 0


def verify(engine: Engine, log_public_key: bytes, on_progress: OnProgress) -> Report:
    """Compare all tables as they are at this moment; `log_public_key` (32 bytes) is whose checkpoints count.

    Raises DatabaseUnavailable.
    """
    with stored.opened(engine) as moment:
        audit = (FullAudit if moment.scope() is None else GivenAudit)(moment, log_public_key)
        try:
            with translated():
                audit.walk(on_progress)
        except exc.DatabaseError as error:  # not "cannot now", so it is what lies there that cannot be read
            audit.findings.add(audit.tree.size, "database", f"cannot be read any further: {error.orig}")
        found = audit.findings
        root, unsigned = audit.tree.root(), audit.unsigned
        return Report(audit.tree.size, root, audit.taken, unsigned, audit.outside, tuple(found.kept), found.count)

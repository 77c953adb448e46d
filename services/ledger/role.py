"""What a writer is doing, and how that is shown."""

from enum import StrEnum
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge


class Role(StrEnum):
    """ACTIVE writes; STANDBY waits for the lease of another; UNAVAILABLE has no database, or does not run."""

    ACTIVE = "active"
    STANDBY = "standby"
    UNAVAILABLE = "unavailable"


class Candidate(Protocol):
    """Whoever has a role, and an epoch while it is active (else 0)."""

    @property
    def role(self) -> Role: ...

    @property
    def epoch(self) -> int: ...


def show_role(candidate: Candidate, registry: CollectorRegistry) -> None:
    """Show as figures what the candidate is doing whenever somebody looks."""
    roles = Gauge("sparks_ledger_role", "1 for what this ledger is doing", ["role"], registry=registry)
    for role in Role:
        roles.labels(role.value).set_function(partial(_plays, candidate, role))
    epoch = Gauge("sparks_ledger_epoch", "Fencing epoch in which it writes; 0 while it does not", registry=registry)
    epoch.set_function(lambda: float(candidate.epoch))


def _plays(candidate: Candidate, role: Role) -> float:
    return float(candidate.role is role)

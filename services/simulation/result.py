"""What a simulation came to: costs, who gains and who loses, as a document of integers with one hash.

The document names the log, its size and root, both contract sets and the days, so that the same inputs give the same
bytes anywhere. Homes are counted, never named.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from contracts.units import MICRO_SPARKS_PER_MICRO_CAD, MicroSparks
from contracts.wire import cbor
from services.ledger.client import Head
from services.simulation.side import Home, Side

FORM: Final = "sparks-simulation-1"
DIGEST: Final = "result_sha256"
PERCENTILES: Final = (0, 10, 25, 50, 75, 90, 100)


@dataclass(frozen=True, slots=True)
class Change:
    """One home under both contract sets."""

    home: Home
    present_micro_sparks: MicroSparks
    proposed_micro_sparks: MicroSparks

    @property
    def micro_sparks(self) -> MicroSparks:
        """What it gains (above 0) or loses."""
        return self.proposed_micro_sparks - self.present_micro_sparks


@dataclass(frozen=True, slots=True)
class Simulation:
    """The days from `first` to `last` by both contract sets; `unknown` entries could not be executed."""

    head: Head
    first: date
    last: date
    present_version: bytes
    proposed_version: bytes
    present: Side
    proposed: Side
    unknown: int

    def changes(self) -> list[Change]:
        """Every home that earned on either side."""
        before, after = self.present.homes, self.proposed.homes
        found = []
        for device_id in sorted(before.keys() | after.keys()):
            known = after.get(device_id) or before[device_id]
            was, becomes = (homes[device_id].micro_sparks if device_id in homes else 0 for homes in (before, after))
            found.append(Change(known, was, becomes))
        return found

    def document(self) -> dict[str, Any]:
        """The result as integers and text, with its hash."""
        changes = self.changes()
        said: dict[str, Any] = {
            "form": FORM,
            "log": {"origin": self.head.origin, "size": self.head.size, "root": self.head.root.hex()},
            "days": {"first": self.first.isoformat(), "last": self.last.isoformat()},
            "contracts": {"present": self.present_version.hex(), "proposed": self.proposed_version.hex()},
            "cost": {"present": _cost(self.present), "proposed": _cost(self.proposed)},
            "homes": _group(changes),
            "by_level": _groups(changes, lambda home: home.level),
            "by_zone": _groups(changes, lambda home: home.zone),
            "by_home_type": _groups(changes, lambda home: home.home_type),
            "change_micro_sparks_by_percentile": _percentiles([change.micro_sparks for change in changes]),
            "rejected": {"present": dict(self.present.rejected), "proposed": dict(self.proposed.rejected)},
            "entries_unknown": self.unknown,
        }
        return said | {DIGEST: digest_of(said).hex()}


def digest_of(document: Mapping[str, Any]) -> bytes:
    """SHA-256 of a result: of the deterministic CBOR of all but the hash itself."""
    return hashlib.sha256(cbor.encode({name: value for name, value in document.items() if name != DIGEST})).digest()


def _cost(side: Side) -> dict[str, Any]:
    """What one side gives out; micro_cad is what the minted sparks are worth, whole ones only."""
    return {
        "micro_sparks_by_rule": dict(side.by_rule),
        "minted_micro_sparks": side.minted_micro_sparks,
        "deferred_micro_sparks": side.deferred_micro_sparks,
        "minted_micro_cad": side.minted_micro_sparks // MICRO_SPARKS_PER_MICRO_CAD,
        "deferred_micro_cad": side.deferred_micro_sparks // MICRO_SPARKS_PER_MICRO_CAD,
        "packs": side.packs,
        "packs_refused": side.refused,
    }


def _groups(changes: Sequence[Change], name_of: Callable[[Home], str]) -> dict[str, dict[str, int]]:
    names = sorted({name_of(change.home) for change in changes})
    return {name: _group(change for change in changes if name_of(change.home) == name) for name in names}


def _group(changes: Iterable[Change]) -> dict[str, int]:
    """Who gains and who loses among these homes, and by how much together."""
    members = list(changes)
    differences = [change.micro_sparks for change in members]
    return {
        "homes": len(members),
        "gain": sum(difference > 0 for difference in differences),
        "lose": sum(difference < 0 for difference in differences),
        "same": sum(difference == 0 for difference in differences),
        "gained_micro_sparks": sum(difference for difference in differences if difference > 0),
        "lost_micro_sparks": -sum(difference for difference in differences if difference < 0),
        "present_micro_sparks": sum(change.present_micro_sparks for change in members),
        "proposed_micro_sparks": sum(change.proposed_micro_sparks for change in members),
    }


def _percentiles(values: Sequence[int]) -> dict[str, int]:
    """Nearest-rank percentiles: each is some home's own change."""
    ordered = sorted(values)
    return {str(percent): ordered[percent * (len(ordered) - 1) // 100] for percent in PERCENTILES}

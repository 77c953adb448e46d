"""What `verify` found: the places where the tables say something else than re-execution."""

from dataclasses import dataclass, field
from typing import Final

FINDINGS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference.

    index  the entry it belongs to: the one that wrote, or should have written, what differs
    table  where the difference lies
    what   what differs, for a person
    """

    index: int
    table: str
    what: str


@dataclass(slots=True)
class Findings:
    """The first FINDINGS_MAX differences in the order they were met, and how many there are."""

    kept: list[Finding] = field(default_factory=list)
    count: int = 0

    def add(self, index: int, table: str, what: str) -> None:
        """Note one more."""
        self.count += 1
        if len(self.kept) < FINDINGS_MAX:
            self.kept.append(Finding(index, table, what))

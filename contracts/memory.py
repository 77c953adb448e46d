"""A whole state in memory: the `View` of vectors, tests and whoever re-executes a log without a database."""

from dataclasses import dataclass, field

from contracts.effects import Draft, Effects
from contracts.programmes import Programme
from contracts.state import Row
from contracts.units import UnixSeconds


@dataclass(slots=True)
class Memory:
    """Rows by key, and the facts of the execution that comes next."""

    programme: Programme
    at_s: UnixSeconds = 0
    index: int = 0
    rows: dict[str, Row] = field(default_factory=dict)

    def get(self, key: str) -> Row | None:
        """The row under `key`, or None."""
        return self.rows.get(key)

    def apply(self, effects: Effects | Draft) -> None:
        """Take over what was written, as the next entry."""
        for key, row in effects.writes.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self.index += 1

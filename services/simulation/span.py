"""The local days that a simulation counts."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from contracts.programmes import Programme
from contracts.units import UnixSeconds

UNIX_EPOCH_ORDINAL: Final = 719_163
"""What Python calls 1970-01-01."""


class NothingToSimulate(Exception):
    """There is no such history, or what is to be tried is no contract set."""


@dataclass(frozen=True, slots=True)
class Span:
    """Local days, both of them counted."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise NothingToSimulate(f"no day lies between {self.first} and {self.last}")

    def has_begun(self, programme: Programme, at_s: UnixSeconds) -> bool:
        """Is the first day here, or past?"""
        return programme.local_day(at_s) + UNIX_EPOCH_ORDINAL >= self.first.toordinal()

    def has(self, programme: Programme, at_s: UnixSeconds) -> bool:
        """Does this moment lie in one of the days, on the programme's wall clock?"""
        day = programme.local_day(at_s) + UNIX_EPOCH_ORDINAL
        return self.first.toordinal() <= day <= self.last.toordinal()

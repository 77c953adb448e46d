"""The commands of the daily statement: the books are closed for a day, then who is owed what they hold is committed to.

Nothing private is in them, so that everybody may see the requests too.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from contracts.units import LocalDay, MicroSparks

STATEMENTS: Final = "statements"


@dataclass(frozen=True, slots=True)
class CloseBooks:
    """The figures of a local day that is over, as they stand at this entry."""

    KIND: ClassVar[str] = "close_books"
    COLLECTION: ClassVar[str] = STATEMENTS
    day: LocalDay


@dataclass(frozen=True, slots=True)
class PublishStatement:
    """The root of the tree over all that is owed by the books that were closed (`contracts.wire.liabilities`).

    depth  how many steps it is from a leaf to the root
    micro_sparks, deferred_micro_sparks  the root's sums
    """

    KIND: ClassVar[str] = "publish_statement"
    COLLECTION: ClassVar[str] = STATEMENTS
    day: LocalDay
    root: bytes
    depth: int
    micro_sparks: MicroSparks
    deferred_micro_sparks: MicroSparks

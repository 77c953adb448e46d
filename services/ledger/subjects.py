"""Whom an entry is about, where nothing else leads to it: neither postings on their accounts nor the table of packs.

Only seldom commands need it; a pack or a purchase, of which there are many, costs no row. Knows commands and rows by
their names, so that it speaks of those of any contract set.
"""

from collections.abc import Mapping
from typing import Any, Final

from contracts import state
from contracts.commands import DeclareLost, RecordPack

OWN_ROWS: Final = {"customer": state.customer_key, "holdings": state.customer_key, "unit": state.unit_key}
"""Kinds of rows that are written seldom, and whose subject each is."""


def subjects_of(command: Any, writes: Mapping[str, object], *, has_postings: bool) -> set[str]:
    """Keys of the customers and units that an entry is about (`customer/{id}`, `unit/{id}`), by what it writes."""
    if command.KIND == RecordPack.KIND:
        return set()
    if command.KIND == DeclareLost.KIND:
        return {state.unit_key(command.device_id)}
    named = getattr(command, "customer_id", None)
    subjects = set() if named is None else {state.customer_key(named)}
    for key, row in writes.items():
        kind, _, name = key.partition("/")
        if kind in OWN_ROWS:
            subjects.add(OWN_ROWS[kind](name))
        elif kind == "code" and not has_postings and hasattr(row, "customer_id"):
            subjects.add(state.customer_key(row.customer_id))
    return subjects


def subjects_by_keys(kind: str, written: Mapping[str, object]) -> set[str]:
    """Whom an erased entry was about, but for the owner of a checkout code, who is not to be known."""
    found = set()
    for key in written:
        row, _, name = key.partition("/")
        if row in OWN_ROWS:
            found.add(OWN_ROWS[row](name))
        elif row == "meter" and kind == DeclareLost.KIND:
            found.add(state.unit_key(name))
    return found

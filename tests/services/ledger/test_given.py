"""Rows that are given with an entry: what truly was there passes, whatever the log did; a contradiction does not."""

from dataclasses import dataclass, field

import cbor2
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.ledger import given, rows_read
from services.ledger.differing import Disagreed
from services.ledger.rows_read import RowRead
from services.ledger.store import Written

KEY = "account/spark/customer/ann"
# Of each entry: whether it is outside, whether it reads the row first, and what it leaves of it (None: nothing new).
ENTRIES = st.lists(st.tuples(st.booleans(), st.booleans(), st.none() | st.integers(0, 3)), min_size=1, max_size=30)


@dataclass
class Copy:
    """What a copy has seen of one row in a log of which it is given the entries that are not outside."""

    outside: list[bool] = field(default_factory=list)
    seen: dict[str, Written] = field(default_factory=dict)

    def check(self, index: int, read: RowRead) -> None:
        news = given.check(index, {KEY: read}, self.seen.get, lambda entry: self.outside[entry])
        self.seen |= news


def data_of(value: int) -> bytes:
    return cbor2.dumps([value])


def lived(entries: list[tuple[bool, bool, int | None]]) -> tuple[Copy, list[tuple[int, RowRead]]]:
    """A copy that was given the truth all along; and what the row was before each entry that read it."""
    copy, truth, reads = Copy(), RowRead(None, None), []
    for index, (is_outside, does_read, value) in enumerate(entries):
        copy.outside.append(is_outside)
        if does_read and not is_outside:
            copy.check(index, truth)
            reads.append((index, truth))
        if value is not None:
            truth = RowRead(index, data_of(value))
            if not is_outside:
                copy.seen[KEY] = Written(index, None, truth.data)
    return copy, reads


@for_all(ENTRIES)
def test_what_truly_was_there_always_passes(entries: list[tuple[bool, bool, int | None]]):
    _, passed = lived(entries)

    inside = [index for index, (is_outside, does_read, _) in enumerate(entries) if does_read and not is_outside]
    assert [index for index, _ in passed] == inside


@for_all(ENTRIES, st.data())
def test_another_value_under_a_version_that_was_seen_never_passes(
    entries: list[tuple[bool, bool, int | None]], data: st.DataObject
):
    copy, _ = lived(entries)
    known = copy.seen.get(KEY)
    if known is None or not given.is_there(known):
        return
    other = data.draw(st.integers(0, 3).map(data_of).filter(lambda row: row != known.data))
    with pytest.raises(Disagreed):
        copy.check(len(entries), RowRead(known.version, other))


@for_all(ENTRIES, st.data())
def test_a_version_that_goes_back_or_that_an_entry_given_here_did_not_write_never_passes(
    entries: list[tuple[bool, bool, int | None]], data: st.DataObject
):
    copy, _ = lived(entries)
    known = copy.seen.get(KEY)
    wrong = [
        version
        for version in range(len(entries) + 2)
        if version >= len(entries)
        or (known is not None and version < known.version)
        or (not copy.outside[version] and (known is None or version != known.version))
    ]
    copy.outside += [True, True]
    version = data.draw(st.sampled_from(wrong or [len(entries)]))
    with pytest.raises(Disagreed):
        copy.check(len(entries), RowRead(version, data_of(1)))


@for_all(st.dictionaries(st.text(max_size=8), st.none() | st.tuples(st.integers(0, 1 << 40), st.binary(max_size=9))))
def test_rows_that_were_read_come_back_as_they_were_kept(rows: dict[str, tuple[int, bytes] | None]):
    told = [[key, *(row or (None, None))] for key, row in sorted(rows.items())]

    assert rows_read.from_bytes(cbor2.dumps(told)) == {
        key: RowRead(*(row or (None, None))) for key, row in rows.items()
    }

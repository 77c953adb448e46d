"""Rows that grow, proofs read from them, their paths and bundles."""

import base64
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import merkle, tiles
from services.ledger.tiles import ForgedTile, ShortRow, TilePath, TileReader
from tests.services.ledger.tlog_vectors import hex_list, vectors

Rows = dict[tuple[int, int], bytes]

LOG300 = vectors("log300")
TILES = vectors("tiles")
ENTRIES = hex_list(vectors("hashes")["entries"])
ROOTS = hex_list(vectors("hashes")["roots"])


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(index.to_bytes(4, "big")) for index in range(size)]


def reader_of(rows: Rows) -> TileReader:
    return lambda level, n: rows[level, n]


def rows_of(leaves: list[bytes], cuts: list[int] | None = None) -> Rows:
    """Append `leaves`, in one go or cut at the given sizes."""
    rows: Rows = {}
    for begin, end in pairwise([0, *(cuts or []), len(leaves)]):
        before = tiles.rightmost_rows(begin, reader_of(rows))
        rows.update(tiles.grow(begin, before, leaves[begin:end]))
    return rows


LEAVES = leaves_of(70_000)
ROWS = rows_of(LEAVES)
"""Three levels: 273 full rows and 112 hashes, one full row and 17, one hash."""


# Growing


@pytest.mark.parametrize("case", TILES["required"], ids=lambda case: str(case["size"]))
def test_a_size_requires_the_tiles_of_the_vectors(case: Any) -> None:
    found = tiles.required(case["size"])

    assert found.full_bundles == case["full_bundles"]
    assert found.partial_bundle_width == case["partial_bundle_width"]
    assert [(of.level, of.full_tiles, of.partial_width) for of in found.levels] == [
        (of["level"], of["full_tiles"], of["partial_width"]) for of in case["levels"]
    ]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000])
def test_the_rows_of_a_log_are_exactly_the_tiles_it_must_serve(size: int) -> None:
    widths = {place: len(row) // 32 for place, row in rows_of(LEAVES[:size]).items()}

    expected: dict[tuple[int, int], int] = {}
    for of in tiles.required(size).levels:
        expected |= {(of.level, n): 256 for n in range(of.full_tiles)}
        if of.partial_width:
            expected[of.level, of.full_tiles] = of.partial_width
    assert widths == expected


@given(size=st.integers(0, 1_500) | st.integers(65_000, 66_000), data=st.data())
def test_any_split_of_the_appends_gives_the_same_rows(size: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, size) | st.sampled_from([0, size]), max_size=6)))

    assert rows_of(LEAVES[:size], cuts) == rows_of(LEAVES[:size])


@given(begin=st.integers(0, 69_000), count=st.integers(0, 1_000))
def test_an_append_returns_only_rows_that_are_new_or_longer(begin: int, count: int) -> None:
    before = tiles.rightmost_rows(begin, reader_of(ROWS))

    changed = tiles.grow(begin, before, LEAVES[begin : begin + count])

    for (level, n), row in changed.items():
        width_before = min(max((begin >> 8 * level) - 256 * n, 0), 256)
        assert len(row) > 32 * width_before
        assert ROWS[level, n].startswith(row)


def test_an_append_of_nothing_changes_nothing() -> None:
    assert tiles.grow(300, {}, []) == {}


@pytest.mark.parametrize(
    ("size", "rightmost", "leaves"),
    [
        pytest.param(3, {}, LEAVES[3:4], id="partial row missing"),
        pytest.param(3, {0: b"".join(LEAVES[:2])}, LEAVES[3:4], id="partial row too short"),
        pytest.param(3, {0: b"".join(LEAVES[:4])}, LEAVES[3:4], id="partial row too long"),
        pytest.param(511, {0: b"".join(LEAVES[256:511])}, LEAVES[511:512], id="row of the level above missing"),
        pytest.param(0, {}, [b"short"], id="leaf hash too short"),
    ],
)
def test_an_append_to_rows_of_another_size_is_a_bug(
    size: int, rightmost: dict[int, bytes], leaves: list[bytes]
) -> None:
    with pytest.raises(ValueError, match=r"hashes|32 bytes"):
        tiles.grow(size, rightmost, leaves)


# Reading


@given(size=st.integers(0, 70_000) | st.integers(0, 600))
def test_the_rows_give_the_root_of_every_earlier_size(size: int) -> None:
    assert tiles.root(size, reader_of(ROWS)) == merkle.root_hash(LEAVES[:size])


@given(size=st.integers(1, 70_000) | st.integers(1, 600), data=st.data())
def test_every_entry_proves_its_place_under_the_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root = tiles.root(size, reader_of(ROWS))

    proof = tiles.inclusion_proof(index, size, reader_of(ROWS))

    assert merkle.verify_inclusion(LEAVES[index], index, size, proof, root)


@given(size=st.integers(0, 70_000) | st.integers(0, 600), data=st.data())
def test_every_tree_proves_that_it_continues_each_earlier_one(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    read = reader_of(ROWS)

    proof = tiles.consistency_proof(old, size, read)

    assert merkle.verify_consistency(old, tiles.root(old, read), size, tiles.root(size, read), proof)


@given(size=st.integers(1, 1_500) | st.integers(65_000, 70_000), data=st.data())
def test_a_proof_reads_no_row_but_those_between_its_entry_and_the_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    rows = {place: ROWS.get(place, b"") for place in tiles.between(index, size)}

    assert tiles.inclusion_proof(index, size, reader_of(rows)) == tiles.inclusion_proof(index, size, reader_of(ROWS))


def test_inclusion_proofs_are_those_of_the_vectors() -> None:
    read = reader_of(rows_of([merkle.leaf_hash(entry) for entry in ENTRIES]))

    for case in vectors("inclusion")["valid"]:
        assert tiles.inclusion_proof(case["index"], case["size"], read) == hex_list(case["proof"])


def test_consistency_proofs_are_those_of_the_vectors() -> None:
    read = reader_of(rows_of([merkle.leaf_hash(entry) for entry in ENTRIES]))

    for case in vectors("consistency")["valid"]:
        assert tiles.consistency_proof(case["old"], case["size"], read) == hex_list(case["proof"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda read: tiles.root(69_999, read),
        lambda read: tiles.inclusion_proof(12_345, 69_999, read),
        lambda read: tiles.inclusion_proof(69_998, 69_999, read),
        lambda read: tiles.consistency_proof(12_345, 69_999, read),
        lambda read: tiles.consistency_proof(65_537, 69_999, read),
    ],
)
def test_a_question_reads_each_row_once_and_at_most_two_of_a_level(ask: Callable[[TileReader], Any]) -> None:
    asked = []

    def read(level: int, n: int) -> bytes:
        asked.append((level, n))
        return ROWS[level, n]

    ask(read)

    assert len(asked) == len(set(asked))
    assert all([level for level, _ in asked].count(level) <= 2 for level in range(3))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_no_proof_is_made_for_an_entry_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no entry"):
        tiles.inclusion_proof(index, size, reader_of(ROWS))


@pytest.mark.parametrize(("old", "size"), [(6, 5), (-1, 5)])
def test_no_proof_is_made_for_a_tree_that_shrinks(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="does not continue"):
        tiles.consistency_proof(old, size, reader_of(ROWS))


def test_a_row_shorter_than_the_tree_needs_is_a_bug() -> None:
    with pytest.raises(ShortRow):
        tiles.root(5, lambda _level, _n: b"".join(LEAVES[:4]))


# Reading from strangers


def vouched(size: int, rows: Rows) -> TileReader | None:
    return tiles.authenticated(size, merkle.root_hash(LEAVES[:size]), reader_of(rows))


def flipped(rows: Rows, place: tuple[int, int]) -> Rows:
    """Change the first bit of one row, in a copy."""
    row = rows[place]
    return {**rows, place: bytes([row[0] ^ 0x80]) + row[1:]}


@pytest.mark.parametrize("size", [0, 1, 256, 300, 65_536, 69_999, 70_000])
def test_honest_rows_are_vouched_for(size: int) -> None:
    read = vouched(size, ROWS)

    assert read is not None
    for place, row in rows_of(LEAVES[:size]).items():
        assert read(*place) == row


@pytest.mark.parametrize("place", [(0, 0), (0, 255), (0, 256), (0, 271), (0, 272), (1, 0)])
def test_a_change_in_any_full_tile_is_found_though_the_root_does_not_show_it(place: tuple[int, int]) -> None:
    """Readers that trusted the root alone left the last full tiles unchecked: CVE-2026-56865."""
    read = vouched(70_000, flipped(ROWS, place))

    assert read is not None
    with pytest.raises(ForgedTile):
        read(*place)


@pytest.mark.parametrize("place", [(0, 273), (1, 1), (2, 0)])
def test_a_change_in_a_partial_tile_gives_another_root(place: tuple[int, int]) -> None:
    assert vouched(70_000, flipped(ROWS, place)) is None


def test_a_tile_cut_to_the_hash_it_must_have_is_forged() -> None:
    """Its fold would be that hash itself, so only its length tells."""
    read = vouched(300, {**ROWS, (0, 0): ROWS[1, 0][:32]})

    assert read is not None
    with pytest.raises(ForgedTile):
        read(0, 0)


def test_a_partial_tile_too_short_for_its_size_is_not_vouched_for() -> None:
    assert vouched(300, {**ROWS, (0, 1): ROWS[0, 1][: 43 * 32]}) is None


@pytest.mark.parametrize("place", [(0, 2), (1, 1), (0, -1), (9, 0)])
def test_a_tile_outside_the_tree_is_not_vouched_for(place: tuple[int, int]) -> None:
    read = vouched(300, ROWS)

    assert read is not None
    with pytest.raises(ValueError, match="no tile"):
        read(*place)


# Naming and serving


@pytest.mark.parametrize("case", TILES["paths"], ids=lambda case: str(case["path"]))
def test_paths_are_those_of_the_vectors(case: Any) -> None:
    level: tiles.TileLevel = "entries" if case["level"] == "entries" else int(case["level"])

    assert tiles.tile_path(level, case["n"], case["width"]) == case["path"]
    assert tiles.parse_path(case["path"]) == TilePath(level=level, n=case["n"], width=case["width"])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/234",
        "tile/0/x001/x234",
        "tile/0/1234067",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/data/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/entries/x001/x000/x000/x000/x000/x000/000",
    ],
)
def test_a_path_that_is_not_written_the_one_way_names_nothing(path: str) -> None:
    assert tiles.parse_path(path) is None


@pytest.mark.parametrize(("level", "n", "width"), [(64, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_no_path_is_written_for_a_tile_that_cannot_exist(level: int, n: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"level is|no tile"):
        tiles.tile_path(level, n, width)


@given(
    level=st.integers(0, 63) | st.just("entries"),
    n=st.integers(0, 2**55 - 1) | st.integers(0, 1_001_000),
    width=st.integers(1, 256),
)
def test_every_path_names_the_tile_it_was_written_for(level: tiles.TileLevel, n: int, width: int) -> None:
    path = tiles.tile_path(level, n, width)

    assert tiles.parse_path(path) == TilePath(level=level, n=n, width=width)


@pytest.mark.parametrize("case", TILES["bundles"], ids=lambda case: str(case["why"]))
def test_a_bundle_is_read_only_if_it_has_exactly_its_entries(case: Any) -> None:
    data = bytes.fromhex(case["bundle"])

    entries = tiles.parse_bundle(data, case["width"])

    assert (entries is not None) == case["valid"]
    if entries is not None:
        assert tiles.entry_bundle(entries) == data


@given(entries=st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    assert tiles.parse_bundle(tiles.entry_bundle(entries), len(entries)) == entries


def test_an_entry_above_65535_bytes_fits_no_bundle() -> None:
    assert tiles.parse_bundle(tiles.entry_bundle([bytes(65_535)]), 1) == [bytes(65_535)]
    with pytest.raises(ValueError, match="65535"):
        tiles.entry_bundle([bytes(65_536)])


@pytest.mark.parametrize("path", LOG300["resources"])
def test_each_resource_of_the_reference_log_is_what_the_rows_and_bundles_give(path: str) -> None:
    named = tiles.parse_path(path)
    assert named is not None
    if named.level == "entries":
        served = tiles.entry_bundle(ENTRIES[256 * named.n :][: named.width])
    else:
        rows = rows_of([merkle.leaf_hash(entry) for entry in ENTRIES], cuts=[1, 5, 255, 256, 257])
        served = rows[named.level, named.n][: 32 * named.width]

    assert served == base64.b64decode(LOG300["resources"][path])


def test_the_reference_log_has_a_resource_for_every_tile_its_checkpoints_require() -> None:
    paths = set()
    for size in map(int, LOG300["checkpoints"]):
        for of in tiles.required(size).levels:
            widths = [(n, 256) for n in range(of.full_tiles)]
            widths += [(of.full_tiles, of.partial_width)] if of.partial_width else []
            paths |= {tiles.tile_path(of.level, n, width) for n, width in widths}
            if of.level == 0:
                paths |= {tiles.tile_path("entries", n, width) for n, width in widths}

    assert paths == set(LOG300["resources"])


def test_the_rows_have_the_roots_of_the_reference_log_at_each_size() -> None:
    read = reader_of(rows_of([merkle.leaf_hash(entry) for entry in ENTRIES]))

    assert [tiles.root(size, read) for size in range(301)] == ROOTS

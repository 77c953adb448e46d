"""The tree computed anew is the tree of RFC 6962, at every size."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from services.ledger import merkle, tiles
from services.ledger.tree_audit import GrowingTiles, GrowingTree, tile_differences


def leaves(count: int) -> list[bytes]:
    return [sha256(index.to_bytes(4, "big")).digest() for index in range(count)]


def test_the_root_is_right_after_every_leaf():
    tree = GrowingTree()
    assert tree.root() == merkle.EMPTY_ROOT

    for size, leaf in enumerate(leaves(130), 1):
        tree.append(leaf)

        assert (tree.size, tree.root()) == (size, merkle.root_hash(leaves(size)))


@given(st.lists(st.integers(0, 600), max_size=5))
def test_the_tiles_do_not_depend_on_how_the_entries_were_paged(pages: list[int]):
    growing, all_leaves, start = GrowingTiles(), leaves(sum(pages)), 0
    rows: dict[tuple[int, int], bytes] = {}
    for page in pages:
        rows |= growing.append(all_leaves[start : start + page])
        start += page

    assert rows | growing.partial() == tiles.grow(0, {}, all_leaves)


def test_a_tile_that_differs_names_the_first_entry_under_the_hash_that_does():
    row = b"".join(leaves(256))
    spoilt = row[:64] + bytes([row[64] ^ 1]) + row[65:]

    assert [index for index, _ in tile_differences({(0, 3): row}, {(0, 3): spoilt})] == [3 * 256 + 2]
    assert [index for index, _ in tile_differences({(1, 0): row}, {(1, 0): spoilt})] == [2 * 256]
    assert [index for index, _ in tile_differences({(0, 3): row}, {(0, 3): row[:320]})] == [3 * 256 + 10]
    assert [index for index, _ in tile_differences({(0, 3): row}, {})] == [3 * 256]
    assert list(tile_differences({(0, 3): row}, {(0, 3): row})) == []

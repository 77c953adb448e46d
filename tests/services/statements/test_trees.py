"""Any balances make a tree whose root counts them all, and whose leaves tell nobody whose they are."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.wire import liabilities
from contracts.wire.liabilities import DEPTH_MIN, SUM_MAX, Node
from services.statements import splitting, trees
from services.statements.splitting import Owed
from services.statements.trees import Tree

SEED = bytes(range(32))
BALANCES = st.dictionaries(
    st.sampled_from([f"customer/{number}" for number in range(90)]),
    st.builds(Owed, st.integers(0, 2**45), st.integers(0, 2**45)),
    max_size=90,
)


def built(balances: dict[str, Owed], seed: bytes = SEED) -> tuple[Tree, dict[tuple[int, int], bytes], Node]:
    tree = Tree(balances, seed)
    tiles = {(tile.level, tile.n): tile.nodes for tile in tree.tiles()}
    return tree, tiles, trees.root_of(tree.depth, lambda level, n: tiles[level, n])


@settings(max_examples=12)
@given(BALANCES)
def test_the_root_counts_every_balance_and_every_part_leads_to_it(balances: dict[str, Owed]):
    tree, tiles, root = built(balances)

    assert root.micro_sparks == sum(owed.micro_sparks for owed in balances.values())
    assert root.deferred_micro_sparks == sum(owed.deferred_micro_sparks for owed in balances.values())
    kept = list(tree.leaves())
    assert {leaves.account: leaves.owed for leaves in kept} == balances
    for leaves in kept[:3]:
        parts = trees.parts_of(leaves, depth=tree.depth, read_tile=lambda level, n: tiles[level, n])
        assert liabilities.flaw(leaves.account, parts, root=root, depth=tree.depth) is None
        assert sum(part.micro_sparks for part in parts) == leaves.owed.micro_sparks
        assert sum(part.deferred_micro_sparks for part in parts) == leaves.owed.deferred_micro_sparks


def test_a_tree_over_several_tiles_is_one_tree():
    balances = {f"customer/{number}": Owed(number, 1) for number in range(300)}
    tree, tiles, root = built(balances)

    assert tree.depth in (10, 11)
    assert max(level for level, _ in tiles) == 1
    last = list(tree.leaves())[-1]
    parts = trees.parts_of(last, depth=tree.depth, read_tile=lambda level, n: tiles[level, n])
    assert liabilities.flaw(last.account, parts, root=root, depth=tree.depth) is None
    assert (root.micro_sparks, root.deferred_micro_sparks) == (299 * 300 // 2, 300)


def test_a_tree_over_nothing_counts_nothing():
    tree, _, root = built({})

    assert (tree.depth, root.micro_sparks, list(tree.leaves())) == (DEPTH_MIN, 0, [])


def test_the_same_seed_makes_the_same_tree_to_the_byte_in_whatever_order():
    balances = {f"customer/{number}": Owed(number * 1_000, number) for number in range(20)}

    tree, tiles, root = built(balances)
    again, same_tiles, same_root = built(dict(reversed(balances.items())))

    assert (same_tiles, same_root) == (tiles, root)
    assert list(again.leaves()) == list(tree.leaves())


def test_another_day_s_seed_makes_other_leaves_of_the_same_balances():
    balances = {f"customer/{number}": Owed(number * 1_000, number) for number in range(20)}

    hashes = [set(_hashes(built(balances, seed)[1][0, 0])) for seed in (SEED, SEED[::-1])]

    assert not hashes[0] & hashes[1]


def test_small_programmes_look_alike():
    assert len({built({f"customer/{n}": Owed(9, 0) for n in range(many)})[0].depth for many in (1, 10, 50)}) == 1


def test_no_leaf_shows_a_whole_balance_but_by_chance():
    balances = {f"customer/{number}": Owed(10**9 + number, 0) for number in range(200)}
    _, tiles, _ = built(balances)
    leaves = b"".join(tiles[level, n] for level, n in sorted(tiles) if level == 0)
    shown = Counter(_node(leaves, at).micro_sparks for at in range(len(leaves) // liabilities.NODE_BYTES))

    assert not any(shown[owed.micro_sparks] for owed in balances.values())


@given(st.binary(min_size=32, max_size=32), st.integers(0, SUM_MAX), st.integers(0, SUM_MAX))
def test_a_split_adds_up_over_two_to_five_parts(key: bytes, sparks: int, deferred: int):
    shares = splitting.split(key, Owed(sparks, deferred))

    assert 2 <= len(shares) <= 5
    assert sum(share.owed.micro_sparks for share in shares) == sparks
    assert sum(share.owed.deferred_micro_sparks for share in shares) == deferred
    assert min(min(share.owed) for share in shares) >= 0
    assert len({share.salt for share in shares}) == len({share.order for share in shares}) == len(shares)


def test_each_number_of_parts_happens():
    keys = [splitting.key_of(SEED, f"customer/{number}") for number in range(100)]

    assert {len(splitting.split(key, Owed(10, 0))) for key in keys} == {2, 3, 4, 5}


def _hashes(tile: bytes) -> list[bytes]:
    return [_node(tile, at).hash for at in range(len(tile) // liabilities.NODE_BYTES)]


def _node(nodes: bytes, at: int) -> Node:
    return liabilities.node_of(nodes[at * liabilities.NODE_BYTES : (at + 1) * liabilities.NODE_BYTES])

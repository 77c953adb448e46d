"""The sum tree: every part is counted, and nothing else passes for a part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire import liabilities
from contracts.wire.liabilities import SUM_MAX, Node, Part

AMOUNTS = st.integers(0, 2**40)


def salt(number: int) -> bytes:
    return number.to_bytes(32, "big")


def a_tree(owed: list[tuple[str, int, int]]) -> tuple[Node, list[Part], int]:
    """Root, parts by leaf, and depth of the tree over (account, sparks, deferred) of each leaf."""
    depth = max(1, (len(owed) - 1).bit_length())
    padded = owed + [("", 0, 0)] * ((1 << depth) - len(owed))
    leaves = [
        liabilities.leaf(name, salt(number), micro_sparks=sparks, deferred_micro_sparks=deferred)
        for number, (name, sparks, deferred) in enumerate(padded)
    ]
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([liabilities.above(*below[at : at + 2]) for at in range(0, len(below), 2)])
    parts = []
    for place, (_, sparks, deferred) in enumerate(owed):
        path = tuple(level[place >> height ^ 1] for height, level in enumerate(levels[:-1]))
        parts.append(Part(place, salt(place), sparks, deferred, path))
    return levels[-1][0], parts, depth


def a_town(n: int = 5) -> tuple[Node, list[Part], int]:
    return a_tree([(f"customer/{number}", 10 + number, number) for number in range(n)])


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=20))
def test_the_root_counts_every_part_and_every_part_leads_to_it(amounts: list[tuple[int, int]]):
    root, parts, depth = a_tree([(f"customer/{number}", *owed) for number, owed in enumerate(amounts)])

    assert root.micro_sparks == sum(sparks for sparks, _ in amounts)
    assert root.deferred_micro_sparks == sum(deferred for _, deferred in amounts)
    for number, part in enumerate(parts):
        assert liabilities.flaw(f"customer/{number}", [part], root=root, depth=depth) is None


@given(st.data())
def test_a_part_changed_in_any_figure_or_byte_is_found(data: st.DataObject):
    root, parts, depth = a_town()
    number = data.draw(st.integers(0, 4))
    part = parts[number]
    step = data.draw(st.integers(0, depth - 1))
    sibling = part.path[step]
    other = {
        "place": part._replace(place=part.place ^ 1 << step),
        "salt": part._replace(salt=salt(99)),
        "amount": part._replace(micro_sparks=part.micro_sparks + 1),
        "deferred": part._replace(deferred_micro_sparks=part.deferred_micro_sparks + 1),
        "sibling hash": _with(part, step, sibling._replace(hash=salt(7))),
        "sibling sum": _with(part, step, sibling._replace(micro_sparks=sibling.micro_sparks + 1)),
        "moved between": _with(
            part._replace(micro_sparks=part.micro_sparks + 1),
            step,
            sibling._replace(micro_sparks=sibling.micro_sparks - 1),
        ),
        "sibling deferred": _with(
            part, step, sibling._replace(deferred_micro_sparks=sibling.deferred_micro_sparks + 1)
        ),
        "negative": _with(part, step, sibling._replace(micro_sparks=-1)),
        "too large": _with(part, step, sibling._replace(micro_sparks=SUM_MAX)),
        "shorter": part._replace(path=part.path[:-1]),
        "longer": part._replace(path=(*part.path, Node(salt(1), 0, 0))),
        "another's way": part._replace(path=parts[(number + 1) % 5].path),
    }
    kind = data.draw(st.sampled_from(sorted(other)))

    assert liabilities.flaw(f"customer/{number}", [other[kind]], root=root, depth=depth) is not None


def _with(part: Part, step: int, node: Node) -> Part:
    return part._replace(path=(*part.path[:step], node, *part.path[step + 1 :]))


def test_a_leaf_is_one_account_s_and_is_shown_to_no_other():
    root, parts, depth = a_tree([("customer/ann", 5, 0), ("customer/bob", 5, 0)])

    assert liabilities.flaw("customer/ann", parts[:1], root=root, depth=depth) is None
    assert liabilities.flaw("customer/bob", parts[:1], root=root, depth=depth) is not None
    assert liabilities.flaw("customer/ann", [parts[0], parts[0]], root=root, depth=depth) == "one leaf is shown twice"


def test_an_operator_that_shows_the_larger_child_s_sum_alone_is_found():
    """The Maxwell protocol's flaw: with a hash over the total only, each side could be shown the other as nothing."""
    root, parts, depth = a_tree([("customer/ann", 5, 0), ("customer/bob", 9, 0)])
    shrunk = root._replace(micro_sparks=9)
    silent = _with(parts[1], 0, parts[1].path[0]._replace(micro_sparks=0))

    assert liabilities.flaw("customer/bob", [silent], root=shrunk, depth=depth) is not None


def test_a_customer_who_was_left_out_has_no_part_that_leads_to_the_root():
    root, _, depth = a_tree([("customer/ann", 5, 0), ("customer/bob", 9, 0)])
    with_all, parts, _ = a_tree([("customer/ann", 5, 0), ("customer/bob", 9, 0), ("customer/eve", 3, 0)])

    assert with_all != root
    assert liabilities.flaw("customer/eve", [parts[2]], root=root, depth=depth) is not None


def test_an_inner_node_passes_for_no_leaf():
    root, parts, depth = a_town()
    inner = liabilities.root_above("customer/0", parts[0]._replace(path=parts[0].path[:1]))
    forged = Part(0, inner.hash, inner.micro_sparks, inner.deferred_micro_sparks, parts[0].path[1:])

    assert liabilities.flaw("customer/0", [forged], root=root, depth=depth - 1) is not None


@pytest.mark.parametrize("amount", [-1, SUM_MAX + 1, 2**64])
def test_an_amount_out_of_range_is_in_no_tree(amount: int):
    with pytest.raises(ValueError, match="out of range"):
        liabilities.leaf("customer/ann", salt(1), micro_sparks=amount, deferred_micro_sparks=0)
    with pytest.raises(ValueError, match="out of range"):
        liabilities.leaf("customer/ann", salt(1), micro_sparks=0, deferred_micro_sparks=amount)
    node = liabilities.leaf("customer/ann", salt(1), micro_sparks=1, deferred_micro_sparks=0)
    with pytest.raises(ValueError, match="out of range"):
        liabilities.above(node, Node(salt(1), amount, 0))


def test_sums_that_would_wrap_round_are_refused():
    half = liabilities.leaf("customer/ann", salt(1), micro_sparks=SUM_MAX, deferred_micro_sparks=0)

    with pytest.raises(ValueError, match="out of range"):
        liabilities.above(half, half)


def test_a_node_survives_its_bytes():
    root, parts, _ = a_town()

    for node in (root, *(sibling for part in parts for sibling in part.path)):
        assert liabilities.node_of(liabilities.node_bytes(node)) == node
        assert len(liabilities.node_bytes(node)) == liabilities.NODE_BYTES


def test_the_bytes_are_agreed():
    """SHA-256 over a tag, a salt, two amounts of 8 bytes and a name; and over a tag and two nodes."""
    ann = liabilities.leaf("customer/ann", salt(1), micro_sparks=1_000_000, deferred_micro_sparks=2)
    bob = liabilities.leaf("customer/bob", salt(2), micro_sparks=3, deferred_micro_sparks=0)

    assert ann.hash.hex() == "e2aa5ab22575fcdb7ebe40e5c60485816cb23c8d0a6f2941c46548043175848f"
    assert liabilities.above(ann, bob).hash.hex() == "9246199db99f5de0caa761077b837ba53c03af05b0966f6f07ed43682cdb39f2"

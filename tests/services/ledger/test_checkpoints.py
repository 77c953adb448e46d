"""Checkpoints: the text of the vectors and no other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import checkpoints, notes
from services.ledger.checkpoints import Checkpoint
from services.ledger.merkle import EMPTY_ROOT
from services.ledger.notes import OpenedNote
from tests.services.ledger.tlog_vectors import hex_list, vectors

NOTES = vectors("notes")
LOG300 = vectors("log300")
ROOTS = hex_list(vectors("hashes")["roots"])
SEED = bytes.fromhex(NOTES["keys"][0]["seed"])


@pytest.mark.parametrize("text", NOTES["checkpoints_valid"])
def test_a_valid_checkpoint_is_read_and_written_alike(text: str) -> None:
    checkpoint = checkpoints.parse(text)

    assert checkpoint is not None
    assert checkpoint.text() == text


@pytest.mark.parametrize("case", NOTES["checkpoints_invalid"], ids=lambda case: str(case["why"]))
def test_an_invalid_checkpoint_is_refused(case: Any) -> None:
    assert checkpoints.parse(case["text"]) is None


@given(
    text=st.text()
    | st.sampled_from(NOTES["checkpoints_valid"]).flatmap(lambda text: st.permutations(text).map("".join))
)
def test_any_text_is_the_one_spelling_of_a_checkpoint_or_refused(text: str) -> None:
    checkpoint = checkpoints.parse(text)

    assert checkpoint is None or checkpoint.text() == text


@pytest.mark.parametrize("size", LOG300["checkpoints"], ids=lambda size: f"size {size}")
def test_the_checkpoints_of_the_reference_log_are_signed_to_the_byte(size: str) -> None:
    checkpoint = Checkpoint(LOG300["origin"], int(size), ROOTS[int(size)])
    text, _, lines = LOG300["checkpoints"][size].partition("\n\n")
    log_line = lines.partition("\n")[0]

    assert checkpoints.sign(checkpoint, SEED).decode() == f"{text}\n\n{log_line}\n"


@pytest.mark.parametrize("size", LOG300["checkpoints"], ids=lambda size: f"size {size}")
def test_the_checkpoints_of_the_reference_log_open_for_its_log_and_witnesses(size: str) -> None:
    known = [notes.parse_vkey(vkey) for vkey in (LOG300["vkey"], *LOG300["witnesses"])]

    opened = notes.open_note(LOG300["checkpoints"][size].encode(), [key for key in known if key is not None])

    assert isinstance(opened, OpenedNote)
    assert [signature.key for signature in opened.signatures] == known
    assert checkpoints.parse(opened.text) == Checkpoint(LOG300["origin"], int(size), ROOTS[int(size)])


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        pytest.param("", 1, ROOTS[1], (), id="empty origin"),
        pytest.param("two\nlines", 1, ROOTS[1], (), id="origin of two lines"),
        pytest.param("half \ud800", 1, ROOTS[1], (), id="origin without UTF-8"),
        pytest.param("o", -1, ROOTS[1], (), id="negative size"),
        pytest.param("o", 2**63, ROOTS[1], (), id="size above 2^63 - 1"),
        pytest.param("o", 1, b"short", (), id="short root"),
        pytest.param("o", 0, ROOTS[1], (), id="empty tree with another root"),
        pytest.param("o", 0, EMPTY_ROOT, ("",), id="empty extension"),
    ],
)
def test_a_checkpoint_that_cannot_be_is_a_bug(origin: str, size: int, root: bytes, extensions: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"lines|size|root"):
        Checkpoint(origin, size, root, extensions)


def test_an_origin_that_no_key_can_be_named_after_is_not_signed() -> None:
    with pytest.raises(ValueError, match="a key name"):
        checkpoints.sign(Checkpoint("an origin with spaces", 0, EMPTY_ROOT), SEED)

"""Whatever is changed in a statement or a proof, verification finds it; and the command line says so in one line."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from contracts.wire.liabilities import SUM_MAX
from services.cli import app
from services.receipts import keyring
from services.receipts.checks import NoReceipt, Untrue
from services.statements.verification import verify
from tests.services.customers.platform import a_platform
from tests.services.receipts.test_verification import altered, paths, with_value
from tests.services.statements.builders import fresh, proof_of, published


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """A statement, and two customers' proofs in it."""
    folder = tmp_path_factory.mktemp("statement")
    with a_platform(f"sqlite:///{folder / 'sparks.db'}", folder) as platform:
        ann, bob = platform.customer(), platform.customer()
        platform.earn(ann, 400)
        platform.earn(bob, 400)
        published(platform)
        fresh(platform, ann, bob)
        proof = proof_of(ann)
        yield {"statement": proof["statement"], "proof": proof, "bob's": proof_of(bob)}


def test_what_was_not_changed_verifies(documents):
    statement, proof = verify(documents["statement"]), verify(documents["proof"])

    assert statement.index == proof.index
    assert (statement.account, statement.micro_sparks) == (None, None)
    assert proof.micro_sparks == 400_000_000
    assert any("400.000000 sparks of customer/" in sentence for sentence in proof.sentences)


@given(data=st.data())
def test_a_document_changed_in_any_field_at_any_character_is_refused(documents, data):
    document = documents[data.draw(st.sampled_from(["statement", "proof"]))]
    path = data.draw(st.sampled_from(list(paths(document))))
    value: Any = document
    for step in path:
        value = value[step]
    changed = altered(value, data.draw(st.integers(0, len(value) - 1 if isinstance(value, str) and value else 9)))
    assume(changed != value)

    with pytest.raises((Untrue, NoReceipt)):
        verify(with_value(document, path, changed))


def test_every_field_is_tried_once(documents):
    for document in (documents["statement"], documents["proof"]):
        for path in (path for path in paths(document) if all(isinstance(step, str) or step == 0 for step in path)):
            value: Any = document
            for step in path:
                value = value[step]
            with pytest.raises((Untrue, NoReceipt)):
                verify(with_value(document, path, altered(value, 0)))


@given(data=st.data())
def test_a_document_with_a_member_missing_or_added_is_refused(documents, data):
    changed = copy.deepcopy(documents["proof"])
    inside = data.draw(
        st.sampled_from([changed, changed["statement"], changed["leaves"][0], changed["statement"]["tree"]])
    )
    if data.draw(st.booleans()):
        del inside[data.draw(st.sampled_from(sorted(inside)))]
    else:
        inside["more"] = 1

    with pytest.raises((Untrue, NoReceipt)):
        verify(changed)


def test_a_leaf_left_out_shows_less_than_is_owed(documents):
    less = copy.deepcopy(documents["proof"])
    less["leaves"].pop()

    with pytest.raises(Untrue, match="micro_sparks"):
        verify(less)


@pytest.mark.parametrize("amount", [-1, SUM_MAX + 1, 2**64, -(2**63)])
def test_a_negative_or_wrapping_sum_is_refused(documents, amount):
    for member in ("micro_sparks", "deferred_micro_sparks"):
        in_path = with_value(documents["proof"], ("leaves", 0, "path", 0, member), amount)
        in_leaf = with_value(documents["proof"], ("leaves", 0, member), amount)
        for forged in (in_path, in_leaf):
            with pytest.raises(Untrue, match="leaf"):
                verify(forged)


def test_another_s_leaves_ways_and_name_are_refused(documents):
    mine, other = documents["proof"], documents["bob's"]
    swapped = with_value(mine, ("leaves", 0, "path"), other["leaves"][0]["path"])

    for forged in (swapped, {**mine, "leaves": other["leaves"]}, {**mine, "account": other["account"]}):
        with pytest.raises(Untrue, match="leaf"):
            verify(forged)


def test_one_leaf_shown_twice_is_refused(documents):
    twice = copy.deepcopy(documents["proof"])
    twice["leaves"].append(twice["leaves"][0])

    with pytest.raises(Untrue, match="twice"):
        verify(twice)


@pytest.mark.parametrize("given", [None, [], {}, {"format": "sparks-receipt-v1"}, {"format": "sparks-statement-v1"}, 7])
def test_what_is_no_statement_is_named_as_such(given):
    with pytest.raises(NoReceipt):
        verify(given)


# The command line


def asked(*words: str) -> Result:
    return CliRunner().invoke(app, ["statement", "verify", *words])


def written(folder: Path, document: object) -> str:
    file = folder / "file.json"
    file.write_text(json.dumps(document))
    return str(file)


def test_the_command_prints_what_holds_in_sentences(documents, tmp_path):
    done = asked(written(tmp_path, documents["proof"]), "--json")

    report = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == 0
    assert report["verified"]
    assert (report["account"], report["micro_sparks"]) == (documents["proof"]["account"], 400_000_000)
    assert all(sentence in done.stderr for sentence in report["sentences"])


def test_the_command_believes_the_keys_that_it_is_given(documents, tmp_path):
    keys, other = tmp_path / "keys", tmp_path / "other"
    keys.write_text(documents["statement"]["keys"])
    other.write_text(documents["statement"]["keys"].replace("sparks.example", "other.example"))
    file = written(tmp_path, documents["statement"])
    assert keyring.parse(keys.read_text()) is not None

    assert asked(file, "--keys", str(keys)).exit_code == 0
    refused = asked(file, "--keys", str(other))
    assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (1, 1)


def test_the_command_names_the_first_thing_that_does_not_hold(documents, tmp_path):
    wrong = with_value(documents["proof"], ("micro_sparks",), 500_000_000)

    done = asked(written(tmp_path, wrong), "--json")

    assert done.exit_code == 1
    assert "DOES NOT HOLD: micro_sparks" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["verified"] is False


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"format": "sparks-statement-v1"}'])
def test_a_file_that_is_no_statement_is_one_line(content, tmp_path):
    file = tmp_path / "file.json"
    file.write_bytes(content)

    done = asked(str(file))

    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (1, 1)
    assert done.stderr.startswith("sparks: ")


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    done = asked(str(tmp_path / "none.json"))

    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (1, 1)

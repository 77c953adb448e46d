"""The log as an independent C2SP verifier sees it, and what it says after one byte is changed."""

from base64 import b64decode, b64encode

import pytest

from tests.story.outsider.log import Log, NotOnTheLog, leaf_hash, opened_checkpoint, root_of, verified_proof
from tests.story.outsider.stage import Stage

WIDTH = 256


@pytest.fixture(scope="module")
def log(stage: Stage) -> Log:
    """A log of more than one full tile."""
    with stage.unclaimed("log-filler") as unit:
        for _ in range(WIDTH + 4):
            unit.send(interval_s=60)
        unit.settle()
    return Log(stage.base_url)


def test_the_root_follows_from_the_entries(log: Log) -> None:
    checkpoint = log.checkpoint()
    hashes = [leaf_hash(entry) for entry in log.entries(checkpoint.size)]

    assert checkpoint.origin == "sparks.example/ledger"
    assert len(hashes) == checkpoint.size > WIDTH
    assert root_of(hashes) == checkpoint.root


def test_every_tile_follows_from_the_level_below(log: Log) -> None:
    checkpoint = log.checkpoint()
    leaves = log.hashes(0, checkpoint.size)
    parents = log.hashes(1, checkpoint.size // WIDTH)

    assert leaves == [leaf_hash(entry) for entry in log.entries(checkpoint.size)]
    assert parents == [root_of(leaves[n * WIDTH : (n + 1) * WIDTH]) for n in range(len(parents))]


def test_every_entry_has_a_proof_that_stands_alone(log: Log) -> None:
    entries = log.entries(log.checkpoint().size)
    vkey = log.vkey()

    for index in (0, 1, 200, 255, 256, len(entries) - 1):
        found, checkpoint = verified_proof(log.proof(index), entries[index], vkey)
        assert found == index < checkpoint.size


def test_a_receipt_names_an_entry_that_is_on_the_log(stage: Stage, log: Log) -> None:
    with stage.unclaimed("proved") as unit:
        unit.send()
        receipt = unit.receipt_of(1)
    entries = log.entries(log.checkpoint().size)
    index, checkpoint = verified_proof(log.proof(receipt["index"]), entries[receipt["index"]], log.vkey())

    assert index == receipt["index"]
    assert checkpoint.origin == receipt["origin"]


def test_one_changed_byte_is_noticed(log: Log) -> None:
    entries, vkey = log.entries(log.checkpoint().size), log.vkey()
    proof, note = log.proof(7), log.text("log/checkpoint")
    name, key_id, key = vkey.split("+", 2)
    other_key = b64encode(b64decode(key)[:-1] + b"\x00").decode()
    lines = proof.splitlines(keepends=True)
    lines[2] = b64encode(bytes(32)).decode() + "\n"

    for forged_proof, entry in [("".join(lines), entries[7]), (proof, entries[7] + b"\x00"), (proof, entries[8])]:
        with pytest.raises(NotOnTheLog):
            verified_proof(forged_proof, entry, vkey)
    for forged_note, forged_key in [(note.replace("\n", "\n1", 1), vkey), (note, f"{name}+{key_id}+{other_key}")]:
        with pytest.raises(NotOnTheLog):
            opened_checkpoint(forged_note, forged_key)


def test_what_is_not_there_is_not_found(stage: Stage, log: Log) -> None:
    size = log.checkpoint().size
    for path in (f"/v1/entries/{size + 100_000}/proof", "/log/tile/0/x999/999", "/log/tile/0/0", "/log/tile/64/000"):
        assert stage.operator.get(path).status_code in (404, 422), path


def test_the_keys_end_with_the_quorum(log: Log) -> None:
    assert log.text("log/keys").splitlines()[-1] == "quorum 0"

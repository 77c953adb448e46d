"""Whatever is changed in a receipt, verification finds it, and says where."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from contracts.commands import ChooseLevel
from contracts.wire import signatures
from services.cli import app
from services.ledger import checkpoints, notes
from services.ledger.checkpoints import Checkpoint
from services.ledger.client import Evidence
from services.ledger.notes import KeyType, VerifierKey
from services.receipts import document, keyring
from services.receipts.checks import NoReceipt, Untrue
from services.receipts.keyring import Keyring
from services.receipts.verification import verify
from tests.services.ledger.builders import IDENTITY, Books, Home, code, fund, purchase, request, running, shop, verified

LOG = VerifierKey(IDENTITY.origin, KeyType.ED25519, signatures.public_key_of(IDENTITY.seed))
KEYS = Keyring(LOG, (), 0).text()
Path = tuple[str | int, ...]


@pytest.fixture(scope="module")
def receipts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """One of a pack and one of a purchase."""
    url = f"sqlite:///{tmp_path_factory.mktemp('receipts') / 'sparks.db'}"
    with running(url) as books:
        home = Home()
        books.accept(*home.joining(), fund(), shop(), verified(), code("a"))
        books.accept(request(ChooseLevel("customer-1", "partner")), home.record(intervals=24, load_wh=150))
        (pack,) = books.accept(home.record(intervals=2, pv_wh=300))
        (sale,) = books.accept(purchase("a", cents=1))
        found = {"pack": books.ledger.evidence(pack.index), "purchase": books.ledger.evidence(sale.index)}
        yield {name: issued(books, evidence) for name, evidence in found.items() if evidence is not None}


def issued(books: Books, evidence: Evidence) -> dict[str, Any]:
    """A receipt as its owner gets it."""
    receipt = document.issue(evidence, books.queries.sets, customer_id="customer-1", keys=KEYS)
    read: dict[str, Any] = json.loads(json.dumps(receipt))
    return read


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Every value in a document that holds no others."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from paths(item, (*at, name))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from paths(item, (*at, place))
    else:
        yield at


def altered(value: Any, place: int) -> Any:
    """Another value of the same type: a character, a digit, a truth."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1 + place
        case str() if value:
            at = place % len(value)
            other = "A" if value[at] != "A" else "B"
            return value[:at] + other + value[at + 1 :]
        case "":
            return "x"
        case list():
            return [0]
    return 0


def with_value(receipt: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(receipt)
    inside: Any = changed
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    return changed


def test_what_was_not_changed_verifies(receipts):
    pack, sale = verify(receipts["pack"]), verify(receipts["purchase"], keyring.parse(KEYS))

    assert pack.is_recomputed
    assert not sale.is_recomputed
    assert pack.micro_sparks == sum(receipts["pack"]["answer"]["awards"].values()) > 0


@given(data=st.data())
def test_a_receipt_changed_in_any_field_at_any_character_is_refused(receipts, data):
    receipt = receipts[data.draw(st.sampled_from(["pack", "purchase"]))]
    path = data.draw(st.sampled_from(list(paths(receipt))))
    value: Any = receipt
    for step in path:
        value = value[step]
    changed = altered(value, data.draw(st.integers(0, len(value) - 1 if isinstance(value, str) and value else 9)))
    assume(changed != value)

    with pytest.raises((Untrue, NoReceipt)):
        verify(with_value(receipt, path, changed))


def test_every_field_is_tried_once(receipts):
    for receipt in receipts.values():
        for path in (path for path in paths(receipt) if all(isinstance(step, str) or step == 0 for step in path)):
            value: Any = receipt
            for step in path:
                value = value[step]
            with pytest.raises((Untrue, NoReceipt)):
                verify(with_value(receipt, path, altered(value, 0)))


@given(data=st.data())
def test_a_receipt_with_a_member_missing_or_added_is_refused(receipts, data):
    changed = copy.deepcopy(receipts["pack"])
    inside = data.draw(st.sampled_from([changed, changed["pack"], changed["evidence"], changed["pack"]["readings"][0]]))
    if data.draw(st.booleans()):
        inside["more"] = 1
    else:
        del inside[data.draw(st.sampled_from(sorted(inside)))]

    with pytest.raises((Untrue, NoReceipt)):
        verify(changed)


def test_a_figure_that_was_changed_is_named_with_its_place(receipts):
    path = ("pack", "arithmetic", 1, "chapters", 2, "lines", 0, "result")

    with pytest.raises(Untrue, match=r"pack\.arithmetic\[1\]\.chapters\[2\]\.lines\[0\]\.result"):
        verify(with_value(receipts["pack"], path, 10**9))


def test_a_log_that_is_not_the_one_trusted_is_refused(receipts):
    other = VerifierKey(IDENTITY.origin, KeyType.ED25519, signatures.public_key_of(b"o" * 32))

    with pytest.raises(Untrue, match="not signed by the log"):
        verify(receipts["pack"], Keyring(other, (), 0))


def cosigned(receipt: dict[str, Any], *seeds: bytes, quorum: int) -> dict[str, Any]:
    """The receipt with co-signatures by the members of these seeds, and keys that name three members."""
    head, _, note = receipt["proof"].partition("\n\n")
    text, _, lines = note.partition("\n\n")
    checkpoint = checkpoints.parse(text + "\n")
    assert isinstance(checkpoint, Checkpoint)
    added = [notes.cosignature_line(text + "\n", name=member(seed).name, seed=seed, time_s=5) for seed in seeds]
    keys = Keyring(LOG, tuple(member(bytes([n]) * 32) for n in (1, 2, 3)), quorum)
    return receipt | {"proof": f"{head}\n\n{text}\n\n{lines}{''.join(added)}", "keys": keys.text()}


def member(seed: bytes) -> VerifierKey:
    return VerifierKey(f"member-{seed[0]}", KeyType.COSIGNATURE, signatures.public_key_of(seed))


def test_as_many_members_as_the_quorum_says_must_have_co_signed(receipts):
    one, two = bytes([1]) * 32, bytes([2]) * 32

    assert "2 members" in verify(cosigned(receipts["pack"], one, two, quorum=2)).sentences[0]
    with pytest.raises(Untrue, match="1 members co-signed the checkpoint, and 2 must"):
        verify(cosigned(receipts["pack"], one, quorum=2))
    with pytest.raises(Untrue, match="nobody whom the keys name"):
        verify(cosigned(receipts["pack"], one, bytes([9]) * 32, quorum=1))


def on_the_command_line(*words: object) -> Result:
    return CliRunner().invoke(app, ["receipt", "verify", *map(str, words)])


def test_the_command_line_says_what_holds_and_ends_well(receipts, tmp_path):
    file, keys = tmp_path / "receipt.json", tmp_path / "keys"
    file.write_text(json.dumps(receipts["pack"]))
    keys.write_text(KEYS)

    done = on_the_command_line(file, "--keys", keys, "--json")

    assert done.exit_code == 0
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["verified"], report["recomputed"]) == (True, True)
    assert "The readings are signed by the unit." in done.output


def test_the_command_line_names_what_does_not_hold_and_ends_with_1(receipts, tmp_path):
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipts["pack"] | {"at": "2026-01-01T00:00:00Z"}))

    done = on_the_command_line(file)

    assert done.exit_code == 1
    assert "DOES NOT HOLD: at: it does not follow from the evidence" in done.output


def test_a_keyring_names_who_signed_and_nobody_else(receipts):
    note = cosigned(receipts["pack"], bytes([2]) * 32, quorum=1)["proof"].partition("\n\n")[2].encode()

    ring = keyring.naming(LOG, note, [member(bytes([n]) * 32) for n in (1, 2, 3)])

    assert ring == Keyring(LOG, (member(bytes([2]) * 32),), 1)
    assert keyring.parse(ring.text()) == ring
    assert keyring.parse(ring.text() + "more") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"format": "sparks-receipt-v1"}'])
def test_a_wrong_file_is_one_line_on_the_command_line(tmp_path, content):
    file = tmp_path / "receipt.json"
    file.write_bytes(content)

    done = on_the_command_line(file)

    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 1
    assert "receipt.json" in done.output
    assert on_the_command_line(tmp_path / "missing.json").exit_code == 1


@pytest.mark.parametrize("other", [None, [], "x", 1, {}, {"format": "sparks-receipt-v1"}, {"format": []}])
def test_what_is_no_receipt_is_told_in_a_line(other):
    with pytest.raises(NoReceipt):
        verify(other)

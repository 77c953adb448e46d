"""A receipt is explained and computed again by the contract set that executed its entry, whichever that was."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts import bundle
from services.cli import app
from services.receipts.checks import Untrue
from services.receipts.verification import verify
from tests.services.contract_sets.second import other_parameters, other_rate, other_rule
from tests.services.ledger.builders import running
from tests.services.ledger.test_activation import activation, town
from tests.services.receipts.test_verification import issued

NOT_HERE = "which is not this program's"


@dataclass(frozen=True)
class Told:
    """The receipts of two packs of one day, one before another set became active and one after it."""

    files: bytes
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def version(self) -> str:
        return bundle.version_of(bundle.from_bytes(self.files)).hex()


def told(url: str, files: bytes) -> Told:
    with running(url) as books:
        home = town(books)
        books.accept(home.record())
        before, _, _, after = books.accept(home.record(), activation(books, files), home.record(), home.record())
        found = [books.ledger.evidence(pack.index) for pack in (before, after)]
        receipts = [issued(books, evidence) for evidence in found if evidence is not None]
        return Told(files, *receipts)


@pytest.fixture(scope="module", name="parameters")
def of_other_parameters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The active code went on under other rates."""
    yield told(f"sqlite:///{tmp_path_factory.mktemp('parameters') / 'sparks.db'}", other_rate())


@pytest.fixture(scope="module", name="code")
def of_other_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Other code became active."""
    yield told(f"sqlite:///{tmp_path_factory.mktemp('code') / 'sparks.db'}", other_rule())


def rates_of(receipt: dict[str, Any]) -> set[int]:
    """The rates for what a home used itself, as the arithmetic used them."""
    return {value for name, value in receipt["pack"]["parameters"].items() if "self_supply" in name}


def test_each_pack_of_one_day_is_explained_by_the_set_that_decided_it_on_both_engines(database_url):
    found = told(database_url, other_rule())

    assert (rates_of(found.before), rates_of(found.after)) == ({400}, {401})
    assert found.after["contract_version"] == found.version != found.before["contract_version"]
    assert verify(found.before).is_recomputed
    assert verify(found.after, offered=found.files).is_recomputed


def test_other_parameters_travel_with_the_receipt_and_are_enough(parameters: Told):
    verified = verify(parameters.after)

    assert verified.is_recomputed
    assert verified.micro_sparks == parameters.after["answer"]["micro_sparks"]
    assert parameters.after["parameters_file"] == other_parameters().decode()
    assert "parameters_file" not in parameters.before


def test_a_receipt_never_brings_code_and_says_that_nothing_was_computed_again(code: Told):
    verified = verify(code.after)

    assert (verified.is_recomputed, verify(code.before).is_recomputed) == (False, True)
    assert any(NOT_HERE in sentence for sentence in verified.sentences)
    assert "but those of the award" in verified.sentences[-1]


def test_another_set_than_the_entry_s_is_of_no_use(code: Told):
    assert not verify(code.after, offered=other_rate()).is_recomputed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("parameters_file",), other_parameters().decode() + "#"),
        (("parameters_file",), None),
        (("pack", "arithmetic", 0, "micro_sparks", "self_supply"), 1),
        (("pack", "parameters", "day_micro_sparks_max"), 1),
        (("pack", "inputs", 0, "row", "seq"), 0),
        (("contract_version",), "00" * 32),
    ],
)
@pytest.mark.parametrize("which", ["parameters", "code"])
def test_what_is_changed_in_it_does_not_hold(which: str, path: tuple[str | int, ...], value: object, request):
    found: Told = request.getfixturevalue(which)
    changed = copy.deepcopy(found.after)
    inside: Any = changed
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value

    with pytest.raises(Untrue):
        verify(changed, offered=found.files)


def test_the_command_line_executes_another_set_only_under_the_hash_that_it_is_given(code: Told, tmp_path: Path):
    receipt, files = tmp_path / "receipt.json", tmp_path / "contracts.cbor"
    receipt.write_text(json.dumps(code.after))
    files.write_bytes(code.files)

    def verified(*words: str) -> tuple[int, str, list[str]]:
        done = CliRunner().invoke(app, ["receipt", "verify", str(receipt), "--json", *words])
        return done.exit_code, done.stdout, done.stderr.splitlines()

    named = verified("--contracts", str(files), "--contract-version", code.version)
    assert (named[0], json.loads(named[1])["recomputed"]) == (0, True)
    alone = verified()
    assert (alone[0], json.loads(alone[1])["recomputed"]) == (0, False)
    for words in (["--contract-version", "00" * 32], []):
        refused = verified("--contracts", str(files), *words)
        assert (refused[0], refused[1], len(refused[2])) == (1, "", 1)
        assert "not contract set" in refused[2][0]

"""`sparks contract propose / approve / status` against a running platform."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contracts import bundle, execute
from services.cli import app
from services.simulation import DIGEST, digest_of
from tests.services import test_member_commands
from tests.services.contract_sets.second import other_parameters, other_rate
from tests.services.test_member_commands import admit

VERSION = bundle.version_of(bundle.from_bytes(other_rate())).hex()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A platform whose first member is the utility; new parameters and a result lie in the working directory."""
    running = test_member_commands.url.__wrapped__(tmp_path, monkeypatch)  # type: ignore[attr-defined]
    for address in running:
        admit(address, "hydro", "utility")
        Path("new.toml").write_bytes(other_parameters())
        result = {"contracts": {"proposed": VERSION}}
        Path("result.json").write_text(json.dumps(result | {DIGEST: digest_of(result).hex()}))
        yield address


def contract(*words: str) -> Result:
    return CliRunner().invoke(app, ["contract", *words])


def status(url: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(contract("status", "--url", url, "--json").stdout.splitlines()[-1])
    return shown


def test_parameters_are_proposed_with_their_simulation_and_become_active_once_approved(url: str) -> None:
    made = contract("propose", "--params", "new.toml", "--simulation", "result.json", "--url", url)
    assert made.exit_code == 0, made.output
    proposal = made.stdout.strip()
    assert status(url)["version"] == execute.version().hex()
    shown = contract("status", "--url", url).stdout
    assert f"version     {VERSION}" in shown
    assert f"simulation  {json.loads(Path('result.json').read_text())[DIGEST]}" in shown

    signed = ["--as", "hydro", "--sign", "hydro-govern.seed", "--yes", "--url", url]
    approved = contract("approve", proposal, *signed)

    assert approved.exit_code == 0, approved.output
    assert "activate_contracts" in approved.stderr
    assert f"version  {VERSION}" in approved.stderr
    assert json.loads(Path("result.json").read_text())[DIGEST] in approved.stderr
    assert "SHA-256" in approved.stderr
    after = status(url)
    assert (after["version"], after["program"]) == (VERSION, execute.version().hex())
    assert "not active" in contract("status", "--url", url).stdout
    back = contract("propose", "--code", "--url", url)
    assert back.exit_code == 0, back.output
    fetched = contract("fetch", VERSION, "set.cbor", "--url", url)
    assert fetched.exit_code == 0, fetched.output
    assert Path("set.cbor").read_bytes() == other_rate()


def test_a_result_that_is_of_something_else_is_not_proposed(url: str) -> None:
    Path("result.json").write_text(Path("result.json").read_text().replace(VERSION, "0" * 64))

    made = contract("propose", "--params", "new.toml", "--simulation", "result.json", "--url", url)

    assert (made.exit_code, made.stderr.count("\n")) == (1, 1)
    assert "not the result of these contracts" in made.stderr

"""The `sparks` command: what it says, and with which exit code."""

import json
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from services.cli import app
from services.clock import SystemClock
from services.embedded import Platform
from services.settings import Settings

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPARKS_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command sets up logging to the standard error of its test, which is closed after it."""
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def test_every_command_teaches_with_help() -> None:
    for words in (
        ["demo"],
        ["replay"],
        ["serve"],
        ["broker-accounts"],
        ["ledger", "verify"],
        ["ledger", "archive"],
        ["ledger", "backup"],
        ["ledger", "restore"],
        ["contract", "check"],
        ["receipt", "verify"],
        ["statement", "publish"],
        ["statement", "show"],
        ["statement", "verify"],
    ):
        done = CliRunner().invoke(app, [*words, "--help"])
        assert done.exit_code == 0
        assert len(done.output) > 200


@pytest.mark.parametrize(("name", "steps"), [("rewards.json", 545), ("redemption.json", 369)])
def test_contract_check_ends_with_how_many_steps_agree(name: str, steps: int) -> None:
    done = CliRunner().invoke(app, ["contract", "check", str(VECTORS / name)])

    assert done.exit_code == 0
    assert done.output.splitlines()[-1] == f"{steps} steps, {steps} agree, 0 differ"


def test_contract_check_names_case_and_field_of_a_difference(tmp_path: Path) -> None:
    document = json.loads((VECTORS / "redemption.json").read_text())
    document["purchases"][1]["hold_micro_sparks"] += 1
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))

    done = CliRunner().invoke(app, ["contract", "check", str(wrong), "--json"])

    assert done.exit_code == 1
    assert json.loads(done.stdout.splitlines()[-1])["differ"] == 1
    assert "purchases 2 hold: hold_micro_sparks" in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["contract", "check", "missing.json"], "missing.json"),
        (["contract", "check", "."], "directory"),
        (["ledger", "verify"], "there is no ledger in"),
        (["ledger", "backup", "kept"], "there is no ledger in"),
        (["ledger", "restore", "missing"], "missing"),
        (["ledger", "restore", "missing", "--checkpoint", "http://127.0.0.1:1/log/checkpoint"], "missing"),
        (["member", "status"], "SPARKS_MEMBER_LOG_KEY is not set"),
        (["member", "decide"], "there is no copy in"),
        (["member", "keys", "--url", "http://127.0.0.1:1"], "no answer from http://127.0.0.1:1"),
        (["member", "keys", "--url", "nonsense"], "no answer from nonsense"),
        (["member", "approve", "1234", "--as", "x", "--sign", "missing.seed"], "missing.seed"),
        (["contract", "status", "--url", "http://127.0.0.1:1"], "no answer from http://127.0.0.1:1"),
        (["receipt", "verify", "missing.json"], "missing.json: No such file"),
        (["ledger", "archive", "--older-than-days", "1"], "there is no ledger in"),
        (["ledger", "archive"], "say how old: --older-than-days, or SPARKS_ARCHIVE_DAYS"),
        (["replay", "missing.csv"], "missing.csv"),
        (["serve", "nothing"], "there is no service nothing"),
        (["serve", "gateway"], "SPARKS_LEDGER_URL"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(words: list[str], says: str) -> None:
    done = CliRunner().invoke(app, words)

    assert done.exit_code == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_setting_that_does_not_exist_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKS_HTP_PORT", "8000")

    done = CliRunner().invoke(app, ["serve", "all"])

    assert done.exit_code == 1
    assert "did you mean SPARKS_HTTP_PORT" in done.stderr


def test_a_simulated_clock_is_not_for_a_platform_that_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKS_CLOCK", "simulated")

    done = CliRunner().invoke(app, ["serve", "all"])

    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (1, 1)
    assert "only the demo and a replay" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", [["demo", "--homes", "1", "--once"], ["serve", "all"], ["ledger", "verify"]])
def test_a_file_that_is_no_database_is_one_line_and_left_as_it_is(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKS_HTTP_PORT", "0")
    monkeypatch.setenv("SPARKS_MQTT_PORT", "0")
    folder = tmp_path / "data" / ("demo" if words[0] == "demo" else "")
    (folder / "keys").mkdir(parents=True, mode=0o700)
    (folder / "sparks.db").write_bytes(b"what somebody else keeps here" * 1_000)

    done = CliRunner().invoke(app, words)

    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (1, 1)
    assert "file is not a database" in done.stderr
    assert (folder / "sparks.db").read_bytes() == b"what somebody else keeps here" * 1_000


def test_ledger_verify_says_what_it_found(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", http_port=0, mqtt_port=0)
    with Platform(settings, SystemClock()):
        pass

    sound = CliRunner().invoke(app, ["ledger", "verify", "--json"])
    database = tmp_path / "data" / "sparks.db"
    database.write_bytes(database.read_bytes().replace(b"open_ledger", b"open_ledgor"))
    broken = CliRunner().invoke(app, ["ledger", "verify"])

    assert sound.exit_code == 0
    assert json.loads(sound.stdout.splitlines()[-1])["verified"] is True
    assert broken.exit_code == 1
    assert "entry 0" in broken.stderr


def test_a_ledger_whose_payloads_are_young_has_nothing_to_archive(tmp_path: Path) -> None:
    with Platform(Settings(data_dir=tmp_path / "data", http_port=0, mqtt_port=0), SystemClock()):
        done = CliRunner().invoke(app, ["ledger", "archive", "--older-than-days", "30", "--json"])

    assert done.exit_code == 0, done.output
    nothing = {"segments": 0, "entries": 0, "bytes_in": 0, "bytes_out": 0}
    assert json.loads(done.stdout.splitlines()[-1]) == nothing
    assert (tmp_path / "data" / "segments").stat().st_mode & 0o777 == 0o700


def test_a_ledger_is_backed_up_with_its_keys_and_restored_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Platform(Settings(data_dir=tmp_path / "data", http_port=0, mqtt_port=0), SystemClock()) as platform:
        made = CliRunner().invoke(app, ["ledger", "backup", "kept", "--with-keys", "keys.tar", "--json"])
        checkpoint = httpx.get(f"{platform.base_url}/log/checkpoint").content
    (tmp_path / "checkpoint").write_bytes(checkpoint)
    monkeypatch.setenv("SPARKS_DATA_DIR", str(tmp_path / "elsewhere"))

    without_keys = CliRunner().invoke(app, ["ledger", "restore", "kept"])
    with tarfile.open("keys.tar") as keys:
        keys.extractall("elsewhere", filter="tar")
    restored = CliRunner().invoke(app, ["ledger", "restore", "kept", "--checkpoint", "checkpoint", "--json"])
    again = CliRunner().invoke(app, ["ledger", "restore", "kept"])

    assert (without_keys.exit_code, restored.exit_code, again.exit_code) == (1, 0, 1), restored.output
    assert "put the keys back first" in without_keys.output
    assert "a restore goes into an empty one" in again.output
    said = json.loads(made.stdout.splitlines()[-1])
    same = {name: said[name] for name in ("origin", "size", "root")}
    assert json.loads(restored.stdout.splitlines()[-1]) == {**same, "verified": True}
    assert Path("keys.tar").stat().st_mode & 0o777 == 0o600

"""`sparks statement` over a running platform, as an operator and a customer use it; and the platform by itself."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from services.clock import SimulatedClock
from services.embedded import Platform
from services.settings import Settings

MONDAY_NOON_S = 1_783_353_600
DAY_S = 86_400


def settings_of(folder: Path, *, statements: bool = True) -> Settings:
    return Settings(data_dir=folder / "data", http_port=0, mqtt_port=0, statements=statements)


def sparks(*words: str) -> Result:
    return CliRunner().invoke(app, ["statement", *words])


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPARKS_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def test_a_statement_is_published_shown_kept_and_verified(own_folder: Path) -> None:
    clock = SimulatedClock(MONDAY_NOON_S)
    with Platform(settings_of(own_folder, statements=False), clock) as platform:
        early = sparks("publish", "--date", "2026-07-06", "--url", platform.base_url)
        clock.advance_to(MONDAY_NOON_S + DAY_S)
        published = sparks("publish", "--date", "2026-07-06", "--url", platform.base_url, "--json")
        again = sparks("publish", "--date", "2026-07-06", "--url", platform.base_url, "--json")
        shown = sparks("show", "2026-07-06", "--url", platform.base_url, "--out", "kept.json")
        missing = sparks("show", "2026-07-05", "--url", platform.base_url)
        keys = platform.ledger.head()

    verified = sparks("verify", "kept.json", "--json")

    assert (early.exit_code, len(early.stderr.strip().splitlines())) == (1, 1)
    assert "invalid_day" in early.stderr
    assert published.exit_code == again.exit_code == shown.exit_code == verified.exit_code == 0
    told = json.loads(published.stdout.splitlines()[-1])
    assert told == json.loads(again.stdout.splitlines()[-1])
    assert (told["date"], told["index"]) == ("2026-07-06", keys.size - 1)
    assert "outstanding  0.000000 sparks" in shown.stdout
    assert (missing.exit_code, "unknown_statement" in missing.stderr) == (1, True)
    assert json.loads(verified.stdout.splitlines()[-1])["date"] == "2026-07-06"


def test_a_platform_that_serves_publishes_by_itself_what_is_over(own_folder: Path) -> None:
    with Platform(settings_of(own_folder), SimulatedClock(MONDAY_NOON_S)) as platform:
        assert platform.ledger.find("statement") == []
    with Platform(settings_of(own_folder), SimulatedClock(MONDAY_NOON_S + DAY_S)):
        pass
    with Platform(settings_of(own_folder, statements=False), SimulatedClock(MONDAY_NOON_S + 2 * DAY_S)) as platform:
        found = platform.ledger.find("statement")

    assert [key for key, _ in found] == ["statement/20640"]


def test_what_the_operator_can_mend_is_one_line(own_folder: Path) -> None:
    for words in (["publish", "--url", "http://127.0.0.1:1"], ["show", "2026-07-06", "--url", "http://127.0.0.1:1"]):
        done = sparks(*words)

        assert (done.exit_code, len(done.stderr.strip().splitlines())) == (1, 1)

"""`sparks member` against a running platform: a membership is founded, grows, renews its keys and decides."""

import json
import logging
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from services.cli import app
from services.clock import SystemClock
from services.embedded import Platform
from services.settings import Settings


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A platform in the working directory of the command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPARKS_DATA_DIR", str(tmp_path / "data"))
    handlers = logging.getLogger().handlers[:]
    with Platform(Settings(data_dir=tmp_path / "data", http_port=0, mqtt_port=0), SystemClock()) as platform:
        yield platform.base_url
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def member(*words: str) -> Result:
    return CliRunner().invoke(app, ["member", *words])


def admit(url: str, member_id: str, role: str, *, sign: bool = True) -> str:
    """Make the keys of a member and propose it; the proposal's id."""
    for use in ("govern", "cosign"):
        assert member("new-key", f"{member_id}-{use}").exit_code == 0
    suffix = "all" if role in {"utility", "auditor"} else "given"
    words = [member_id, "--name", member_id.title(), "--role", role, "--cosign-name", f"{member_id}.example/{suffix}"]
    words += ["--govern-key", f"{member_id}-govern.seed", "--cosign-key", f"{member_id}-cosign.seed", "--url", url]
    done = member("admit", *words, *(["--sign", f"{member_id}-govern.seed"] if sign else []))
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def approve(url: str, proposal: str, member_id: str, *more: str) -> Result:
    return member("approve", proposal, "--as", member_id, "--sign", f"{member_id}-govern.seed", "--url", url, *more)


def states(url: str) -> list[tuple[str, str]]:
    shown = json.loads(member("proposals", "--url", url, "--json").stdout.splitlines()[-1])
    return [(item["kind"], item["state"]) for item in shown["proposals"]]


def test_a_membership_is_founded_grows_and_renews_its_keys(url: str) -> None:
    admit(url, "hydro", "utility")
    second = admit(url, "interac", "network")
    assert sorted(states(url)) == [("admit_member", "carried"), ("admit_member", "open")]

    looked = CliRunner().invoke(
        app,
        ["member", "approve", second[:12], "--as", "hydro", "--sign", "hydro-govern.seed", "--url", url],
        input="y\n",
    )

    assert looked.exit_code == 0, looked.output
    assert "admit_member" in looked.stderr and "interac.example/given" in looked.stderr
    assert "carried: entry" in looked.stderr
    assert member("new-key", "interac-next").exit_code == 0
    renewed = member("renew", "interac", "--key", "interac-next.seed", "--sign", "interac-govern.seed", "--url", url)
    assert "carried" in renewed.stderr
    retired = member("retire", "interac", "--key", "interac-govern.seed", "--sign", "interac-next.seed", "--url", url)
    assert "carried" in retired.stderr
    shown = json.loads(member("keys", "--url", url, "--json").stdout.splitlines()[-1])
    assert [(key["member_id"], key["use"], key["state"]) for key in shown["keys"]] == [
        ("hydro", "govern", "valid"),
        ("hydro", "cosign", "valid"),
        ("interac", "govern", "ended"),
        ("interac", "cosign", "valid"),
        ("interac", "govern", "valid"),
    ]
    assert shown["ending"] == 0


def test_a_candidate_hands_over_its_key_with_a_proof_and_never_its_seed(url: str) -> None:
    admit(url, "hydro", "utility")
    member("new-key", "auditor-govern")
    proven = member("prove", "auditor-govern.seed", "--as", "auditor", "--url", url)
    Path("key.json").write_text(proven.stdout)
    words = ["--role", "auditor", "--govern-key", "key.json", "--cosign-name", "auditor.example/all", "--url", url]

    proposal = member("admit", "auditor", "--name", "Auditor", *words).stdout.strip()
    approve(url, proposal, "hydro", "--yes")

    assert "carried" in approve(url, proposal, "auditor", "--yes").stderr
    words[-3] = "other.example/all"
    stolen = member("admit", "other", "--name", "Other", *words)
    assert (stolen.exit_code, len(stolen.stderr.splitlines())) == (1, 1)
    assert "key_in_use" in stolen.stderr


def test_a_member_proposes_and_renews_its_key_without_the_operator(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    admit(url, "hydro", "utility")
    approve(url, admit(url, "auditor", "auditor"), "hydro", "--yes")
    monkeypatch.setenv("SPARKS_DATA_DIR", "elsewhere")  # where no operator's credentials are
    member("new-key", "next")
    auditor = ["--as", "auditor", "--as-key", "auditor-govern.seed", "--url", url]

    renewed = member("renew", "auditor", "--key", "next.seed", *auditor)
    proposed = member("quorum", "1", *auditor)

    assert "carried" in renewed.stderr, renewed.output
    assert "open: 1 of 2 approvals" in proposed.stderr
    assert "carried" in approve(url, proposed.stdout.strip(), "hydro", "--yes").stderr
    stranger = member("quorum", "0", "--as", "auditor", "--as-key", "hydro-govern.seed", "--url", url)
    assert (stranger.exit_code, len(stranger.stderr.splitlines())) == (1, 1)
    assert "does not take the signature" in stranger.stderr
    assert member("quorum", "0", "--as", "auditor", "--url", url).exit_code == 2


def test_a_key_that_ends_within_ninety_days_is_forecast(url: str) -> None:
    admit(url, "hydro", "utility")
    member("new-key", "soon")
    until = (datetime.now(UTC) + timedelta(days=30, hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    words = ["--key", "soon.seed", "--until", until, "--sign", "hydro-govern.seed", "--url", url]
    assert "carried" in member("renew", "hydro", *words).stderr
    assert member("keys", "--url", url).stderr == ""

    old = member("retire", "hydro", "--key", "hydro-govern.seed", "--sign", "soon.seed", "--url", url)

    assert "carried" in old.stderr
    assert "hydro: renew its govern key within 30 days" in member("keys", "--url", url).stderr


def test_a_quorum_and_a_removal_are_decided_by_those_who_approve(url: str) -> None:
    admit(url, "hydro", "utility")
    approve(url, admit(url, "auditor", "auditor"), "hydro", "--yes")
    quorum = member("quorum", "2", "--url", url).stdout.strip()
    approve(url, quorum, "hydro", "--yes")
    assert "carried" in approve(url, quorum, "auditor", "--yes").stderr

    refused = member("remove", "auditor", "--url", url)

    assert refused.exit_code == 1
    assert "quorum_out_of_reach" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_key_file_is_its_owner_s_alone_and_never_overwritten(url: str) -> None:
    made = member("new-key", "mine")
    again = member("new-key", "mine")

    assert len(made.stdout.strip()) == 43
    assert stat.S_IMODE(Path("mine.seed").stat().st_mode) == 0o600
    assert (again.exit_code, again.stdout) == (1, "")
    assert len(again.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["approve", "0" * 64, "--as", "hydro", "--sign", "none.seed"],
        ["approve", "abc", "--as", "hydro", "--sign", "mine.seed"],
        ["admit", "h", "--name", "H", "--role", "utility", "--govern-key", "no key", "--cosign-name", "h/all"],
        ["remove", "nobody"],
        ["remove", "nobody", "--operator", "mine.seed"],
    ],
)
def test_what_cannot_be_done_is_one_line(url: str, words: list[str]) -> None:
    member("new-key", "mine")

    done = member(*words, "--url", url)

    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_platform_that_does_not_answer_is_one_line() -> None:
    done = member("keys", "--url", "http://127.0.0.1:9")

    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1

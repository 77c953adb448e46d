"""`sparks demo` as a newcomer runs it."""

import json
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from benchmarks.servers import free_port
from tests.services.ledger.takeover import wait_until
from tests.story.commands import command, environment, json_of, sparks

SOON_S = 12
"""Three seconds are promised; beside other work on all cores it takes a while longer, and a hang takes for ever."""
OUTCOMES = ("accepted", "refused", "quarantined", "waiting", "duplicate", "void")


def ports() -> dict[str, str]:
    return {"SPARKS_HTTP_PORT": str(free_port()), "SPARKS_MQTT_PORT": str(free_port())}


def test_a_day_of_four_homes_ends_with_a_summary_that_adds_up(tmp_path: Path) -> None:
    summary = json_of(
        sparks(tmp_path / "data", "demo", "--homes", 4, "--members", 0, "--once", "--json", settings=ports())
    )

    packs, energy, purchase = summary["packs"], summary["energy_wh"], summary["purchase"]
    assert packs["sent"] == 4 * 288
    assert packs["received"] == sum(packs.get(outcome, 0) for outcome in OUTCOMES)
    assert packs["quarantined_by_reason"] == {"bad_signature": 1}
    assert packs["duplicate"] >= 1
    into = energy["pv_wh"] + energy["import_wh"] + energy["discharge_wh"]
    out = energy["load_wh"] + energy["export_wh"] + energy["charge_wh"]
    assert abs(into - out) * 100 < into
    assert set(summary["micro_sparks"]) == {"self_supply", "green_export", "carbon", "event_response"}
    assert summary["micro_sparks"]["event_response"] > 0
    assert summary["avoided_mg_co2e"] > 0
    spent = purchase["capture"]["micro_sparks"] - purchase["refund"]["refunded_micro_sparks"]
    assert purchase["before"]["balance_micro_sparks"] - purchase["after"]["balance_micro_sparks"] == spent > 0
    assert purchase["hold"]["status"] == "authorized"
    (told,) = summary["statements"]
    assert (told["date"], told["outstanding_micro_sparks"]) == ("2026-07-07", told["issued_micro_sparks"])
    assert summary["ledger"]["verified"] is True


def test_its_members_execute_all_of_it_again_and_their_signatures_make_it_final(tmp_path: Path) -> None:
    summary = json_of(sparks(tmp_path / "data", "demo", "--homes", 2, "--once", "--json", settings=ports()))

    size, members = summary["ledger"]["size"], summary["members"]
    *see_all, sees_a_part = members["copies"]
    assert [copy["role"] for copy in members["copies"]] == ["utility", "regulator", "auditor", "network"]
    assert [copy["executed"] for copy in see_all] == 3 * [size]
    assert 0 < sees_a_part["executed"] < size
    assert [(copy["size"], copy["cosigned"], copy["disagreements"]) for copy in members["copies"]] == 4 * [
        (size, size, [])
    ]
    signed = ["auditor.example/all", "lakeshore.example/all", "payments.example/given", "regulator.example/all"]
    assert members["finality"] == {"size": size, "quorum": 3, "cosigned_by": signed, "final": True}
    assert members["agree"]


def test_it_can_be_repeated_comes_to_the_same_and_keeps_what_was(tmp_path: Path) -> None:
    words = ("demo", "--homes", 1, "--members", 0, "--once", "--json")
    first = json_of(sparks(tmp_path / "data", *words, settings=ports()))
    second = json_of(sparks(tmp_path / "data", *words, settings=ports()))

    same = ("energy_wh", "micro_sparks", "avoided_mg_co2e")
    assert [first[name] for name in same] == [second[name] for name in same]
    assert (tmp_path / "data" / "demo.previous" / "sparks.db").exists()


@pytest.mark.parametrize("fate", [signal.SIGINT, signal.SIGKILL])
def test_it_serves_on_until_it_is_ended_cleanly_or_not_and_its_members_end_with_it(
    tmp_path: Path, fate: signal.Signals
) -> None:
    settings = ports()
    with subprocess.Popen(
        command("demo", "--homes", 1, "--members", 1, "--json"),
        env=environment(tmp_path / "data", settings),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            summary = json.loads(process.stdout.readline())
            (copy,) = summary["members"]["copies"]
            docs = httpx.get(f"http://127.0.0.1:{settings['SPARKS_HTTP_PORT']}/docs")
            status = in_folder(tmp_path / "data" / "demo" / "members" / copy["member_id"], "member", "status", "--json")
            process.send_signal(fate)
            _, rest = process.communicate(timeout=SOON_S)
        finally:
            process.kill()

    assert docs.status_code == 200
    assert json_of(status)["behind"] == 0
    assert (process.returncode, "Traceback" in rest) == (130 if fate is signal.SIGINT else -fate, False)
    wait_until(lambda: not answers(copy["url"]))


def in_folder(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    """What a person gets who goes to a folder and runs `sparks` with no settings of their own."""
    inherited = environment(folder, {})
    del inherited["SPARKS_DATA_DIR"]
    return subprocess.run(command(*words), env=inherited, cwd=folder, capture_output=True, text=True, check=False)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("name", ["SPARKS_HTTP_PORT", "SPARKS_MQTT_PORT"])
def test_a_port_in_use_is_one_clear_line(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {**ports(), name: str(taken.getsockname()[1])}
        done = sparks(tmp_path / "data", "demo", "--homes", 1, "--once", settings=settings)

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"127.0.0.1:{settings[name]}" in done.stderr
    assert name in done.stderr


def test_data_of_another_version_is_one_clear_line_and_left_as_it_was(tmp_path: Path) -> None:
    json_of(sparks(tmp_path / "data", "demo", "--homes", 1, "--members", 0, "--once", "--json", settings=ports()))
    database = tmp_path / "data" / "demo" / "sparks.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    changed = database.read_bytes()

    done = sparks(tmp_path / "data", "demo", "--homes", 1, "--once", settings=ports())

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert database.read_bytes() == changed

"""Every member's machine comes to the same bytes, whatever its language, place, hash seed or optimisation."""

import os
import subprocess
import sys
from pathlib import Path

from contracts.commands import BY_KIND, OpenLedger
from tests.contracts import scenario

ROOT = Path(__file__).parents[2]
MACHINES = (
    (["-O"], {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0"}, ROOT),
    (["-OO"], {"PYTHONHASHSEED": "4242", "TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONUTF8": "1"}, None),
)


def test_a_long_story_comes_to_the_same_bytes_on_every_machine(tmp_path):
    running = [start(flags, settings, place or tmp_path) for flags, settings, place in MACHINES]
    here, executed = scenario.told()
    elsewhere = [process.communicate(timeout=100)[0] for process in running]

    assert elsewhere == [here] * len(MACHINES)
    assert set(BY_KIND) - {OpenLedger.KIND} == set(executed)
    assert executed["record_pack"] >= 300


def start(flags: list[str], settings: dict[str, str], place: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *flags, "-m", "tests.contracts.scenario"]
    return subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)

"""The `sparks` command as its user has it: a process, its output, its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 100


def environment(data_dir: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """This process's, without anybody's settings, and with these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPARKS_")}
    return {**inherited, "SPARKS_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT), **settings}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "services.cli", *map(str, words)]


def sparks(
    data_dir: Path, *words: object, settings: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, in an empty folder."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        command(*words),
        env=environment(data_dir, settings),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def json_of(done: "subprocess.CompletedProcess[str]") -> Any:
    """The JSON object in the last line of standard output."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

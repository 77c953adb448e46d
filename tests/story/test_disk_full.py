"""A disk that takes no more: said in one line, nothing lost, and nothing to repair once there is room.

The disk is a limit on the size of the process's files: it needs no privileges, and another program lifts it.
"""

import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from benchmarks.servers import free_port
from benchmarks.stand import Service
from device_sim.people import CallFailed, Operator
from services.keys import Keys
from tests.story.commands import command, environment, json_of, sparks

DEMO = ("demo", "--homes", 1, "--members", 0, "--once", "--json")
LIMITED = "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))"


def ports() -> dict[str, str]:
    return {"SPARKS_HTTP_PORT": str(free_port()), "SPARKS_MQTT_PORT": str(free_port())}


def sparks_with_files_up_to(
    size: int, data_dir: Path, *words: object, settings: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    run_it = f"{LIMITED}; os.execv(sys.argv[2], sys.argv[2:])"
    return subprocess.run(
        [sys.executable, "-c", run_it, str(size), *command(*words)],
        env=environment(data_dir, settings),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_demo_without_room_says_so_in_one_line_and_runs_once_there_is_some(tmp_path: Path) -> None:
    in_the_schema, in_the_day = 100_000, 600_000
    for size in (in_the_schema, in_the_day):
        done = sparks_with_files_up_to(size, tmp_path / "data", *DEMO, settings=ports())

        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("sparks:")]
        assert said == ["sparks: no space is left on the disk: free some and start again; nothing is lost"]
        assert done.stderr.splitlines()[-1] == said[0]

    assert json_of(sparks(tmp_path / "data", *DEMO, settings=ports()))["ledger"]["verified"] is True


@contextmanager
def a_full_disk(service: Service, data_dir: Path) -> Iterator[None]:
    """No file of the service grows beyond what its write-ahead log has now."""
    pid = service.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    largest = (data_dir / "sparks.db-wal").stat().st_size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def deposit(operator: Operator, number: int) -> str:
    """What became of a deposit, always asked for with the same key: `accepted`, or the problem's code."""
    body = {"amount_cents": 100 + number, "reference": f"number {number}"}
    try:
        operator.post("/v1/reserve-deposits", body, key=f"deposit-{number}")
    except CallFailed as failed:
        return failed.code
    return "accepted"


def test_a_serving_platform_refuses_writes_and_serves_reads_until_there_is_room(tmp_path: Path) -> None:
    data_dir, deposits = tmp_path / "data", 20
    service = Service("all", {"SPARKS_DATA_DIR": str(data_dir), "SPARKS_MQTT_PORT": str(free_port())})
    try:
        service.wait_until_ready()
        credentials = Keys(data_dir / "keys").operator()
        operator = Operator(service.base_url, client_id=credentials.name, client_secret=credentials.secret)
        with closing(operator):
            assert deposit(operator, 0) == "accepted"
            with a_full_disk(service, data_dir):
                refused = {deposit(operator, number) for number in range(1, deposits)}
                reads = {httpx.get(f"{service.base_url}{path}").status_code for path in ("/healthz", "/log/checkpoint")}
                listed = operator.get("/v1/devices")
            service.wait_until_ready()
            again = {deposit(operator, number) for number in range(deposits)}
    finally:
        service.stop()

    assert refused - {"accepted"} <= {"ledger_unavailable", "database_unavailable"}
    assert refused != {"accepted"}
    assert (reads, listed["items"]) == ({200}, [])
    assert again == {"accepted"}
    verified = json_of(sparks(data_dir, "ledger", "verify", "--json"))
    assert (verified["verified"], verified["size"]) == (True, 1 + deposits)

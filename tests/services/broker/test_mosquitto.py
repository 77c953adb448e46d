"""What is Mosquitto's own: its first file, its administrator, its batches."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import servers
from services.broker.accounts import Login
from services.broker.mosquitto import ControlFailed, MosquittoAccounts, first_config
from tests.services.broker.clients import connected
from tests.services.broker.conftest import ADMIN, PLATFORM, Gate, mosquitto_gate


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Gate]:
    with mosquitto_gate(tmp_path) as gate:
        yield gate


def test_an_order_of_many_batches_is_admitted_whole_and_again(running: Gate) -> None:
    order = [(f"unit-{number}", f"password-{number}") for number in range(130)]
    running.accounts.admit(order[:70])
    running.accounts.admit(order)
    for username, password in (order[0], order[69], order[129]):
        with connected(running.port, Login(username, password)):
            pass


@pytest.mark.parametrize("login", [Login(ADMIN.username, "guess"), PLATFORM])
def test_only_the_administrator_admits(running: Gate, login: Login) -> None:
    accounts = MosquittoAccounts(host="127.0.0.1", port=running.port, admin=login)
    with pytest.raises(ControlFailed):
        accounts.admit([("unit-1", "password-1")])


def test_a_command_that_mosquitto_refuses_is_an_error_with_its_reason(running: Gate) -> None:
    running.accounts.admit([("unit-1", "password-1")])
    with pytest.raises(ControlFailed, match="Empty password"):
        running.accounts.admit([("unit-1", "")])


def test_a_mosquitto_that_is_not_there_is_an_error_that_names_it() -> None:
    port = servers.free_port()
    accounts = MosquittoAccounts(host="127.0.0.1", port=port, admin=ADMIN)
    with pytest.raises(ControlFailed, match=str(port)):
        accounts.remove(["unit-1"])


def test_the_first_file_is_the_owners_alone_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "dynamic-security.json"
    first_config(path, admin=ADMIN, platform=PLATFORM, random_bytes=bytes)
    before = path.read_text()
    first_config(path, admin=Login("other_admin", "other"), platform=PLATFORM)
    assert path.read_text() == before
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(json.loads(before)["defaultACLAccess"].values())
    assert ADMIN.password not in before

"""An operator and two members as their users have them: processes, settings, and only HTTP between them."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks import servers
from contracts.approvals import approve_bytes, proven_key
from contracts.commands import Command, DepositReserve, Request
from contracts.commands import to_bytes as request_bytes
from contracts.governed import AdmitMember, SetQuorum
from contracts.wire import signatures
from services.clock import SystemClock
from services.embedded import Platform
from services.faces import Service
from services.keys import Keys, Use
from services.ledger.client import Accepted
from services.settings import Settings
from tests.story.commands import command, environment, json_of, sparks
from tests.story.outsider.stage import eventually

NAMES = ("hydro", "auditor")
YEAR_S = 365 * 86_400


class Consortium:
    """A ledger service in this process, and what its members are told of it."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder
        self.ports = {name: servers.free_port() for name in NAMES}
        self.log_key = httpx.get(f"{platform.base_url}/log/keys").text.splitlines()[0]

    def settings(self, name: str) -> dict[str, str]:
        other = next(one for one in NAMES if one != name)
        return {
            "SPARKS_HTTP_PORT": str(self.ports[name]),
            "SPARKS_MEMBER_OPERATOR_URL": self.platform.base_url,
            "SPARKS_MEMBER_ID": name,
            "SPARKS_MEMBER_LOG_KEY": self.log_key,
            "SPARKS_MEMBER_COSIGN_NAME": f"{name}.example/all",
            "SPARKS_MEMBER_PEERS": f"http://127.0.0.1:{self.ports[other]}",
        }

    def keys(self, name: str) -> Keys:
        return Keys(self.folder / name / "keys")

    def ask(self, command: Command) -> None:
        zero = bytes(32)
        id = hashlib.sha256(request_bytes(Request(zero, zero, command))).digest()
        (outcome,) = self.platform.ledger.submit([Request(id, zero, command)])
        assert isinstance(outcome, Accepted), outcome

    def approved(self, command: AdmitMember | SetQuorum, *names: str) -> None:
        message = approve_bytes(self.platform.settings.ledger_origin, command)
        signed = tuple((name, signatures.sign(self.keys(name).seed(Use.GOVERN), message)) for name in names)
        self.ask(replace(command, approvals=signed))

    def admit_all(self) -> None:
        now_s = self.platform.clock.now_s()
        for serial, name in enumerate(NAMES):
            said = {"origin": self.platform.settings.ledger_origin, "member_id": name}
            keys = tuple(
                proven_key(self.keys(name).seed(use), use=str(use), from_s=now_s, until_s=now_s + YEAR_S, **said)
                for use in (Use.GOVERN, Use.COSIGN)
            )
            url, cosign_name = f"http://127.0.0.1:{self.ports[name]}", f"{name}.example/all"
            self.approved(AdmitMember(serial, name, name, "auditor", url, cosign_name, keys, ()), *NAMES[: serial + 1])
        self.approved(SetQuorum(2, 2, ()), *NAMES)

    def is_final(self) -> bool:
        """Does the newest published checkpoint bear both members' signatures, and cover everything?"""
        note = httpx.get(f"{self.platform.base_url}/log/checkpoint").text
        is_whole = int(note.split("\n")[1]) == self.platform.ledger.head().size
        return is_whole and all(f"{name}.example/all" in note for name in NAMES)

    def answers(self, name: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[name]}/healthz").is_success
        except httpx.TransportError:
            return False

    @contextmanager
    def serving(self, name: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A member's node as a process of its own, until the end or until somebody kills it."""
        with (self.folder / f"{name}.log").open("ab") as said:
            process = subprocess.Popen(
                command("serve", "member"),
                env=environment(self.folder / name, self.settings(name)),
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        try:
            assert eventually(lambda: self.answers(name)), (self.folder / f"{name}.log").read_text()
            yield process
        finally:
            process.terminate()
            process.wait()


def test_two_members_make_checkpoints_final_and_one_that_was_killed_catches_up(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "operator", http_port=0)
    with Platform(settings, SystemClock(), services=frozenset({Service.LEDGER})) as platform:
        consortium = Consortium(platform, tmp_path)
        consortium.admit_all()
        with consortium.serving("hydro"):
            with consortium.serving("auditor") as auditor:
                assert eventually(consortium.is_final)
                os.kill(auditor.pid, signal.SIGKILL)
            for cents in range(1, 50):
                consortium.ask(DepositReserve(cents, f"deposit {cents}"))
            assert not consortium.is_final()
            with consortium.serving("auditor"):
                assert eventually(consortium.is_final)

                mine = consortium.settings("auditor")
                status = json_of(sparks(tmp_path / "auditor", "member", "status", "--json", settings=mine))
                assert (status["behind"], status["disagreements"]) == (0, [])
        verified = json_of(sparks(tmp_path / "auditor", "ledger", "verify", "--json", settings=mine))
        assert verified["verified"]
        assert verified["root"] == platform.ledger.head().root.hex()

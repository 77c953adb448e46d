"""The members of a demo: organisations that decide together, each with a folder, a process and a copy of its own.

Owns who they are, and how they are begun and ended. They meet the platform over HTTP only and live on the machine's
clock, as members of any platform do.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx

from contracts import programmes
from contracts.programmes import ALL_COLLECTIONS
from services.clock import SystemClock
from services.embedded import listen, served
from services.keys import Keys, Use
from services.ledger import checkpoints, notes
from services.ledger.notes import KeyType, OpenedNote
from services.member.program import ALL, GIVEN, PROGRAMME, parts
from services.observability import configure_logging
from services.proposing import Desk, proven_key
from services.receipts import keyring
from services.settings import PREFIX, Settings

HOST: Final = "127.0.0.1"
NICE: Final = 10
"""Copies take the time that the platform leaves."""
ENV_FILE: Final = ".env"
LOG_FILE: Final = "member.log"
STOP_S_MAX: Final = 5
POLL_S: Final = 0.1
TIMEOUT_S: Final = 10
CARRIED: Final = "carried"
PROGRESS: Final = "members' copies"

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""(what is done, how much of it, of how much)"""


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who becomes a member; its role says which payloads it is given."""

    member_id: str
    name: str
    role: str


ORGANISATIONS: Final = (
    Organisation("lakeshore", "Lakeshore Power", "utility"),
    Organisation("regulator", "Energy Board", "regulator"),
    Organisation("auditor", "Maple Auditors", "auditor"),
    Organisation("payments", "Payment Network", "network"),
)
"""The operator's own organisation first; the last one is given a part of the collections only."""


@dataclass(frozen=True, slots=True)
class MemberCopy:
    """An organisation with its node: where it answers, and the folder with its settings, keys and database."""

    organisation: Organisation
    settings: Settings
    process: SpawnProcess

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.settings.http_port}"

    def status(self) -> dict[str, Any]:
        """What the node says of itself; nothing if it does not answer."""
        try:
            found: dict[str, Any] = httpx.get(f"{self.base_url}/v1/member/status", timeout=TIMEOUT_S).json()
        except (httpx.HTTPError, ValueError):
            return {}
        return found


@dataclass(frozen=True, slots=True)
class Consortium:
    """The members of the platform at `url`; `operator` is the file of the credentials that propose."""

    url: str
    operator: Path
    members: tuple[MemberCopy, ...]

    def found(self) -> None:
        """Admit them one after the other, each approved by as many as it takes, and let a majority make final."""
        for place, member in enumerate(self.members):
            self._decide(_admission(member, self._desk.look("/v1/members")), [member, *self.members[:place]])
        if self.members:
            self._decide({"kind": "set_quorum", "quorum": len(self.members) // 2 + 1}, self.members)

    @property
    def _desk(self) -> Desk:
        return Desk(self.url, self.operator)

    def _decide(self, body: dict[str, Any], approvers: Sequence[MemberCopy]) -> None:
        desk = self._desk
        proposal = desk.propose(body)
        state = proposal["state"]
        for member in approvers:
            if state != CARRIED:
                seed = Keys(member.settings.keys_dir).seed(Use.GOVERN)
                state = desk.approve(proposal, member.organisation.member_id, seed)["state"]

    def wait_until_cosigned(self, size: int, *, at_most_s: float, on_progress: OnProgress) -> None:
        """Return once the log shows that every copy that goes on has signed all `size` entries, or after a while."""
        until_s = time.monotonic() + at_most_s
        total = size * len(self.members)
        while (behind := self._behind(size)) and time.monotonic() < until_s:
            on_progress(PROGRESS, total - behind, total)
            threading.Event().wait(POLL_S)
        on_progress(PROGRESS, total - behind, total)

    def _behind(self, size: int) -> int:
        """How many entries are still to be executed or co-signed, over all copies that go on."""
        statuses = list(self._statuses())
        behind = sum(_behind(member, status, size) for member, status in statuses)
        going_on = sum(bool(status) and not status["disagreements"] for _, status in statuses)
        # What is signed is shown a moment later.
        return behind or max(going_on - len(self._finality()["cosigned_by"]), 0)

    def summary(self, size: int) -> dict[str, Any]:
        """What each copy says of a log of `size` entries, and what the published checkpoint bears."""
        told = [
            {
                "member_id": member.organisation.member_id,
                "name": member.organisation.name,
                "role": member.organisation.role,
                "url": member.base_url,
                "copy": status.get("copy", ""),
                "size": status.get("size", 0),
                "executed": status.get("executed", 0),
                "cosigned": status.get("cosigned_size", 0),
                "disagreements": status.get("disagreements", []),
                "answers": bool(status),
            }
            for member, status in self._statuses()
        ]
        agree = all(one["size"] >= size and not one["disagreements"] for one in told)
        return {"entries": size, "agree": agree, "copies": told, "finality": self._finality()}

    def _statuses(self) -> Iterator[tuple[MemberCopy, dict[str, Any]]]:
        return ((member, member.status()) for member in self.members)

    def _finality(self) -> dict[str, Any]:
        """Who has co-signed the published checkpoint, checked by the published keys as any outsider would."""
        note = httpx.get(f"{self.url}/log/checkpoint", timeout=TIMEOUT_S).content
        keys = keyring.parse(httpx.get(f"{self.url}/log/keys", timeout=TIMEOUT_S).text)
        opened = notes.open_note(note, [keys.log, *keys.members]) if keys else None
        said = checkpoints.parse(opened.text) if isinstance(opened, OpenedNote) else None
        if keys is None or said is None or not isinstance(opened, OpenedNote):
            return {"size": 0, "quorum": 0, "cosigned_by": [], "final": False}
        names = sorted(one.key.name for one in opened.signatures if one.key.type is KeyType.COSIGNATURE)
        is_final = 0 < keys.quorum <= len(names)
        return {"size": said.size, "quorum": keys.quorum, "cosigned_by": names, "final": is_final}


@contextmanager
def running(
    organisations: Sequence[Organisation], settings: Settings, *, url: str, log_key: str, operator: Path
) -> Iterator[Consortium]:
    """Begin the nodes of these organisations, and end them at the end; they wait until they are admitted.

    Each has a folder of its own in the data folder of `settings`, with its settings in `.env`, so that `sparks` in that
    folder is the member's own command. A node that its parent process does not outlive ends by itself.
    """
    with ExitStack() as stack:
        ports = [stack.enter_context(listen(HOST, 0, "SPARKS_HTTP_PORT")) for _ in organisations]
        urls = [f"http://{HOST}:{port.getsockname()[1]}" for port in ports]
        copies = []
        for place, organisation in enumerate(organisations):
            chosen = settings.model_copy(
                update={
                    "data_dir": settings.data_dir / "members" / organisation.member_id,
                    "http_host": HOST,
                    "http_port": ports[place].getsockname()[1],
                    "member_operator_url": url,
                    "member_ahead_s": None,  # the rehearsal's clock is not this machine's
                    "member_id": organisation.member_id,
                    "member_log_key": log_key,
                    "member_cosign_name": f"{organisation.member_id}.example{_sees(organisation)}",
                    "member_peers": ",".join(other for other in urls if other != urls[place]),
                }
            )
            copies.append(_begin(organisation, chosen, ports[place]))
            stack.callback(_end, copies[-1].process)
        for port in ports:
            port.close()  # the nodes have theirs: who starts one again by hand finds the port free
        yield Consortium(url, operator, tuple(copies))


def _begin(organisation: Organisation, settings: Settings, port: socket.socket) -> MemberCopy:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / ENV_FILE).write_text(_env(settings), encoding="ascii")
    # No daemon: a node has a process of its own for signatures. It ends with its parent all the same: `_serve`.
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(settings, port))
    process.start()
    return MemberCopy(organisation, settings, process)


def _env(settings: Settings) -> str:
    """The settings with which `sparks`, run in the member's folder, is the member's."""
    names = ("http_host", "http_port", *(name for name in Settings.model_fields if name.startswith("member_")))
    values = {"data_dir": ".", **{name: getattr(settings, name) for name in names}}
    told = {name: "" if value is None else value for name, value in values.items() if value != ""}
    return "".join(f"{PREFIX}{name.upper()}={value}\n" for name, value in told.items())


def _serve(settings: Settings, port: socket.socket) -> None:
    """A member's process: until it is told to end, or its parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its members
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.nice(NICE)
    parent = multiprocessing.parent_process()
    with (settings.data_dir / LOG_FILE).open("a", encoding="utf-8") as said:
        configure_logging(said)
        with parts(settings, SystemClock()) as member, served(member.app, port):
            if parent is not None:
                parent.join()


def _end(process: SpawnProcess) -> None:
    process.terminate()
    process.join(STOP_S_MAX)
    if process.is_alive():
        process.kill()
        process.join()


def _admission(member: MemberCopy, members: dict[str, Any]) -> dict[str, Any]:
    """`members` are as the platform shows them."""
    keys, organisation = Keys(member.settings.keys_dir), member.organisation
    member_id = organisation.member_id
    return {
        "kind": "admit_member",
        "member_id": organisation.member_id,
        "name": organisation.name,
        "role": organisation.role,
        "url": member.base_url,
        "cosign_name": member.settings.member_cosign_name,
        "keys": [proven_key(members, keys.seed(use), member_id, str(use), None) for use in (Use.GOVERN, Use.COSIGN)],
    }


def _sees(organisation: Organisation) -> str:
    collections = programmes.load(PROGRAMME).role_collections[organisation.role]
    return ALL if ALL_COLLECTIONS in collections else GIVEN


def _behind(member: MemberCopy, status: dict[str, Any], size: int) -> int:
    if not status:
        return size if member.process.is_alive() else 0
    return 0 if status["disagreements"] else max(size - status["cosigned_size"], 0)

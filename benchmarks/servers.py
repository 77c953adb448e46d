"""Real brokers and databases for benchmarks and tests, on free loopback ports, ended by pid.

Each server runs under `setpriv --pdeathsig`, so that the kernel ends it even if the test process is killed
before any clean-up. The kernel watches the *thread* that started the server: let it outlive the server.
"""

import glob
import itertools
import os
import pwd
import random
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import psycopg
from psycopg import sql

START_S_MAX: Final = 30
STOP_S_MAX: Final = 15
POLL_S: Final = 0.02

# Below the range from which the kernel takes the ports of outgoing connections (from 32768), so that none of
# those takes a port between our finding it free and the server binding it.
PORTS: Final = range(20_000, 32_000)
_chance = random.SystemRandom()  # a seed shared by parallel workers would give them the same ports


class ServerFailed(Exception):
    """A server ended, or stayed silent, while we waited for it to become ready. Carries its log."""


def free_port() -> int:
    """Return a TCP port that nobody uses on loopback."""
    while True:
        port = _chance.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def accepts_connections(port: int) -> bool:
    """Say whether something listens on this loopback port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


@dataclass(slots=True, kw_only=True)
class ServerProcess:
    """One server and its files. It can be ended in two ways, and started again on the same port and files.

    command      what to execute, without setpriv
    setpriv      options for setpriv, to run as another user
    is_ready     says whether it serves; asked until it does
    stop_signal  asks it to end in good order
    """

    command: Sequence[str]
    directory: Path
    is_ready: Callable[[], bool]
    setpriv: Sequence[str] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Of the running server."""
        if self.process is None:
            raise ServerFailed(f"{self.command[0]} is not running")
        return self.process.pid

    @property
    def log_path(self) -> Path:
        """Everything the server has said."""
        return self.directory / "server.log"

    def start(self) -> None:
        """Start and return once the server serves. Raises ServerFailed."""
        if self.process is not None:
            raise RuntimeError(f"already running as {self.process.pid}")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", *self.setpriv, "--pdeathsig", self.stop_signal.name[3:], *self.command],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is for pytest, which then ends its servers
            )
        self._await_ready(self.process)

    def stop(self) -> None:
        """Ask the server to end, and return once it has. Does nothing if it does not run."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End the server and its children at once, as a crash would, and return once they are gone."""
        if self.process is None:
            return
        children = [os.pidfd_open(pid) for pid in child_pids(self.process.pid)]
        self.process.kill()
        self.process.wait()
        self.process = None
        for child in children:
            _kill_and_wait(child)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up_at = monotonic() + START_S_MAX
        while not self.is_ready():
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if monotonic() < give_up_at:
                    continue
            self.kill()
            raise ServerFailed(f"{self.command[0]}: {self.log_path.read_text(errors='replace')}")


def child_pids(pid: int) -> list[int]:
    """Return the pids of the direct children of a process, whichever of its threads made them."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in _text_unless_gone(task).split()]


def _text_unless_gone(path: Path) -> str:
    """Return what a file of /proc says, or nothing if its thread has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _kill_and_wait(pidfd: int) -> None:
    """Kill the process behind a pidfd, wait until it is gone, close the pidfd."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], STOP_S_MAX)  # readable once the process has ended
    except ProcessLookupError:
        return  # it ended by itself
    finally:
        os.close(pidfd)


def program(name: str, *places: str) -> str:
    """Return the path of a server's program: in PATH, in /usr/sbin, or in the newest of `places` (globs)."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        versions = [path for place in places for path in glob.glob(f"{place}/{name}")]
        found = max(versions, key=lambda path: [int(n) for n in Path(path).parts if n.isdigit()], default=None)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: `make test` installs it")
    return found


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    """A temporary folder of its own: a database's system user cannot always reach pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        yield Path(name)


# --- Mosquitto ----------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Mosquitto:
    """A running Mosquitto.

    admin_username, admin_password  may edit users and rights; empty without dynamic security
    """

    port: int
    server: ServerProcess
    admin_username: str = ""
    admin_password: str = ""

    @property
    def url(self) -> str:
        """Where it is, as SPARKS_BROKER_URL wants it."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it again on the same port and files."""
        self.server.start()

    def stop(self) -> None:
        """End it in good order; it saves its sessions and retained messages."""
        self.server.stop()

    def kill(self) -> None:
        """End it with SIGKILL; what it had not saved is lost."""
        self.server.kill()


def dynamic_security_plugin() -> str:
    """Return the path of Mosquitto's dynamic security plugin."""
    (path, *_) = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")
    return path


@contextmanager
def mosquitto(
    config_extra: str = "", *, allow_anonymous: bool = True, dynamic_security: bool = False
) -> Iterator[Mosquitto]:
    """Run a Mosquitto with persistence; `config_extra` is added to its configuration.

    With `dynamic_security` nobody is anonymous, and one administrator exists who may create the others.
    """
    with _folder("sparks-mosquitto-") as directory:
        port = free_port()
        lines = [
            f"listener {port} 127.0.0.1",
            "persistence true",
            f"persistence_location {directory}/",
            f"allow_anonymous {str(allow_anonymous and not dynamic_security).lower()}",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it would become a user who cannot write here
        broker = Mosquitto(
            port=port,
            server=ServerProcess(
                command=[program("mosquitto"), "-c", str(directory / "mosquitto.conf")],
                directory=directory,
                is_ready=lambda: accepts_connections(port),
            ),
        )
        if dynamic_security:
            broker.admin_username, broker.admin_password = "admin", secrets.token_hex(12)
            lines += _dynamic_security_lines(directory, broker)
        (directory / "mosquitto.conf").write_text("\n".join([*lines, config_extra, ""]))
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


def _dynamic_security_lines(directory: Path, broker: Mosquitto) -> list[str]:
    """Make the plugin's file with its one administrator; return the lines that load the plugin."""
    rights = directory / "dynamic-security.json"
    subprocess.run(
        [program("mosquitto_ctrl"), "dynsec", "init", rights, broker.admin_username, broker.admin_password],
        check=True,
        capture_output=True,
    )
    return [f"plugin {dynamic_security_plugin()}", f"plugin_opt_config_file {rights}"]


# --- PostgreSQL ---------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Postgres:
    """A running PostgreSQL cluster, with a new database for whoever asks."""

    port: int
    server: ServerProcess
    names: Iterator[str] = field(default_factory=lambda: (f"sparks_{n}" for n in itertools.count(1)))

    @property
    def admin_dsn(self) -> str:
        """The maintenance database, as libpq wants it."""
        return f"postgresql://sparks@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it again on the same port and files."""
        self.server.start()

    def stop(self) -> None:
        """End it in good order, breaking its connections."""
        self.server.stop()

    def kill(self) -> None:
        """End it with SIGKILL, all its processes; the next start recovers from the write-ahead log."""
        self.server.kill()

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Make an empty database, give its SQLAlchemy URL, and drop it with whatever is still connected."""
        name = next(self.names)
        self._execute("CREATE DATABASE {}", name)
        try:
            yield f"postgresql+psycopg://sparks@127.0.0.1:{self.port}/{name}"
        finally:
            if self.server.process is not None:
                self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: str, name: str) -> None:
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@contextmanager
def postgres(*, fast: bool = False) -> Iterator[Postgres]:
    """Run a new PostgreSQL cluster; any loopback client is its owner `sparks`.

    `fast` leaves out fsync: what is committed survives a crash of every process, but not of the machine.
    """
    with _folder("sparks-postgres-") as directory:
        other_user = _user_for_postgres(directory)
        _make_cluster(directory, other_user)
        port = free_port()
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off" if fast else "on",
            "full_page_writes": "off" if fast else "on",
        }
        options = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in settings.items())
        cluster = Postgres(
            port=port,
            server=ServerProcess(
                command=[_postgres_program("postgres"), "-D", str(directory / "data"), *options],
                directory=directory,
                is_ready=lambda: _answers_queries(cluster.admin_dsn),
                setpriv=other_user,
                stop_signal=signal.SIGINT,  # "fast shutdown": does not wait for clients to leave
            ),
        )
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def _make_cluster(directory: Path, other_user: list[str]) -> None:
    command = [
        *(["setpriv", *other_user] if other_user else []),
        *[_postgres_program("initdb"), "--pgdata", str(directory / "data"), "--username", "sparks"],
        *["--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"],
    ]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)


def _postgres_program(name: str) -> str:
    # Debian keeps these out of PATH.
    return program(name, "/usr/lib/postgresql/*/bin")


def _user_for_postgres(directory: Path) -> list[str]:
    """Return setpriv's options for the user to run as, who gets the folder: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return []
    known = {user.pw_name: user for user in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    os.chown(directory, user.pw_uid, user.pw_gid)
    return ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]


def _answers_queries(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True

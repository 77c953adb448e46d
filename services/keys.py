"""The platform's seeds and secrets: files in one folder, made when first asked for, readable by their owner only.

Owns where they lie, how they come into being and what may be derived from them. Never logs one, never takes one
from the environment, and refuses a file that others can read.
"""

import base64
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

from contracts.wire import signatures

SECRET_BYTES: Final = 32
OPERATOR_FILE: Final = "operator.json"
_OTHERS: Final = 0o077


class KeyFileUnusable(Exception):
    """A key file cannot be read or made, or others can read it; the message is one line for the operator."""


class Use(StrEnum):
    """What an Ed25519 seed signs; never one seed for two uses (standards.md 1.2)."""

    LOG = "log"
    RECEIPTS = "receipts"
    COMMANDS = "commands"
    TOKENS = "tokens"
    GOVERN = "govern"
    COSIGN = "cosign"


def new_seed(path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """Make a seed file of an organisation's own, which is never overwritten; the public key."""
    seed = random_bytes(SECRET_BYTES)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{seed.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise KeyFileUnusable(f"{path}: {error.strerror}") from error
    _sync(path.parent)
    return signatures.public_key_of(seed)


def read_seed(path: Path) -> bytes:
    """The 32-byte seed that `new_seed` wrote."""
    try:
        _refuse_others(path)
        seed = bytes.fromhex(path.read_text(encoding="ascii"))
    except OSError as error:
        raise KeyFileUnusable(f"{path}: {error.strerror}") from error
    except ValueError:
        seed = b""
    if len(seed) != SECRET_BYTES:
        raise KeyFileUnusable(f"{path}: not {SECRET_BYTES} bytes in hex")
    return seed


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client proves itself with: an OAuth client's id and secret, or a user name and password."""

    name: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials(name={self.name!r})"


@dataclass(frozen=True)
class Keys:
    """The files of `folder`. Seeds are read each time: whoever signs often keeps what it asked for."""

    folder: Path
    random_bytes: Callable[[int], bytes] = os.urandom

    def seed(self, use: Use) -> bytes:
        """The 32-byte Ed25519 seed for one use."""
        return self._secret(f"{use}.seed")

    def public_key(self, use: Use) -> bytes:
        """The 32-byte public key that belongs to `seed(use)`."""
        return signatures.public_key_of(self.seed(use))

    def operator_file(self) -> Path:
        """Where whoever installed the platform finds the first operator's credentials."""
        self.operator()
        return self.folder / OPERATOR_FILE

    def operator(self) -> Credentials:
        """The first operator's OAuth client, for whoever installed the platform to read from `operator.json`."""
        made = json.dumps({"client_id": "operator", "client_secret": self._random_text()}, indent=2)
        content = json.loads(self._content(OPERATOR_FILE, made + "\n"))
        return Credentials(content["client_id"], content["client_secret"])

    def broker(self) -> Credentials:
        """What the platform itself logs in to the broker with; no unit can have such a name."""
        return self._login("broker.json", "sparks_platform")

    def broker_admin(self) -> Credentials:
        """What the platform lets units into Mosquitto with."""
        return self._login("broker-admin.json", "sparks_admin")

    def internal_token(self) -> str:
        """The bearer token that the platform's own services show each other."""
        return self._content("internal.token", self._random_text() + "\n").strip()

    def derive(self, purpose: str, *parts: bytes) -> bytes:
        """32 bytes that only this platform can make, the same for the same purpose and parts.

        So a one-time secret can be made again from the request that asked for it, and is never stored.
        """
        message = b"".join(len(part).to_bytes(4, "big") + part for part in (purpose.encode(), *parts))
        return hmac.digest(self._derivation_secret, message, hashlib.sha256)

    @cached_property
    def _derivation_secret(self) -> bytes:
        return self._secret("derivation.secret")  # kept: every checkout code is derived

    def _secret(self, name: str) -> bytes:
        content = self._content(name, self.random_bytes(SECRET_BYTES).hex() + "\n")
        try:
            secret = bytes.fromhex(content)
        except ValueError:
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise KeyFileUnusable(f"{self.folder / name}: not {SECRET_BYTES} bytes in hex; restore it from a backup")
        return secret

    def _login(self, name: str, username: str) -> Credentials:
        made = json.dumps({"username": username, "password": self._random_text()}, indent=2)
        content = json.loads(self._content(name, made + "\n"))
        return Credentials(content["username"], content["password"])

    def _random_text(self) -> str:
        return base64.urlsafe_b64encode(self.random_bytes(SECRET_BYTES)).decode().rstrip("=")

    def _content(self, name: str, made: str) -> str:
        """What the file holds; `made` if there was none, unless another process was quicker."""
        path = self.folder / name
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_others(self.folder)
            if not path.exists():
                self._create(path, made)
            _refuse_others(path)
            return path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileUnusable(f"{path}: {error.__class__.__name__}: {error}") from error

    def _create(self, path: Path, made: str) -> None:
        """Put a whole file in place, or leave the one that another process put there meanwhile."""
        draft = path.with_name(f".{path.name}.{self.random_bytes(8).hex()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(made)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # unlike a rename, it never replaces
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _sync(path.parent)


def _refuse_others(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise KeyFileUnusable(f"{path}: others may read it (mode {mode:04o}); chmod go= {path}")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

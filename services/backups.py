"""Backups of a platform's ledger, or of a member's copy: made, put back, and gone by the date that each states.

Owns where their files lie and by which keys they are judged. What a backup holds, `services.ledger.backup` decides.
"""

import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import Connection

from contracts.units import DAY_S, UnixSeconds
from services.keys import Use
from services.ledger import backup, continuing
from services.ledger.archive import PARTIAL, BadBackup, Reading, new_file
from services.ledger.backup import OnProgress
from services.ledger.client import LedgerUnavailable
from services.ledger.continuing import Published
from services.ledger.notes import KeyType, VerifierKey
from services.member import memory
from services.member.operator import Log, Unreachable
from services.moments import rfc3339
from services.settings import Settings
from services.upkeep import NoLedger, engine_of, log_public_key

SUFFIX: Final = ".sparks"
CHECKPOINT: Final = "/log/checkpoint"
UNFINISHED_S_MAX: Final = DAY_S
"""An unfinished file that is older belongs to nobody who still writes it."""


class CannotRestore(Exception):
    """A backup that is whole and must not be put back as it was asked; one line says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` took away, and the backups that it left, each with the moment by which it must be gone."""

    removed: list[Path]
    kept: list[tuple[Path, UnixSeconds]]


def back_up(
    settings: Settings, path: Path, keys: Path | None, on_progress: OnProgress, *, now_s: UnixSeconds
) -> dict[str, Any]:
    """Write a backup to `path`, named by its moment if that is a folder; the platform may run meanwhile.

    keys  a new tar file for the key files
    """
    file = path / f"{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}{SUFFIX}" if path.is_dir() else path
    engine = engine_of(settings)
    try:
        expires_at_s = now_s + settings.backup_days * DAY_S
        manifest = backup.backup(engine, file, at_s=now_s, expires_at_s=expires_at_s, on_progress=on_progress)
    finally:
        engine.dispose()
    if keys is not None:
        with new_file(keys) as written, tarfile.open(fileobj=written, mode="w") as archive:
            archive.add(settings.keys_dir, arcname=settings.keys_dir.name)
    return {
        "file": str(file),
        "origin": manifest.origin,
        "size": manifest.size,
        "root": manifest.root,
        "expires_at": rfc3339(expires_at_s),
    }


def prune(settings: Settings, folder: Path, *, now_s: UnixSeconds) -> Pruned:
    """Remove the backups in a folder whose date has passed, and what a backup that was killed left; nothing else."""
    removed: list[Path] = []
    kept: list[tuple[Path, UnixSeconds]] = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if path.name.startswith(".") and path.name.endswith(PARTIAL):
            if path.stat().st_mtime < now_s - UNFINISHED_S_MAX:
                removed.append(path)
            continue
        expires_at_s = _expiry(settings, path)
        if expires_at_s is not None and expires_at_s <= now_s:
            removed.append(path)
        elif expires_at_s is not None:
            kept.append((path, expires_at_s))
    for path in removed:
        path.unlink()
    return Pruned(removed, kept)


def restore(
    settings: Settings,
    path: Path,
    published: Sequence[str],
    on_progress: OnProgress,
    *,
    now_s: UnixSeconds,
    accept_expired: bool = False,
) -> dict[str, Any]:
    """Restore a backup into the empty database of these settings, whose keys must be there already."""
    expires_at_s = _expiry(settings, path)
    if expires_at_s is not None and expires_at_s <= now_s and not accept_expired:
        raise CannotRestore(
            f"{path} was to be gone by {rfc3339(expires_at_s)}: it may hold what was erased since; "
            "--accept-expired restores it all the same"
        )
    is_copy = bool(settings.member_log_key)
    for use in (Use.GOVERN, Use.COSIGN) if is_copy else (Use.LOG,):
        if not (settings.keys_dir / f"{use}.seed").exists():
            raise NoLedger(f"there is no {use}.seed in {settings.keys_dir}; put the keys back first")
    if is_copy and not published:
        raise CannotRestore(
            "a member's copy needs --checkpoint, the newest that the operator or another member shows: "
            "what this member signed after its backup is not in it, and it must not sign another history"
        )
    shown = [_published(place) for place in published]
    public_key = log_public_key(settings)
    manifest = backup.restore(
        settings.database,
        path,
        segments=settings.segments,
        log_public_key=public_key,
        published=shown,
        on_progress=on_progress,
        also=_remembering(shown, public_key, settings) if is_copy else None,
    )
    return {"origin": manifest.origin, "size": manifest.size, "root": manifest.root, "verified": True}


def _remembering(shown: Sequence[Published], public_key: bytes, settings: Settings) -> Callable[[Connection], None]:
    """A member takes the largest tree that it was shown for one that it has signed: it signs what continues that."""

    def remember(connection: Connection) -> None:
        name = settings.member_log_key.partition("+")[0]
        log_key = VerifierKey(name, KeyType.ED25519, public_key)
        signed = [(continuing.signed(one.note, log_key), one.note) for one in shown]
        newest, note = max(signed, key=lambda one: one[0].size)
        memory.raise_cosigned(connection, newest.origin, memory.Cosigned(newest.size, newest.root, note))

    return remember


def _expiry(settings: Settings, path: Path) -> UnixSeconds | None:
    """The moment by which a backup is to be gone; None for a file that is no backup."""
    try:
        with Reading(path) as archive:
            said = archive.manifest
    except BadBackup:
        return None
    return said.made_at_s + settings.backup_days * DAY_S if said.expires_at_s is None else said.expires_at_s


def _published(place: str) -> Published:
    """The checkpoint in a file, or at an HTTP URL, with the tiles beside it."""
    if not place.startswith(("http://", "https://")):
        return Published(Path(place).read_bytes())
    try:
        note = httpx.get(place, follow_redirects=True).raise_for_status().content
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LedgerUnavailable(f"{place}: {error}") from error
    if not place.endswith(CHECKPOINT):
        return Published(note)

    def tile(level: int, n: int, size: int) -> bytes:
        log = Log(place.removesuffix(CHECKPOINT))
        try:
            return log.tile(level, n, size=size)
        except Unreachable as error:
            raise OSError(str(error)) from error
        finally:
            log.close()

    return Published(note, tile)

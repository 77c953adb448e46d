"""A backup as a file: a ZIP archive of the tables' rows in CBOR, the same for both engines, and a manifest.

Each part is a sequence of CBOR arrays of rows; `manifest.json` says how many and has their SHA-256. Segment files
(`segments`) are parts of their own, under names that say what they must be. The file appears under its name when it is
whole, or never, and only its owner may read it.
"""

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self, TypeAlias

import cbor2

from contracts.units import UnixSeconds

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
PARTIAL: Final = ".partial"
"""How the name of a file ends that was not finished; its writer takes it away unless it was killed."""
MANIFEST_BYTES_MAX: Final = 1_000_000
_CHUNK_BYTES: Final = 65_536
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)

_MISREAD: Final = (KeyError, TypeError, ValueError, RuntimeError)
"""RuntimeError: encrypted, compressed in another way, or nested without end."""

Rows: TypeAlias = Sequence[Sequence[Any]]


class BadBackup(Exception):
    """The file is no backup, or is not what its manifest says; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one table."""

    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup is of.

    origin, size, root  the log's name, how many entries it has, and the hash over them (hex)
    checkpoint          the signed note that says so
    contract_version    of the last entry (hex)
    schema              revision of the tables
    parts               by table
    expires_at_s        when it is to be gone, because of what was erased since; None: it was not stated
    """

    origin: str
    size: int
    root: str
    checkpoint: str
    contract_version: str
    schema: str
    made_at_s: UnixSeconds
    parts: Mapping[str, Part]
    expires_at_s: UnixSeconds | None = None
    format: int = FORMAT


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file that gets its name once it is whole and on the disk. Raises FileExistsError rather than replace."""
    if path.exists():
        raise FileExistsError(errno.EEXIST, "it is there already", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it never replaces
    finally:
        draft.unlink()


class Writing:
    """An archive that grows part by part."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w")
        self.parts: dict[str, Part] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._zip.close()
            return
        with suppress(OSError, ValueError):
            self._zip.close()

    def add(self, table: str, columns: Sequence[str], pages: Iterable[Rows]) -> None:
        """Add the rows of one table, page by page."""
        digest, count = hashlib.sha256(), 0
        with self._zip.open(_member(f"{table}.cbor"), "w", force_zip64=True) as part:
            for rows in pages:
                data = cbor2.dumps([list(row) for row in rows])
                digest.update(data)
                count += len(rows)
                part.write(data)
        self.parts[table] = Part(tuple(columns), count, digest.hexdigest())

    def add_file(self, path: Path) -> None:
        """Add a file that is compressed already, under its own name."""
        member = _member(path.name)
        member.compress_type = zipfile.ZIP_STORED
        with path.open("rb") as file, self._zip.open(member, "w", force_zip64=True) as part:
            shutil.copyfileobj(file, part)

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, last."""
        self._zip.writestr(_member(MANIFEST), json.dumps(asdict(manifest), indent=2) + "\n")


class Reading:
    """An archive that is there. Raises BadBackup."""

    def __init__(self, path: Path) -> None:
        with _whole(path):
            self._path = path
            self._zip = zipfile.ZipFile(path)
            self.manifest = _manifest(self._zip)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def pages(self, table: str) -> Iterator[Rows]:
        """The rows of one table, page by page; what they are worth is known at the end only."""
        part = self.manifest.parts[table]
        left = part.rows
        with _whole(self._path), self._zip.open(f"{table}.cbor") as file:
            hashed = _Hashed(file)
            buffered = io.BufferedReader(hashed)
            decoder = cbor2.CBORDecoder(buffered)
            while left > 0:
                rows = decoder.decode()
                if not isinstance(rows, list) or not rows:
                    raise BadBackup(f"{self._path}: {table} is no list of rows")
                left -= len(rows)
                yield rows
            while buffered.read(_CHUNK_BYTES):
                pass  # what nobody expects is hashed, too
        if left or hashed.digest.hexdigest() != part.sha256:
            raise BadBackup(f"{self._path}: {table} is not what the manifest says")

    def copy_file(self, name: str, to: IO[bytes]) -> None:
        """Write the file that was added under `name` to `to`."""
        with _whole(self._path), self._zip.open(name) as file:
            shutil.copyfileobj(file, to)


class _Hashed(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        data = self._file.read(len(memoryview(buffer)))
        self.digest.update(data)
        memoryview(buffer)[: len(data)] = data
        return len(data)


def _member(name: str) -> zipfile.ZipInfo:
    """The same name and no time of its own; readable by its owner."""
    member = zipfile.ZipInfo(name, _EARLIEST)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o600 << 16
    return member


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    if archive.getinfo(MANIFEST).file_size > MANIFEST_BYTES_MAX:
        raise ValueError("its manifest is too long")
    said = json.loads(archive.read(MANIFEST))
    if said["format"] != FORMAT:
        raise ValueError(f"it is of format {said['format']}")
    parts = {
        table: Part(tuple(part["columns"]), part["rows"], part["sha256"]) for table, part in said.pop("parts").items()
    }
    manifest = Manifest(**said, parts=parts)
    moments = (manifest.made_at_s, manifest.expires_at_s or 0)
    if not all(type(at_s) is int for at_s in (*moments, manifest.size)):
        raise ValueError("its moments and its size are whole numbers")
    return manifest


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Raise what a broken file makes its readers raise as BadBackup."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, cbor2.CBORDecodeError, *_MISREAD) as error:
        raise BadBackup(f"{path}: no whole backup ({error})") from error

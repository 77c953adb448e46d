"""Segment files: the payloads of a range of entries, compressed, each to be read alone; named by their SHA-256.

A payload has two frames, each compressed by itself (Zstandard): what an erasure takes away, sealed with a random key of
its own that is kept elsewhere, and what stays. Without its key the first is noise in every copy of the file
(docs/decisions). A dictionary holds pieces of what it was made of in clear: that of what stays is trained on the same
segment, that of what may go is of an invented payload. A file is, in this order:

    magic                  16 bytes
    head                   4 bytes of length, then CBOR [first entry, entries, dictionary, dictionary of what stays]
    frames                 of each entry: sealed, then kept
    offsets                where each frame begins in the file and the last one ends, 4 bytes each
    where the offsets are  4 bytes

Lengths and offsets are unsigned, big-endian.
"""

import hashlib
import mmap
import os
import secrets
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import cbor2
import zstandard
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from contracts.wire import cbor
from services.database import DatabaseUnavailable
from services.ledger import example

MAGIC: Final = b"sparks-segment-1"
KEY_BYTES: Final = SecretBox.KEY_SIZE
NO_KEY: Final = bytes(KEY_BYTES)
"""In the place of a key that was erased, or that never was because the payload was erased before."""
SUFFIX: Final = ".segment"
OPEN_MAX: Final = 16
"""Segments that stay open: each is a map of a file and a dictionary."""
_DICTIONARY_BYTES: Final = 16_384
_SAMPLES_MAX: Final = 4_000
_SAMPLES_MIN: Final = 64
"""Of fewer no dictionary is trained."""
_LEVEL: Final = 9
_BYTES_MAX: Final = (1 << 32) - 1
_NUMBER: Final = struct.Struct(">I")
_MALFORMED: Final = (ValueError, TypeError, LookupError, struct.error, cbor2.CBORError, zstandard.ZstdError)
# A key seals one message, so that there is nothing that a nonce would keep apart.
_NONCE: Final = bytes(SecretBox.NONCE_SIZE)


class BadSegment(DatabaseUnavailable):
    """A segment file is missing, damaged, or not what its name says; one line names it."""


class Payload(NamedTuple):
    """What an entry commits to, as table `payloads` has it; request, request_salt and result are empty if erased."""

    request: bytes
    request_salt: bytes
    effects: bytes
    effects_salt: bytes
    result: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """A segment of the entries in [first, after) that is whole on the disk.

    keys  one after another, that of each entry; NO_KEY for what was erased before
    """

    first: int
    after: int
    sha256: bytes
    size_bytes: int
    keys: bytes

    def key(self, index: int) -> bytes:
        """The key of entry `index`."""
        start = (index - self.first) * KEY_BYTES
        return self.keys[start : start + KEY_BYTES]


# Writing


def write(
    folder: Path,
    first: int,
    payloads: Sequence[Payload | None],
    *,
    chance: Callable[[int], bytes] = secrets.token_bytes,
) -> Written:
    """Write the payloads of the entries from `first` on into a new file, which gets its name once it is on the disk.

    payloads  None: a copy that is given a part does not have it

    Raises OSError; ValueError if they are too large for one file.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = [chance(KEY_BYTES) if payload and payload.request else NO_KEY for payload in payloads]
    draft = folder / f".{secrets.token_hex(8)}.partial"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            sha256, size_bytes = _fill(file, _head(first, payloads), payloads, keys)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path_of(folder, sha256))
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(folder)
    return Written(first, first + len(payloads), sha256, size_bytes, b"".join(keys))


def path_of(folder: Path, sha256: bytes) -> Path:
    """Where the segment with this SHA-256 lies."""
    return folder / f"{sha256.hex()}{SUFFIX}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _head(first: int, payloads: Sequence[Payload | None]) -> list[object]:
    looked_at = payloads[:: len(payloads) // _SAMPLES_MAX + 1]
    samples: list[bytes | bytearray | memoryview] = [_kept(payload) for payload in looked_at if payload]
    trained = b""
    if len(samples) >= _SAMPLES_MIN:
        trained = zstandard.train_dictionary(_DICTIONARY_BYTES, samples).as_bytes()
    return [first, len(payloads), example.telemetry(), trained]


def _fill(
    file: IO[bytes], head: list[object], payloads: Iterable[Payload | None], keys: Sequence[bytes]
) -> tuple[bytes, int]:
    """Write everything; return its SHA-256 and length."""
    told = cbor.encode(head)
    digest, place = hashlib.sha256(), 0
    compress, compress_kept = (_compressor(dictionary).compress for dictionary in head[2:])
    offsets = []

    def put(data: bytes) -> None:
        nonlocal place
        digest.update(data)
        file.write(data)
        place += len(data)

    put(MAGIC + _NUMBER.pack(len(told)) + told)
    for payload, key in zip(payloads, keys, strict=True):
        sealed = _seal(compress(_taken(payload)), key) if payload and payload.request else b""
        for frame in (sealed, compress_kept(_kept(payload)) if payload else b""):
            offsets.append(place)
            put(frame)
    if place > _BYTES_MAX:
        raise ValueError(f"a segment has at most {_BYTES_MAX} bytes")
    table = place
    put(b"".join(map(_NUMBER.pack, [*offsets, place])) + _NUMBER.pack(table))
    return digest.digest(), place


def _taken(payload: Payload) -> bytes:
    """What an erasure takes away."""
    return cbor2.dumps([payload.request, payload.request_salt, payload.result])


def _kept(payload: Payload) -> bytes:
    """What stays."""
    return cbor2.dumps([payload.effects, payload.effects_salt])


def _compressor(dictionary: object) -> zstandard.ZstdCompressor:
    # The file's SHA-256 and each entry's commitments say more than a checksum in each frame would.
    level = zstandard.ZstdCompressionParameters.from_level(_LEVEL, write_checksum=False, write_dict_id=False)
    return zstandard.ZstdCompressor(compression_params=level, dict_data=_dictionary(dictionary))


def _dictionary(data: object) -> zstandard.ZstdCompressionDict | None:
    return zstandard.ZstdCompressionDict(data) if isinstance(data, bytes) and data else None


def _seal(data: bytes, key: bytes) -> bytes:
    return SecretBox(key).encrypt(data, _NONCE).ciphertext


# Reading


class Segment:
    """A segment that is there. Everything raises BadSegment."""

    def __init__(self, path: Path) -> None:
        self._name = path.name.removesuffix(SUFFIX)[:12]
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            head_at = len(MAGIC) + _NUMBER.size
            length = self._number(len(MAGIC))
            self.first, self.count, *dictionaries = cbor2.loads(self._map[head_at : head_at + length])
            self._offsets_at = self._number(len(self._map) - _NUMBER.size)
            self._dictionary, self._kept_dictionary = map(_dictionary, dictionaries)
        except FileNotFoundError as error:
            raise BadSegment(f"segment {self._name} is missing in {path.parent}") from error
        except (OSError, *_MALFORMED) as error:
            raise self._damaged(str(error)) from error

    def read(self, index: int, key: bytes) -> Payload | None:
        """The payload of entry `index`, if it was there; request, its salt and result are empty if `key` is NO_KEY."""
        place = 2 * (index - self.first)
        try:
            sealed, kept = self._frame(place), self._frame(place + 1)
            if not kept:
                return None
            effects, effects_salt = _read(kept, self._kept_dictionary)
            request, request_salt, result = b"", b"", b""
            if key != NO_KEY and sealed:
                opened = SecretBox(key).decrypt(sealed, _NONCE)
                request, request_salt, result = _read(opened, self._dictionary)
            return Payload(request, request_salt, effects, effects_salt, result)
        except CryptoError as error:
            raise self._damaged(f"the key of entry {index} does not open it") from error
        except _MALFORMED as error:
            raise self._damaged(f"entry {index}: {error}") from error

    def _frame(self, place: int) -> bytes:
        if not 0 <= place < 2 * self.count:
            raise ValueError("it has no such entry")
        at = self._offsets_at + place * _NUMBER.size
        return self._map[self._number(at) : self._number(at + _NUMBER.size)]

    def _number(self, at: int) -> int:
        (number,) = _NUMBER.unpack(self._map[at : at + _NUMBER.size])
        return int(number)

    def _damaged(self, why: str) -> BadSegment:
        return BadSegment(f"segment {self._name} is damaged: {why}")


def _read(frame: bytes, dictionary: zstandard.ZstdCompressionDict | None) -> Any:
    return cbor2.loads(zstandard.ZstdDecompressor(dict_data=dictionary).decompress(frame))


@lru_cache(maxsize=OPEN_MAX)
def opened(path: Path) -> Segment:
    """The segment at `path`, opened once: what has a name never changes. Raises BadSegment."""
    return Segment(path)


def check(folder: Path, sha256: bytes) -> None:
    """Raise BadSegment unless the file is there and is what its name says; reads all of it."""
    path = path_of(folder, sha256)
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError as error:
        raise BadSegment(f"segment {sha256.hex()[:12]} is missing in {folder}") from error
    except OSError as error:
        raise BadSegment(f"segment {sha256.hex()[:12]} cannot be read: {error}") from error
    if found != sha256:
        raise BadSegment(f"segment {sha256.hex()[:12]} is damaged: its SHA-256 is {found.hex()[:12]}")

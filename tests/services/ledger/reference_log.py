"""A client of C2SP logs that shares nothing with ours: written from the specifications, on hashlib and PyNaCl alone.

signed-note, tlog-checkpoint, tlog-tiles and RFC 6962 2.1. It downloads a whole log and believes no byte of it before
it is tied to the signed checkpoint.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

Fetch = Callable[[str], bytes]
"""path below the log's prefix -> body; raises LogRefused if it is not served"""


class LogRefused(Exception):
    """The log is not what its signed checkpoint says."""


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def download(fetch: Fetch) -> list[bytes]:
    """Return the bytes of every entry of the log, all of them checked."""
    checkpoint = open_checkpoint(fetch("checkpoint"), log_key_line(fetch("keys")))
    levels = tile_levels(fetch, checkpoint.size)
    check_tiles(levels, checkpoint)
    leaves = levels[0] if levels else []
    entries = entry_bundles(fetch, checkpoint.size)
    for index, (entry, leaf) in enumerate(zip(entries, leaves, strict=True)):
        require(sha256(b"\x00" + entry) == leaf, f"entry {index} is not the leaf that the tile has")
    return entries


def log_key_line(keys: bytes) -> str:
    """The log's vkey. No member has joined, so none can be asked for."""
    vkey, *rest = text_of(keys).split("\n")
    require(rest == ["quorum 0", ""], "keys: what follows the log's")
    return vkey


# Signed note


def open_checkpoint(note: bytes, vkey: str) -> Checkpoint:
    text, blank, lines = text_of(note).rpartition("\n\n")
    require(bool(blank) and lines.endswith("\n"), "checkpoint: not a note")
    text += "\n"
    verify_note(text, lines.split("\n")[:-1], vkey)
    origin, size, root, *extensions = text.split("\n")
    require(extensions == [""], "checkpoint: four lines")
    require(size.isdigit() and str(int(size)) == size, "checkpoint: the size")
    require(origin == vkey.partition("+")[0], "checkpoint: another log's")
    return Checkpoint(origin, int(size), base64_of(root))


def verify_note(text: str, lines: list[str], vkey: str) -> None:
    name, key_id, typed_key = vkey.split("+", 2)
    key = base64_of(typed_key)
    require(key[:1] == b"\x01" and len(key) == 33, "vkey: not Ed25519")
    require(sha256(name.encode() + b"\n" + key)[:4].hex() == key_id, "vkey: the key id is another key's")
    is_signed = False
    for line in lines:
        dash, signer, blob_text = [*line.split(" "), "", "", ""][:3]
        require(dash == "\u2014" and len(line.split(" ")) == 3, "note: a signature line")
        blob = base64_of(blob_text)
        if signer != name or blob[:4].hex() != key_id:
            continue
        try:
            VerifyKey(key[1:]).verify(text.encode(), blob[4:])
        except (BadSignatureError, ValueError) as error:
            raise LogRefused("note: the signature is bad") from error
        is_signed = True
    require(is_signed, "note: the log did not sign it")


# Tiles


def tile_levels(fetch: Fetch, size: int) -> list[list[bytes]]:
    """Every hash of every level, lowest first."""
    levels: list[list[bytes]] = []
    count = size
    while count:
        paths = resource_paths(f"tile/{len(levels)}", count)
        levels.append([node for path, width in paths for node in hashes_of(fetch(path), width)])
        count //= 256
    return levels


def check_tiles(levels: list[list[bytes]], checkpoint: Checkpoint) -> None:
    """The leaves make the root, and each hash of an upper tile is the root of the full tile below it.

    All leaves are here, so nothing rests on the tiles above: each of them is recomputed, full or partial.
    """
    require(root_of(levels[0] if levels else []) == checkpoint.root, "tiles: another root")
    for below, above in pairwise(levels):
        folded = [root_of(below[start : start + 256]) for start in range(0, len(below) // 256 * 256, 256)]
        require(folded == above, "tiles: a hash is not that of the tile below it")


def entry_bundles(fetch: Fetch, size: int) -> list[bytes]:
    entries = []
    for path, width in resource_paths("tile/entries", size):
        bundle = fetch(path)
        for _ in range(width):
            length = int.from_bytes(bundle[:2], "big")
            require(len(bundle) >= 2 + length, f"{path}: too short")
            entries.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
        require(bundle == b"", f"{path}: too long")
    return entries


def resource_paths(prefix: str, count: int) -> list[tuple[str, int]]:
    """The full tiles, then the partial one if there is one, each with its width."""
    full, partial = divmod(count, 256)
    paths = [(f"{prefix}/{tile_number(n)}", 256) for n in range(full)]
    return paths + ([(f"{prefix}/{tile_number(full)}.p/{partial}", partial)] if partial else [])


def tile_number(n: int) -> str:
    groups = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        groups.insert(0, f"x{n % 1000:03}")
    return "/".join(groups)


def hashes_of(tile: bytes, width: int) -> list[bytes]:
    require(len(tile) == 32 * width, f"a tile of {len(tile)} bytes for {width} hashes")
    return [tile[start : start + 32] for start in range(0, len(tile), 32)]


def root_of(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 2.1, from leaf hashes."""
    if not hashes:
        return sha256(b"")
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\x01" + root_of(hashes[:split]) + root_of(hashes[split:]))


# Texts


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise LogRefused("not UTF-8") from error


def base64_of(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise LogRefused("not base64") from error
    require(base64.b64encode(data).decode() == text, "base64 with stray bits")
    return data


def require(holds: bool, what: str) -> None:
    if not holds:
        raise LogRefused(what)

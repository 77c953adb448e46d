"""A verifier of the log: notes, checkpoints, tiles and proofs of C2SP and RFC 6962."""

import hashlib
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.story.outsider.api import HTTP

WIDTH: Final = 256
PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"


class NotOnTheLog(Exception):
    """A signature, a hash or a size does not fit."""


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: list[bytes]) -> bytes:
    """Root over the hashes of a level; RFC 6962 section 2.1, which splits at the largest power of two below."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(root_of(hashes[:split]), root_of(hashes[split:]))


def root_by_proof(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to; RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        raise NotOnTheLog(f"{index} of {size}")
    here, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != 32:
            raise NotOnTheLog("a hash too many")
        if here & 1 or here == last:
            found = node_hash(sibling, found)
            while here & 1 == 0 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise NotOnTheLog("a hash too few")
    return found


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the log has signed."""

    origin: str
    size: int
    root: bytes


def opened_checkpoint(note: str, vkey: str) -> Checkpoint:
    """The checkpoint in a note that the key of `vkey` has signed; else NotOnTheLog."""
    name, key_id, encoded_key = vkey.split("+", 2)
    typed_key = b64decode(encoded_key)
    if typed_key[0] != 1 or hashlib.sha256(name.encode() + b"\n" + typed_key).hexdigest()[:8] != key_id:
        raise NotOnTheLog("this is no Ed25519 verifier key")
    body, _, signatures = note.rpartition("\n\n")
    text = body + "\n"
    known = [line.split(" ")[2] for line in signatures.splitlines() if line.startswith(f"— {name} ")]
    found = [raw[4:] for raw in map(b64decode, known) if raw[:4].hex() == key_id]
    if not found:
        raise NotOnTheLog("not signed by the log")
    try:
        Ed25519PublicKey.from_public_bytes(typed_key[1:]).verify(found[0], text.encode())
    except InvalidSignature:
        raise NotOnTheLog("the signature does not verify") from None
    origin, size, root = text.splitlines()[:3]
    return Checkpoint(origin, int(size), b64decode(root))


def verified_proof(proof: str, entry: bytes, vkey: str) -> tuple[int, Checkpoint]:
    """Index of the entry and the checkpoint under which a tlog-proof file puts it; else NotOnTheLog."""
    head, _, note = proof.partition("\n\n")
    lines = [line for line in head.splitlines() if not line.startswith("extra ")]
    if lines[0] != PROOF_HEADER or not lines[1].startswith("index "):
        raise NotOnTheLog("this is no tlog-proof")
    index, hashes = int(lines[1].removeprefix("index ")), [b64decode(line) for line in lines[2:]]
    checkpoint = opened_checkpoint(note, vkey)
    if root_by_proof(leaf_hash(entry), index, checkpoint.size, hashes) != checkpoint.root:
        raise NotOnTheLog("another root")
    return index, checkpoint


class Log:
    """The log over HTTP."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def text(self, path: str) -> str:
        """A text of the log."""
        answer = HTTP.get(f"{self._base_url}/{path}")
        assert answer.status_code == 200, (path, answer.status_code)
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text

    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint, verified."""
        return opened_checkpoint(self.text("log/checkpoint"), self.vkey())

    def vkey(self) -> str:
        """The log's verifier key."""
        return self.text("log/keys").splitlines()[0]

    def entries(self, size: int) -> list[bytes]:
        """The bytes of the first `size` entries, from the entry bundles."""
        return [entry for bundle in self._tiles("entries", size) for entry in _unbundled(bundle)]

    def hashes(self, level: int, count: int) -> list[bytes]:
        """The first `count` hashes of a level, from its tiles."""
        joined = b"".join(self._tiles(str(level), count))
        return [joined[first : first + 32] for first in range(0, len(joined), 32)]

    def proof(self, index: int) -> str:
        """The tlog-proof file of an entry."""
        return self.text(f"v1/entries/{index}/proof")

    def _tiles(self, level: str, count: int) -> list[bytes]:
        whole, rest = divmod(count, WIDTH)
        paths = [tile_path(number) for number in range(whole)] + ([f"{tile_path(whole)}.p/{rest}"] if rest else [])
        found = []
        for path in paths:
            answer = HTTP.get(f"{self._base_url}/log/tile/{level}/{path}")
            assert answer.status_code == 200, (level, path, answer.status_code)
            assert answer.headers["content-type"] == "application/octet-stream"
            found.append(answer.content)
        return found


def tile_path(number: int) -> str:
    """C2SP tlog-tiles: groups of three digits, all but the last with an x."""
    groups = [f"{number % 1_000:03}"]
    while number := number // 1_000:
        groups.insert(0, f"x{number % 1_000:03}")
    return "/".join(groups)


def _unbundled(bundle: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(bundle):
        size = int.from_bytes(bundle[at : at + 2], "big")
        found.append(bundle[at + 2 : at + 2 + size])
        at += 2 + size
    return found

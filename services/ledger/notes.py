"""C2SP signed notes: a text, then lines by which named keys sign it.

Two kinds of key are signed with and verified: 0x01, Ed25519 over the text, and 0x04, `cosignature/v1`,
Ed25519 over a checkpoint and a time. A key of type 0x06 (ML-DSA-44) is read, but no maintained library
verifies it here: to `open_note` it is an unknown key, whose signatures are ignored and count for nothing.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from hashlib import sha256
from typing import Final

from contracts.units import UnixSeconds
from contracts.wire import signatures

SIGNATURES_MAX: Final = 100
TIME_S_MAX: Final = (1 << 63) - 1
_LINE_START: Final = "\u2014 "
_KEY_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
# No Unicode space, no control character, no `+`, and no lone surrogate: it has no UTF-8 to hash.
_NAME: Final = re.compile(r"[^\s+\x00-\x1f\ud800-\udfff]+")


class KeyType(IntEnum):
    """How a key signs: the byte before the public key in a vkey."""

    ED25519 = 0x01
    COSIGNATURE = 0x04
    MLDSA44_COSIGNATURE = 0x06


_PUBLIC_KEY_BYTES: Final = {KeyType.ED25519: 32, KeyType.COSIGNATURE: 32, KeyType.MLDSA44_COSIGNATURE: 1312}


class NoteRefusal(Enum):
    """Why a note does not open."""

    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"
    NO_KNOWN_SIGNATURE = "no_known_signature"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key. Raises ValueError for a bad name or a key of another length than its type has."""

    name: str
    type: KeyType
    public_key: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a key name has no space, control character or +, got {self.name!r}")
        if len(self.public_key) != _PUBLIC_KEY_BYTES[self.type]:
            raise ValueError(f"a {self.type.name} key of {len(self.public_key)} bytes")

    @property
    def key_id(self) -> bytes:
        """Return the 4 bytes by which a signature line names this key."""
        named = self.name.encode() + b"\n" + bytes([self.type]) + self.public_key
        return sha256(named).digest()[:_KEY_ID_BYTES]

    def text(self) -> str:
        """Return the vkey: name, key id and key, joined by `+`."""
        return f"{self.name}+{self.key_id.hex()}+{base64_text(bytes([self.type]) + self.public_key)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSignature:
    """A signature that holds. `time_s` is when a cosigner says it saw the tree; None for a plain one."""

    key: VerifierKey
    time_s: UnixSeconds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedNote:
    """A text and the known keys, each once and at least one, that signed it."""

    text: str
    signatures: tuple[VerifiedSignature, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    key_id: bytes
    signature: bytes


# Keys


def vkey(name: str, key_type: KeyType, public_key: bytes) -> str:
    """Return the vkey text of a public key. Raises ValueError as `VerifierKey` does."""
    return VerifierKey(name, key_type, public_key).text()


def parse_vkey(text: str) -> VerifierKey | None:
    """Return the key a vkey spells; None if it is malformed, of an unknown type or has another key's id."""
    # base64 may hold a `+` itself.
    name, _, rest = text.partition("+")
    _, _, key_text = rest.partition("+")
    typed_key = base64_bytes(key_text)
    if not typed_key:
        return None
    try:
        key = VerifierKey(name, KeyType(typed_key[0]), typed_key[1:])
    except ValueError:
        return None
    return key if key.text() == text else None


# Signing


def signature_line(text: str, *, name: str, seed: bytes) -> str:
    """Return the line, with its newline, by which the type 0x01 key of `seed` (32 bytes) signs `text`."""
    key = VerifierKey(name, KeyType.ED25519, signatures.public_key_of(seed))
    return _line_text(key, signatures.sign(seed, text.encode()))


def cosignature_line(text: str, *, name: str, seed: bytes, time_s: UnixSeconds) -> str:
    """Return the line, with its newline, by which the type 0x04 key of `seed` signs a checkpoint's text.

    Raises ValueError for a time before 1 (a cosigner always states one) or above 2^63 - 1.
    """
    if not 1 <= time_s <= TIME_S_MAX:
        raise ValueError(f"a cosignature's time is 1 to 2^63 - 1, got {time_s}")
    key = VerifierKey(name, KeyType.COSIGNATURE, signatures.public_key_of(seed))
    signature = signatures.sign(seed, _cosigned_message(text, time_s))
    return _line_text(key, time_s.to_bytes(_TIME_BYTES, "big") + signature)


def sign_note(text: str, lines: Sequence[str]) -> bytes:
    """Return the note of `text` with signature `lines`. Raises ValueError if it would not open."""
    note = f"{text}\n{''.join(lines)}".encode()
    if _split_note(note) != (text, "".join(lines)) or _parse_lines("".join(lines)) is None:
        raise ValueError("a note is a text that ends in a newline, then 1 to 100 signature lines")
    return note


# Opening


def open_note(note: bytes, known: Iterable[VerifierKey]) -> OpenedNote | NoteRefusal:
    """Return the text and the keys of `known` that signed it, or why the note is refused.

    A known key whose signature fails refuses the note, whoever else signed; unknown keys are ignored, and
    so are those of type 0x06. A key that signs twice counts once, with its first line. Raises ValueError if
    two of `known` share name and id, for then no line says which one signs.
    """
    split = _split_note(note)
    lines = None if split is None else _parse_lines(split[1])
    if split is None or lines is None:
        return NoteRefusal.MALFORMED
    text = split[0]
    keys = _keys_by_name_and_id(known)
    verified: dict[VerifierKey, VerifiedSignature] = {}
    for line in lines:
        key = keys.get((line.name, line.key_id))
        if key is None:
            continue
        found = _verify(text, key, line.signature)
        if found is None:
            return NoteRefusal.BAD_SIGNATURE
        verified.setdefault(key, found)
    if not verified:
        return NoteRefusal.NO_KNOWN_SIGNATURE
    return OpenedNote(text=text, signatures=tuple(verified.values()))


def _split_note(note: bytes) -> tuple[str, str] | None:
    """Return the text and the signature lines, cut at the last empty line."""
    try:
        decoded = note.decode()
    except UnicodeDecodeError:
        return None
    if any(char < " " and char != "\n" for char in decoded):
        return None
    text, empty_line, lines = decoded.rpartition("\n\n")
    return (text + "\n", lines) if empty_line else None


def _parse_lines(lines: str) -> list[_Line] | None:
    """Return the signatures of 1 to 100 whole lines, or None if any is malformed."""
    *texts, after_last = lines.split("\n")
    if after_last or not 1 <= len(texts) <= SIGNATURES_MAX:
        return None
    parsed = []
    for text in texts:
        line = _parse_line(text)
        if line is None:
            return None
        parsed.append(line)
    return parsed


def _parse_line(text: str) -> _Line | None:
    if not text.startswith(_LINE_START):
        return None
    name, _, signature_text = text.removeprefix(_LINE_START).partition(" ")
    blob = base64_bytes(signature_text)
    if not _NAME.fullmatch(name) or blob is None or len(blob) <= _KEY_ID_BYTES:
        return None
    return _Line(name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def _keys_by_name_and_id(known: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    keys: dict[tuple[str, bytes], VerifierKey] = {}
    for key in known:
        if key.type is KeyType.MLDSA44_COSIGNATURE:
            continue
        if keys.setdefault((key.name, key.key_id), key) != key:
            raise ValueError(f"two keys are {key.name} {key.key_id.hex()}")
    return keys


def _verify(text: str, key: VerifierKey, signature: bytes) -> VerifiedSignature | None:
    """Return what an Ed25519 key of either type signed, or None if it did not sign `text`."""
    time_s = None
    message = text.encode()
    if key.type is KeyType.COSIGNATURE:
        time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
        if time_s > TIME_S_MAX:
            return None
        message = _cosigned_message(text, time_s)
        signature = signature[_TIME_BYTES:]
    if not signatures.verify(key.public_key, message, signature):
        return None
    return VerifiedSignature(key=key, time_s=time_s)


def _cosigned_message(text: str, time_s: UnixSeconds) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _line_text(key: VerifierKey, signature: bytes) -> str:
    return f"{_LINE_START}{key.name} {base64_text(key.key_id + signature)}\n"


# The base64 of every text here: RFC 4648 section 4, padded, one spelling per value


def base64_text(data: bytes) -> str:
    """Return `data` in base64."""
    return base64.b64encode(data).decode()


def base64_bytes(text: str) -> bytes | None:
    """Return the bytes that `text` spells; None for another alphabet, missing padding or stray bits."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64_text(data) == text else None

"""A contract set as one value: every file that it consists of, and the hash over them that is its version.

The ledger carries its own sets (design.md 6), so whoever holds the payloads can execute each entry as it was executed.
How the version is made never changes: later programs compute it of older sets.
"""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from re import compile as pattern
from typing import Final

from contracts.wire import cbor

_PATH: Final = pattern(r"(?:[a-z0-9_]+/)*[a-z0-9_]+\.(?:py|toml)")


def version_of(sources: Mapping[str, bytes]) -> bytes:
    """SHA-256 over the files by path in order, each path and each file after its length."""
    digest = hashlib.sha256()
    for path, source in sorted(sources.items()):
        digest.update(len(path).to_bytes(4, "big") + path.encode())
        digest.update(len(source).to_bytes(8, "big") + source)
    return digest.digest()


def to_bytes(sources: Mapping[str, bytes]) -> bytes:
    """A set's files as they travel: the deterministic CBOR map of path to bytes."""
    return cbor.encode(dict(sources))


def from_bytes(data: bytes) -> dict[str, bytes]:
    """What `to_bytes` wrote; anything else, or a path that leaves the folder, raises ValueError."""
    sources = cbor.decode(data)
    if not isinstance(sources, dict):
        raise ValueError("a bundle is a map")
    for path, source in sources.items():
        if not isinstance(path, str) or not _PATH.fullmatch(path) or not isinstance(source, bytes):
            raise ValueError("a bundle maps paths below contracts/ to bytes")
    return sources


def parameters_path(programme: str) -> str:
    """Where the parameters of a programme lie among a set's files."""
    return f"programmes/{programme}.toml"


def with_parameters(sources: Mapping[str, bytes], programme: str, parameters: bytes) -> dict[str, bytes]:
    """The same code with other parameters (the bytes of a TOML file)."""
    return {**sources, parameters_path(programme): parameters}


def own(programme: str) -> dict[str, bytes]:
    """The files of this very program's set: all its code, and the parameters of one programme.

    Raises FileNotFoundError if there is no such programme. Never part of an execution: it reads the disk.
    """
    folder = files("contracts")
    parameters = folder.joinpath(parameters_path(programme)).read_bytes()
    return with_parameters(dict(_code(folder, "")), programme, parameters)


def _code(folder: Traversable, place: str) -> Iterator[tuple[str, bytes]]:
    """Every Python file below a folder of the contracts, by its path."""
    for item in folder.iterdir():
        if item.is_dir():
            yield from _code(item, f"{place}{item.name}/")
        elif item.name.endswith(".py"):
            yield f"{place}{item.name}", item.read_bytes()

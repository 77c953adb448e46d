"""`ContractSet`: what the ledger uses of a set of contracts, whichever version it is."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Final

from contracts import (
    accounts,
    bundle,
    derivation,
    effects,
    evidence,
    execute,
    explanation,
    memory,
    programmes,
    recording,
    state,
)
from contracts import commands as own_commands
from contracts.commands import OpenLedger, Request
from contracts.programmes import Programme
from contracts.wire import cbor
from services.contract_sets.loading import ROOT, UnusableBundle, load_modules

SETS_MAX: Final = 8
"""Sets kept once loaded; a ledger rarely has as many."""
_NAMES: Final = (
    *("accounts", "commands", "derivation", "effects", "evidence", "execute", "explanation", "memory", "programmes"),
    *("recording", "state"),
)

_NAMED_BY_THE_PROGRAMME: Final = ("hours", "spending")
"""Parts of a TOML file whose names are the programme's own, not those of parameters."""


class NotInThisSet(ValueError):
    """The contract set has no such command, or it has other fields."""


@dataclass(frozen=True, slots=True, eq=False)
class ContractSet:
    """One version of the contracts: its modules and the parameters of the programme.

    These names are the ledger's side of the agreement, and every later set keeps them:
    `execute.execute, first_reads, second_reads`, `commands.to_bytes, from_bytes`, `state.to_bytes, from_bytes, values,
    of_values, due_s` and the kinds of rows `Account, Decided, Ledger, Meter, Purchase, Queue, Unit`, `effects.Draft,
    Effects, Rejected, to_bytes, outline, row_bytes, result_bytes`, `evidence.check_of, is_authentic`,
    `accounts.can_release`, `programmes.parse`, `derivation.derived, PERSONAL`, `explanation.explain, STATE_READ`,
    `memory.Memory`, `recording.content_of`.
    A value of one set means nothing to another: between them go bytes.
    """

    version: bytes
    programme: Any
    accounts: ModuleType
    commands: ModuleType
    derivation: ModuleType
    effects: ModuleType
    evidence: ModuleType
    execute: ModuleType
    explanation: ModuleType
    memory: ModuleType
    recording: ModuleType
    state: ModuleType

    @property
    def is_own_code(self) -> bool:
        """Are these this program's own modules (parameters aside)?"""
        return self.commands is own_commands

    def request(self, request: Request) -> Any:
        """A request of this program's contracts as this set has it. Raises NotInThisSet."""
        if self.is_own_code:
            return request
        try:
            return self.commands.from_bytes(own_commands.to_bytes(request))
        except (ValueError, TypeError) as error:
            raise NotInThisSet(str(error)) from error


@lru_cache(maxsize=SETS_MAX)
def own(programme: str) -> ContractSet:
    """The set of this very program. Raises FileNotFoundError if it has no such programme."""
    return load(own_files(programme), programme=programme)


@lru_cache(maxsize=SETS_MAX)
def own_files(programme: str) -> bytes:
    """The files of this program's own set, as the ledger carries them. Raises FileNotFoundError."""
    return bundle.to_bytes(bundle.own(programme))


def load(files: bytes, *, programme: str, version: bytes | None = None) -> ContractSet:
    """The set that consists of these files (`contracts.bundle`), with the parameters of `programme`.

    version  what their hash must be; tested before anything of them is executed

    Raises UnusableBundle.
    """
    sources, actual = _sources(files), version_of(files)
    if version is not None and actual != version:
        raise UnusableBundle(f"the files hash to {actual.hex()[:12]}, not to contract set {version.hex()[:12]}")
    parameters = sources.pop(bundle.parameters_path(programme), None)
    if parameters is None:
        raise UnusableBundle(f"contract set {actual.hex()[:12]} has no programme {programme}")
    modules = _modules(bundle.to_bytes(sources))
    try:
        parsed = modules["programmes"].parse(parameters.decode())
    except Exception as error:  # whatever a file that is no programme makes the set's own reader raise
        raise UnusableBundle(f"the parameters of contract set {actual.hex()[:12]} cannot be read: {error!r}") from error
    used = {name: module for name, module in modules.items() if name != "programmes"}
    return ContractSet(version=actual, programme=parsed, **used)


def version_of(files: bytes) -> bytes:
    """What these files hash to; nothing of them is executed. Raises UnusableBundle."""
    return bundle.version_of(_sources(files))


def _sources(files: bytes) -> dict[str, bytes]:
    try:
        return bundle.from_bytes(files)
    except ValueError as error:
        raise UnusableBundle(f"no files of a contract set: {error}") from error


def parameters_of(files: bytes, programme: str) -> Programme:
    """The parameters among a set's files as this program reads them; nothing of the set is executed.

    What an older set does not name yet is as this program's own file has it, and what only a newer one knows is left
    out: they are for showing and for looking ahead, the contracts themselves decide by `ContractSet.programme`.

    Raises UnusableBundle.
    """
    try:
        theirs = tomllib.loads(bundle.from_bytes(files)[bundle.parameters_path(programme)].decode())
        return programmes.read({part: _known(part, own, theirs.get(part)) for part, own in _own_tables().items()})
    except Exception as error:  # whatever a file that is no programme makes the reader raise
        raise UnusableBundle(f"the parameters of a contract set cannot be read: {error!r}") from error


def _known(part: str, own: Any, theirs: Any) -> Any:
    """One part of a TOML file as another file has it, as far as this program knows the names."""
    if theirs is None:
        return own
    if not isinstance(own, dict) or part in _NAMED_BY_THE_PROGRAMME:
        return theirs
    return {name: theirs.get(name, value) for name, value in own.items()}


@lru_cache(maxsize=1)
def _own_tables() -> dict[str, Any]:
    return tomllib.loads(programmes.source())


def with_parameters(files: bytes, programme: str, parameters: bytes) -> bytes:
    """The files of the set with the same code and other parameters."""
    return bundle.to_bytes(bundle.with_parameters(bundle.from_bytes(files), programme, parameters))


def opening(request: bytes) -> tuple[str, bytes]:
    """Programme and first set's files out of the request of entry 0, before there is a set to read it with.

    Raises ValueError if it is of no log that carries its contracts.
    """
    match cbor.decode(request):
        case [OpenLedger.KIND, bytes(), bytes(), str(), str(programme), bytes(files), *_]:
            return programme, files
    raise ValueError("the first entry does not open a log with its contracts")


@lru_cache(maxsize=SETS_MAX)
def _modules(code: bytes) -> dict[str, ModuleType]:
    """The modules of a set by their last name; this program's own where the code is the same."""
    if code == _own_code():
        return _own_modules()
    sources = bundle.from_bytes(code)
    label = bundle.version_of(sources).hex()[:12]
    loaded = load_modules(sources, tuple(f"{ROOT}.{name}" for name in _NAMES), label=label)
    return {name.rpartition(".")[2]: module for name, module in loaded.items()}


@lru_cache(maxsize=1)
def _own_code() -> bytes:
    sources = bundle.own("ontario")
    return bundle.to_bytes({path: source for path, source in sources.items() if path.endswith(".py")})


def _own_modules() -> dict[str, ModuleType]:
    return {
        "accounts": accounts,
        "commands": own_commands,
        "derivation": derivation,
        "effects": effects,
        "evidence": evidence,
        "execute": execute,
        "explanation": explanation,
        "memory": memory,
        "programmes": programmes,
        "recording": recording,
        "state": state,
    }

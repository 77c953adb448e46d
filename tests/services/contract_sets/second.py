"""A second version of the contracts, made of the program's own: a changed rate, and a changed rule in code."""

from contracts import bundle
from services import contract_sets

PROGRAMME = "ontario"
OWN = contract_sets.own_files(PROGRAMME)
RATE = (b"self_supply = { off = 400, mid = 800, on = 1600 }", b"self_supply = { off = 401, mid = 801, on = 3200 }")
RULE = (
    (
        "accounts.py",
        b"if command.amount_micro_cad <= 0:",
        b"if command.amount_micro_cad <= 0 or not command.reference:",
    ),
    # A kind of row gains a field, as the rule of `contracts.state.rows` allows.
    (
        "state/rows.py",
        b"    minted_micro_sparks: MicroSparks = 0\n",
        b"    minted_micro_sparks: MicroSparks = 0\n    thanks: int = 7\n",
    ),
)


def replaced(files: bytes, path: str, old: bytes, new: bytes) -> bytes:
    """The files with one place changed."""
    sources = bundle.from_bytes(files)
    assert sources[path].count(old) == 1, path
    return bundle.to_bytes({**sources, path: sources[path].replace(old, new)})


def other_parameters() -> bytes:
    """The same code under other rates, as the bytes of a TOML file."""
    return bundle.from_bytes(OWN)[bundle.parameters_path(PROGRAMME)].replace(*RATE)


def other_rate() -> bytes:
    """The same code under other rates."""
    return contract_sets.with_parameters(OWN, PROGRAMME, other_parameters())


def other_rule() -> bytes:
    """Other code, and other rates."""
    files = other_rate()
    for path, old, new in RULE:
        files = replaced(files, path, old, new)
    return files

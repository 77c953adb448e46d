"""The layout holds: who may import whom (pyproject.toml), what contracts are made of, how files look."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("contracts", "device_sim", "services", "migrations", "benchmarks")
LINES_MAX: Final = 450
NAMES_THAT_SAY_NOTHING: Final = {
    "utils",
    "util",
    "common",
    "helpers",
    "helper",
    "manager",
    "managers",
    "base",
}

# Of the standard library, what gives the same answer everywhere and always. Not here, on purpose: time,
# datetime, zoneinfo, random, secrets, uuid, os, sys, io, pathlib, locale, logging, threading, socket.
PURE_MODULES: Final = {
    *("__future__", "abc", "base64", "binascii", "bisect", "collections", "dataclasses", "enum", "functools"),
    "ast",  # of formulas in words (`arithmetic`); nothing is executed by it
    *("hashlib", "heapq", "hmac", "importlib.resources", "importlib.resources.abc", "itertools", "math"),
    *("operator", "re", "string"),
    *("struct", "tomllib", "types", "typing"),
    *("cbor2", "nacl", "contracts"),
}
# hash() differs from process to process, id() from run to run; the others reach outside or make a float.
IMPURE_CALLS: Final = {"eval", "exec", "float", "hash", "id", "input", "open", "print"}


def sources(*packages: str) -> list[Path]:
    """Every Python file of these packages, as paths relative to the root."""
    files = (file for package in packages for file in (ROOT / package).rglob("*.py"))
    return sorted(file.relative_to(ROOT) for file in files)


def tree_of(source: Path) -> ast.Module:
    return ast.parse((ROOT / source).read_text(), filename=str(source))


def imported_modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def impurities(source: Path) -> Iterator[str]:
    """What in a contract could differ between two machines: each with its line."""
    tree = tree_of(source)
    for module in imported_modules(tree):
        if module not in PURE_MODULES and module.partition(".")[0] not in PURE_MODULES:
            yield f"{source} imports {module}"
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float()):
                yield f"{source}:{node.lineno} holds a float"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"{source}:{node.lineno} divides into a float: use //"
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"{source}:{node.lineno} calls {name}()"


def test_imports_go_only_where_the_layers_allow() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    verdict = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def test_a_contract_is_made_of_nothing_that_differs_between_machines() -> None:
    assert [impurity for source in sources("contracts") for impurity in impurities(source)] == []


@pytest.mark.parametrize(
    "line",
    ["import time", "from datetime import date", "rate = 0.5", "half = a / 2", "a /= 2", "key = hash(a)"],
)
def test_an_impurity_is_seen(line: str, tmp_path: Path) -> None:
    source = tmp_path / "contract.py"
    source.write_text(line)

    assert len(list(impurities(source))) == 1


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_owns(package: str) -> None:
    folders = {source.parent for source in sources(package)}
    silent = [folder for folder in folders if not says_what_it_owns(folder)]

    assert silent == []


def says_what_it_owns(folder: Path) -> bool:
    init = folder / "__init__.py"
    return (ROOT / init).exists() and bool(ast.get_docstring(tree_of(init)))


def test_every_folder_of_tests_is_a_package_so_that_equal_file_names_do_not_collide() -> None:
    folders = {source.parent for source in sources("tests")}

    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    lengths = {source: len((ROOT / source).read_text().splitlines()) for source in sources(*PACKAGES)}

    assert {source: lines for source, lines in lengths.items() if lines > LINES_MAX} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    nameless = [source for source in sources(*PACKAGES) if NAMES_THAT_SAY_NOTHING & set(source.with_suffix("").parts)]

    assert nameless == []

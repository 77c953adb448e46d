"""Two versions of the contracts in one process: each has modules of its own, and they meet in bytes only."""

import ast
import sys
from types import ModuleType
from typing import Any

import pytest

from contracts import bundle, execute, state
from contracts.commands import DepositReserve, EnrollCustomer, Request
from contracts.memory import Memory
from contracts.state import Earnings
from services import contract_sets
from services.contract_sets import NotInThisSet, UnusableBundle
from tests.services.contract_sets.second import OWN, PROGRAMME, RATE, other_parameters, other_rate, other_rule, replaced

CODE = bundle.from_bytes(OWN)


def load(files: bytes) -> contract_sets.ContractSet:
    return contract_sets.load(files, programme=PROGRAMME)


def test_the_own_set_is_this_program_s_modules():
    own = contract_sets.own(PROGRAMME)

    assert own.version == execute.version()
    assert own.is_own_code
    assert own.execute is execute


def test_other_parameters_are_another_version_of_the_same_code():
    other = load(other_rate())

    assert other.version != execute.version()
    assert other.execute is execute
    assert other.programme.micro_sparks_per_wh["self_supply"]["on"] == 3_200
    assert contract_sets.own(PROGRAMME).programme.micro_sparks_per_wh["self_supply"]["on"] == 1_600


def test_other_code_has_modules_of_its_own_and_leaves_the_program_s_alone():
    before: dict[str, ModuleType] = dict(sys.modules)

    other = load(other_rule())

    assert sys.modules == before
    assert other.state is not state
    assert other.state.Earnings is not Earnings
    assert other.execute.execute.__globals__["state"] is other.state


def test_each_set_executes_by_its_own_rules():
    own, other = contract_sets.own(PROGRAMME), load(other_rule())
    command = DepositReserve(1_000, "")

    here = own.execute.execute(Memory(own.programme), command)
    there = other.execute.execute(Memory(other.programme), other.request(request(command)).command)

    assert isinstance(here, own.effects.Effects)
    assert (type(there), there.reason) == (other.effects.Rejected, "invalid_amount")


def test_a_command_that_the_set_has_not_is_said_to_be_none_of_its():
    lacking = load(replaced(OWN, "commands.py", b'"enroll_customer"', b'"enrol_customer"'))

    with pytest.raises(NotInThisSet):
        lacking.request(request(EnrollCustomer("ann", "saver")))


def request(command: Any) -> Request:
    return Request(bytes(32), bytes(32), command)


def test_a_row_that_gained_a_field_is_read_by_both_versions():
    other, key = load(other_rule()), state.earnings_key("ann")
    old, new = Earnings(5), other.state.Earnings(5, 8)

    assert other.state.from_bytes(key, state.to_bytes(old)) == other.state.Earnings(5, 7)
    assert state.from_bytes(key, other.state.to_bytes(new)) == old


def test_files_with_another_hash_are_refused_before_anything_of_them_runs():
    spoilt = bundle.to_bytes({**CODE, "units.py": b"raise SystemExit"})

    with pytest.raises(UnusableBundle, match="hash to"):
        contract_sets.load(spoilt, programme=PROGRAMME, version=execute.version())


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"import os", "imports os"),
        (b"import services", "imports services"),
        (b"from contracts import nothing_there", "no module contracts.nothing_there"),
        (b"open('/etc/passwd')", "NameError"),
        (b"def", "SyntaxError"),
    ],
)
def test_code_that_no_contract_may_have_is_refused(line: bytes, what: str):
    files = bundle.to_bytes({**CODE, "units.py": CODE["units.py"] + line + b"\n"})

    with pytest.raises(UnusableBundle, match=what):
        load(files)


@pytest.mark.parametrize(
    "files",
    [
        b"",
        b"\x80",
        bundle.to_bytes({}),
        bundle.to_bytes({"../escape.py": b""}),
        bundle.to_bytes({**CODE, bundle.parameters_path(PROGRAMME): b"name = "}),
        bundle.to_bytes({path: source for path, source in CODE.items() if path.endswith(".py")}),
    ],
)
def test_what_is_no_contract_set_is_refused(files: bytes):
    with pytest.raises(UnusableBundle):
        load(files)


def test_the_version_is_of_every_path_and_every_byte():
    versions = {
        bundle.version_of(files)
        for files in (CODE, {**CODE, "more.py": b""}, {**CODE, "units.py": b""}, bundle.from_bytes(other_rate()))
    }

    assert len(versions) == 4
    assert other_parameters() == CODE[bundle.parameters_path(PROGRAMME)].replace(*RATE)


def test_contracts_import_at_the_top_of_a_module_only():
    """What is imported later would not be there when the set is loaded, nor be seen to be missing."""
    late = [
        f"{path}:{node.lineno}"
        for path, source in CODE.items()
        if path.endswith(".py")
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert late == []

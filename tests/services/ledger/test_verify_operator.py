"""An operator who writes a log that agrees with itself, signed and all, is still found out by executing it again."""

from dataclasses import replace
from typing import Any

import pytest

import contracts.execute
from contracts.commands import DepositReserve, EnrollCustomer, RecordPack
from contracts.effects import Effects
from contracts.execute import execute
from contracts.wire import signatures
from services.ledger.findings import Finding
from services.ledger.verify import verify
from services.ledger.writer import Writer
from tests.services.ledger.builders import IDENTITY, START_S, Books, Home, fund, request, running


def findings(books: Books) -> list[tuple[int, str]]:
    """What is found of a log that does agree with itself: (entry, what)."""
    found: tuple[Finding, ...] = verify(
        books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _size: None
    ).findings
    return [(finding.index, finding.what) for finding in found]


def test_a_pack_that_its_unit_did_not_sign(sqlite_url: str):
    with running(sqlite_url) as books:
        home = Home()
        books.accept(fund(), *home.joining())
        signed = home.message()
        forged = signed[:-1] + bytes([signed[-1] ^ 1])
        (pack,) = books.accept(request(RecordPack(home.device_id, forged)))

        assert findings(books) == [(pack.index, "the unit did not sign the message")]


def test_a_deposit_that_was_doubled(sqlite_url: str, monkeypatch: pytest.MonkeyPatch):
    def generous(view: Any, command: Any) -> Any:
        if isinstance(command, DepositReserve):
            command = replace(command, amount_micro_cad=2 * command.amount_micro_cad)
        return execute(view, command)

    with running(sqlite_url) as books:
        with monkeypatch.context() as patched:
            patched.setattr(contracts.execute, "execute", generous)
            (deposit,) = books.accept(fund())

        assert (deposit.index, "executed again, the effects are others") in findings(books)
        assert findings(books)[0][0] == deposit.index


def test_a_command_that_the_contract_rejects(sqlite_url: str, monkeypatch: pytest.MonkeyPatch):
    def lenient(view: Any, command: Any) -> Any:
        return Effects({}, (), {}) if isinstance(command, EnrollCustomer) else execute(view, command)

    with running(sqlite_url) as books:
        with monkeypatch.context() as patched:
            patched.setattr(contracts.execute, "execute", lenient)
            (enrolled,) = books.accept(request(EnrollCustomer("ann", "no such level")))

        assert findings(books) == [(enrolled.index, "the contract rejects it: unknown_level")]


def test_a_time_that_goes_back(sqlite_url: str, monkeypatch: pytest.MonkeyPatch):
    with running(sqlite_url) as books:
        books.accept(request(EnrollCustomer("ann", "saver")))
        monkeypatch.setattr(Writer, "_at_s", lambda _writer, _tip: START_S)
        (late,) = books.accept(request(EnrollCustomer("bob", "saver")))

        assert [index for index, what in findings(books) if "time goes back" in what] == [late.index]

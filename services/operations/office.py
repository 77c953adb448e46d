"""What the calls of this program work with, and the two ways in which they ask the ledger."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sqlalchemy import Engine

from contracts.commands import Command, Request
from contracts.wire.receipts import Instruction
from services.broker.accounts import BrokerAccounts
from services.clock import Clock, SystemClock
from services.contract_sets import CarriedSets
from services.idempotency import Answers, Asked, outcome_of
from services.identity import Clients, Tokens
from services.keys import Keys
from services.ledger.client import Accepted, Ledger

Instruct: TypeAlias = Callable[[Sequence[Instruction]], None]
"""Sends instructions, each to the unit that it names. May send one twice: a unit ignores an id that it had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The program's surroundings, given by whoever composes it.

    wall_clock  by which members sign their calls: theirs is no simulated one
    """

    engine: Engine
    ledger: Ledger
    clock: Clock
    keys: Keys
    tokens: Tokens
    clients: Clients
    answers: Answers
    accounts: BrokerAccounts
    instruct: Instruct
    sets: CarriedSets
    wall_clock: Clock = field(default_factory=SystemClock)
    random_bytes: Callable[[int], bytes] = os.urandom

    def ask(self, asked: Asked, command: Command) -> Accepted:
        """Ask the ledger for what one call is; a rejection is raised as its problem."""
        (outcome,) = self.ledger.submit([Request(asked.id, asked.digest, command)])
        return outcome_of(outcome)

    def ask_anew(self, command: Command) -> Accepted:
        """Ask for what PUT and PATCH say: sent twice, it is done twice to the same end."""
        return self.ask(Asked(self.random_bytes(32), bytes(32)), command)

"""Tells the operator which erasures this copy has done: a signed receipt for each, until it was taken."""

from typing import Final

from sqlalchemy import Engine

from contracts.units import DAY_S
from contracts.wire import erasures
from contracts.wire.erasures import ErasureReceipt
from services.database import release_erased
from services.encoding import text_of
from services.ledger import erasing
from services.member.operator import Credentials, Log


class Receipts:
    """What was told since the start; told again after the next one, which changes nothing."""

    def __init__(self, engine: Engine, operator: Log, credentials: Credentials, *, backup_days: int) -> None:
        self._engine: Final = engine
        self._operator = operator
        self._credentials = credentials
        self._backup_s = backup_days * DAY_S
        self._told: set[int] = set()

    def tell(self) -> None:
        """Send what was not taken yet, once no byte of it is left here. Raises Unreachable, DatabaseUnavailable."""
        done = [erased for erased in erasing.done(self._engine) if erased.index not in self._told]
        if not done or not release_erased(self._engine):
            return
        mine = self._credentials
        for erased in done:
            receipt = ErasureReceipt(
                origin=mine.origin,
                index=erased.index,
                customer_hash=erased.customer_hash,
                erased_s=erased.erased_s,
                backups_expire_s=erased.erased_s + self._backup_s,
                who=mine.member_id,
            )
            said = {
                "receipt": text_of(erasures.to_bytes(receipt)),
                "signature": text_of(erasures.sign(receipt, mine.seed)),
            }
            self._operator.put(f"/v1/erasures/{erased.index}/receipts/{mine.member_id}", said)
            self._told.add(erased.index)

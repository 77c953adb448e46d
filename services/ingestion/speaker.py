"""What units are told: receipts of what is on the ledger, and commands; signed, each with its own key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from contracts.state import Meter
from contracts.units import DAY_S, UnixSeconds
from contracts.wire import cose, receipts
from contracts.wire.receipts import Receipt, Resend
from services.ingestion.sources.source import Outlet
from services.setaside import quarantine, tallies

REFUSED_MAX: Final = 500
"""Refusals in one receipt, the newest; a longer list could make the message too large."""

RESEND_VALID_S: Final = 2 * DAY_S
"""Longer than any clock is ahead that is waited for, so that such a unit still hears it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Signs and sends.

    receipts_seed, commands_seed  32-byte Ed25519 seeds
    """

    outlet: Outlet
    receipts_seed: bytes = field(repr=False)
    commands_seed: bytes = field(repr=False)

    def send_receipts(self, due: Sequence[Receipt]) -> None:
        """Tell units what is decided."""
        for receipt in due:
            signed = cose.build(receipts.write(receipt), content_type=cose.CBOR, seed=self.receipts_seed)
            self.outlet.send_receipt(receipt.device_id, signed)

    def ask_again(self, device_id: str, *, id: str, from_seq: int, now_s: UnixSeconds) -> None:
        """Ask a unit to send its packs from number `from_seq` on again."""
        resend = Resend(device_id, id, now_s, now_s + RESEND_VALID_S, from_seq)
        self.send_command(device_id, receipts.write(resend), valid_s=RESEND_VALID_S)

    def send_command(self, device_id: str, payload: bytes, *, valid_s: int) -> None:
        """Sign and send an instruction that is written already."""
        signed = cose.build(payload, content_type=cose.CBOR, seed=self.commands_seed)
        self.outlet.send_command(device_id, signed, valid_s=valid_s)


def receipts_for(connection: Connection, meters: Mapping[str, Meter], *, origin: str) -> list[Receipt]:
    """The receipts that these units get now, noted as sent; each tells the refusals since the one before.

    A unit that was told of a higher number already (by another worker) gets none. With nothing decided yet the
    receipt is of number 0, whose hash is the `prev` of number 1.
    """
    before = tallies.receipts_of(connection, list(meters))
    current = {device_id: meter for device_id, meter in meters.items() if meter.seq >= before.get(device_id, 0)}
    after = {device_id: before.get(device_id, 0) for device_id in current}
    refused = quarantine.refusals_after(connection, after)
    tallies.note_receipts(connection, {device_id: meter.seq for device_id, meter in current.items()})
    return [
        Receipt(device_id, meter.seq, meter.hash, meter.decided_at, origin, _told(refused.get(device_id, []), meter))
        for device_id, meter in current.items()
    ]


def _told(refused: Sequence[tuple[int, str]], meter: Meter) -> tuple[tuple[int, str], ...]:
    return tuple((seq, reason) for seq, reason in refused if seq <= meter.seq)[-REFUSED_MAX:]

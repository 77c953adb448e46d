"""What ingestion needs of a transport: batches in, an acknowledgement out, and a way to speak to units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message as it came.

    device_id  the unit whose topic it came by
    payload    its bytes
    token      by which the source knows it again
    """

    device_id: str
    payload: bytes
    token: Any = None


class Source(Protocol):
    """Where messages come from. What is taken and not acknowledged comes again, after a restart at the latest."""

    def take(self, limit: int, timeout_s: float) -> list[Message]:
        """Up to `limit` messages in order of arrival; none if none came within `timeout_s`."""
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """These are durable here. The broker is told in the order in which it sent them."""
        ...


class Outlet(Protocol):
    """The way to units. A message given while the broker cannot be reached is sent once it can, within reason."""

    def send_receipt(self, device_id: str, message: bytes) -> None:
        """Publish a receipt, retained."""
        ...

    def send_command(self, device_id: str, message: bytes, *, valid_s: int) -> None:
        """Publish a command that is worth delivering for `valid_s` seconds, not retained."""
        ...

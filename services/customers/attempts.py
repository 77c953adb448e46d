"""How often somebody may guess: attempts to sign in that did not succeed, by e-mail and by address.

They are in the database, so that neither a restart nor a second process gives more of them away.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Engine, delete, func
from sqlmodel import Session, col, select

from contracts.units import Seconds, UnixSeconds
from services.customers.tables import SignInAttemptRow
from services.database import transaction

WINDOW_S: Final[Seconds] = 15 * 60
ATTEMPTS_MAX: Final[Mapping[str, int]] = {"email": 10, "address": 50}
"""In WINDOW_S; an address may be that of a whole building."""


def begin(engine: Engine, *, email: str, address: str, now_s: UnixSeconds) -> Seconds:
    """Count an attempt before it is judged, so that many at once gain little; 0, or how long to wait instead."""
    subjects = {"email": _subject("email", email), "address": _subject("address", address)}
    with transaction(engine) as session:
        session.exec(delete(SignInAttemptRow).where(col(SignInAttemptRow.at_s) <= now_s - WINDOW_S))
        for kind, subject in subjects.items():
            counted = select(func.count(), func.min(SignInAttemptRow.at_s)).where(SignInAttemptRow.subject == subject)
            attempts, first_s = session.exec(counted).one()
            if attempts >= ATTEMPTS_MAX[kind]:
                return max(1, int(first_s) + WINDOW_S - now_s)
        session.add_all(SignInAttemptRow(subject=subject, at_s=now_s) for subject in subjects.values())
    return 0


def succeed(engine: Engine, *, email: str, address: str) -> None:
    """The attempt was right: forget those with this e-mail, and this one of the address."""
    with transaction(engine) as session:
        session.exec(delete(SignInAttemptRow).where(col(SignInAttemptRow.subject) == _subject("email", email)))
        latest = select(func.max(SignInAttemptRow.number)).where(
            SignInAttemptRow.subject == _subject("address", address)
        )
        session.exec(delete(SignInAttemptRow).where(col(SignInAttemptRow.number) == latest.scalar_subquery()))


def forget(session: Session, email: str) -> None:
    """Nobody has this e-mail any more."""
    session.exec(delete(SignInAttemptRow).where(col(SignInAttemptRow.subject) == _subject("email", email)))


def _subject(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}\0{name}".encode()).hexdigest()

"""The persons behind the pseudonyms, in the database."""

from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from contracts.units import UnixSeconds
from services.customers.tables import CustomerRow
from services.database import reading, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer as a person; see `tables.CustomerRow`."""

    customer_id: str
    email: str
    password_hash: str
    name: str
    postal_code: str
    language: str
    consent_version: str
    consent_at_s: UnixSeconds
    created_s: UnixSeconds


def add(engine: Engine, person: Person) -> bool:
    """Keep a new person; False if their e-mail or pseudonym is there already."""
    try:
        with transaction(engine) as session:
            session.add(CustomerRow.model_validate(_fields_of(person)))
    except IntegrityError:
        return False
    return True


def by_email(engine: Engine, email: str) -> Person | None:
    """Who signs in with this (lower-case) e-mail."""
    with reading(engine) as session:
        row = session.exec(select(CustomerRow).where(CustomerRow.email == email)).one_or_none()
        return None if row is None else _person(row)


def by_id(engine: Engine, customer_id: str) -> Person | None:
    """Who is behind this pseudonym."""
    with reading(engine) as session:
        row = session.get(CustomerRow, customer_id)
        return None if row is None else _person(row)


def change(engine: Engine, customer_id: str, **changed: str) -> None:
    """Write the fields given of a person that exists."""
    with transaction(engine) as session:
        row = session.get_one(CustomerRow, customer_id)
        row.sqlmodel_update(changed)
        session.add(row)


def _fields_of(person: Person) -> dict[str, object]:
    return {name: getattr(person, name) for name in Person.__slots__}


def _person(row: CustomerRow) -> Person:
    return Person(**{name: getattr(row, name) for name in Person.__slots__})

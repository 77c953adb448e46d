"""The embedded broker's accounts, on SQLite and PostgreSQL."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from services.broker.accounts import Login, TableAccounts, is_password, password_hash
from services.broker.tables import BrokerAccount
from tests.services.broker.conftest import a_table


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = a_table(database_url)
    yield engine
    engine.dispose()


def test_a_factory_order_is_admitted_whole_and_again_without_a_second_row(engine: Engine) -> None:
    accounts = TableAccounts(engine)
    order = [(f"unit-{number}", f"password-{number}") for number in range(2_500)]
    accounts.admit(order)
    accounts.admit(order[::-1])
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(BrokerAccount)).scalar_one() == 2_500
    assert accounts.is_admitted(Login("unit-2499", "password-2499"))
    assert not accounts.is_admitted(Login("unit-2499", "password-2498"))
    accounts.remove([username for username, _ in order])
    assert not accounts.is_admitted(Login("unit-0", "password-0"))


def test_the_last_password_of_a_name_given_twice_counts(engine: Engine) -> None:
    accounts = TableAccounts(engine)
    accounts.admit([("unit-1", "first"), ("unit-1", "second")])
    assert accounts.is_admitted(Login("unit-1", "second"))
    assert not accounts.is_admitted(Login("unit-1", "first"))


@given(password=st.text(), other=st.text(), salt=st.binary(min_size=16, max_size=16))
def test_a_hash_answers_to_its_own_password_only(password: str, other: str, salt: bytes) -> None:
    stored = password_hash(password, salt=salt)
    assert is_password(password, stored)
    assert is_password(other, stored) == (other == password)


def test_equal_passwords_have_different_hashes() -> None:
    assert password_hash("same", salt=bytes(16)) != password_hash("same", salt=b"\1" * 16)

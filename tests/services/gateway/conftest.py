"""The same platform that the customers' tests use."""

from collections.abc import Iterator

import pytest

from tests.services.customers.conftest import platform
from tests.services.customers.platform import Who, a_platform

__all__ = ["platform"]


@pytest.fixture(scope="module")
def a_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Who]:
    """A retailer on SQLite who lasts for a whole file: for calls that move nothing."""
    folder = tmp_path_factory.mktemp("platform")
    with a_platform(f"sqlite:///{folder / 'sparks.db'}", folder) as running:
        yield running.retailer()

"""One embedded platform for all of the outsider's tests in a process; its clock stands still on a Monday noon."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from services.clock import SimulatedClock
from services.embedded import Platform
from services.settings import Settings
from tests.story.outsider.stage import Stage

MONDAY_NOON_S: Final = 1_783_353_600
"""2026-07-06T16:00:00Z, an ordinary summer Monday in Toronto."""


@contextmanager
def running(folder: Path, clock: SimulatedClock) -> Iterator[Stage]:
    """A platform on this clock."""
    with Platform(Settings(data_dir=folder, http_port=0, mqtt_port=0), clock) as platform:
        credentials = json.loads((folder / "keys" / "operator.json").read_text())
        yield Stage(platform.base_url, platform.broker_url, credentials, clock.now_s)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A funded platform that all tests of this process share."""
    with running(tmp_path_factory.mktemp("outsider") / "data", SimulatedClock(MONDAY_NOON_S)) as shared:
        shared.deposit()
        yield shared


@pytest.fixture
def clock() -> SimulatedClock:
    """A clock that one test may move."""
    return SimulatedClock(MONDAY_NOON_S)


@pytest.fixture
def own_stage(tmp_path: Path, clock: SimulatedClock) -> AbstractContextManager[Stage]:
    """A platform of the test's own, without any reserve, on `clock`."""
    return running(tmp_path / "data", clock)

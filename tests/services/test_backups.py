"""Backups that state by when they are to be gone, and of a member's copy, which signs on only what it signed before."""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.units import DAY_S
from services import backups
from services.backups import CannotRestore
from services.keys import Keys, Use
from services.ledger.client import LedgerUnavailable
from services.ledger.continuing import AnotherLog
from services.settings import Settings
from services.upkeep import NoLedger
from tests.services.ledger.builders import IDENTITY, NOON_S, Books, Home, fund, running
from tests.services.ledger.http_ledger import LOG_KEY
from tests.services.member.stage import member, operator

DAYS = 30


def quietly(_what: str, _done: int, _total: int) -> None:
    pass


def settings_of(folder: Path, **more: Any) -> Settings:
    return Settings(data_dir=folder, backup_days=DAYS, **more)


def back_up(settings: Settings, path: Path, *, now_s: int = NOON_S) -> Path:
    return Path(backups.back_up(settings, path, None, quietly, now_s=now_s)["file"])


def restore(settings: Settings, path: Path, *published: str, now_s: int = NOON_S, **more: bool) -> dict[str, Any]:
    return backups.restore(settings, path, published, quietly, now_s=now_s, **more)


@contextmanager
def a_ledger(settings: Settings) -> Iterator[Books]:
    """The ledger of these settings, whose keys lie where a platform's do; its salts are not drawn."""
    settings.keys_dir.mkdir(mode=0o700, parents=True)
    seed = settings.keys_dir / "log.seed"
    seed.write_text(IDENTITY.seed.hex())
    seed.chmod(0o600)
    with running(settings.database, chance=bytes) as books:
        books.accept(fund(), *Home().joining())
        yield books


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "platform")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


def test_in_a_folder_backups_are_named_by_their_moment_and_each_goes_by_its_date(settings: Settings, folder: Path):
    with a_ledger(settings):
        first = back_up(settings, folder)
        second = back_up(settings, folder, now_s=NOON_S + DAY_S)
    (folder / "notes.txt").write_text("mine")

    before = backups.prune(settings, folder, now_s=NOON_S + DAYS * DAY_S - 1)
    after = backups.prune(settings, folder, now_s=NOON_S + DAYS * DAY_S)

    assert first.name < second.name
    assert before.removed == []
    assert after.removed == [first]
    assert after.kept == [(second, NOON_S + (DAYS + 1) * DAY_S)]
    assert {path.name for path in folder.iterdir()} == {second.name, "notes.txt"}


def test_the_date_is_the_one_that_was_stated_whatever_the_setting_says_later(settings: Settings, folder: Path):
    with a_ledger(settings):
        made = back_up(settings, folder)
    longer = settings.model_copy(update={"backup_days": 10 * DAYS})

    assert backups.prune(longer, folder, now_s=NOON_S + DAYS * DAY_S).removed == [made]


def test_what_a_backup_left_that_was_killed_goes_after_a_day(settings: Settings, folder: Path):
    old, new = folder / ".kept.0123.partial", folder / ".kept.4567.partial"
    for draft, at_s in ((old, NOON_S - 2 * DAY_S), (new, NOON_S - 60)):
        draft.write_bytes(b"private")
        os.utime(draft, (at_s, at_s))

    assert backups.prune(settings, folder, now_s=NOON_S).removed == [old]


@pytest.mark.parametrize(
    "manifest",
    ['{"format": 1}', "[" * 100_000, "encrypted", "typed"],
    ids=["of something else", "nested without end", "encrypted", "no moment"],
)
def test_a_file_that_looks_like_a_backup_keeps_no_other_from_going(settings: Settings, folder: Path, manifest: str):
    with a_ledger(settings):
        made = back_up(settings, folder)
    said = json.loads(zipfile.ZipFile(made).read("manifest.json"))
    strange = folder / "a-strange.zip"
    with zipfile.ZipFile(strange, "w") as archive:
        text = json.dumps({**said, "expires_at_s": "soon"}) if manifest == "typed" else manifest
        archive.writestr("manifest.json", text)
    if manifest == "encrypted":
        strange.write_bytes(
            strange.read_bytes().replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
        )

    assert backups.prune(settings, folder, now_s=NOON_S + DAYS * DAY_S).removed == [made]
    assert strange.exists()


def test_a_backup_whose_date_has_passed_is_restored_only_if_somebody_says_so(settings: Settings, folder: Path):
    with a_ledger(settings) as books:
        made, size = back_up(settings, folder), books.queries.size()
    empty = settings.model_copy(update={"database_url": f"sqlite:///{folder / 'empty.db'}"})
    late_s = NOON_S + DAYS * DAY_S

    with pytest.raises(CannotRestore, match="was to be gone by"):
        restore(empty, made, now_s=late_s)

    assert restore(empty, made, now_s=late_s, accept_expired=True)["size"] == size


# --- a member's copy -------------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Settings:
    """The settings of a member's node that has its keys."""
    found = settings_of(tmp_path / "node", member_log_key=LOG_KEY.text())
    for use in (Use.GOVERN, Use.COSIGN):
        Keys(found.keys_dir).seed(use)
    return found


def lose_database(settings: Settings) -> None:
    for path in settings.data_dir.glob("sparks.db*"):
        path.unlink()


def test_a_members_copy_is_backed_up_while_it_follows_and_follows_on_once_it_is_restored(
    settings: Settings, node: Settings, folder: Path
):
    with a_ledger(settings) as books, operator(books) as url:
        with member(node.database, url) as own:
            assert own.offer(books.queries.checkpoint()).status_code == 200
            begun = books.queries.size()
            made = back_up(node, folder)
            books.accept(fund(1), fund(2))
            signed, proof = books.queries.checkpoint(), books.queries.consistency_proof(begun, books.queries.size())
            assert own.offer(signed, old=begun, proof=proof).status_code == 200
            size = books.queries.size()
        lose_database(node)

        assert restore(node, made, f"{url}/log/checkpoint")["size"] == begun

        with member(node.database, url) as own:
            books.accept(fund(3))
            newest, proof = books.queries.checkpoint(), books.queries.consistency_proof(size, books.queries.size())
            assert own.offer(newest, old=size, proof=proof).status_code == 200
            assert own.verify().ok


def test_a_restored_copy_signs_no_history_but_the_one_it_was_shown(
    settings: Settings, node: Settings, folder: Path, tmp_path: Path
):
    with a_ledger(settings) as books, operator(books) as url:
        with member(node.database, url) as own:
            own.round()
            made = back_up(node, folder)
        lose_database(node)
        books.accept(fund(1))
        restore(node, made, f"{url}/log/checkpoint")
        shown = books.queries.size()
    with (
        a_ledger(settings_of(tmp_path / "fork")) as fork,
        operator(fork) as url,
        member(node.database, url) as own,
    ):
        fork.accept(fund(7), fund(8))
        own.round()
        proof = fork.queries.consistency_proof(shown, fork.queries.size())

        assert own.offer(fork.queries.checkpoint(), old=shown, proof=proof).status_code == 422


def test_a_copy_is_not_restored_without_its_keys_nor_without_knowing_what_was_signed(
    settings: Settings, node: Settings, folder: Path, tmp_path: Path
):
    with a_ledger(settings) as books, operator(books) as url:
        with member(node.database, url) as own:
            own.round()
            made = back_up(node, folder)
        lose_database(node)
        keyless = node.model_copy(update={"data_dir": tmp_path / "elsewhere"})

        with pytest.raises(CannotRestore, match="--checkpoint"):
            restore(node, made)
        with pytest.raises(NoLedger, match=r"no govern\.seed"):
            restore(keyless, made, f"{url}/log/checkpoint")
        with pytest.raises(LedgerUnavailable):
            restore(node, made, "http://127.0.0.1:1/log/checkpoint")


def test_a_copy_of_another_history_than_the_one_shown_is_not_restored(
    settings: Settings, node: Settings, folder: Path, tmp_path: Path
):
    fork_settings = settings_of(tmp_path / "fork")
    with a_ledger(fork_settings) as fork:
        fork.accept(fund(77))
        made = back_up(fork_settings, folder)
    with a_ledger(settings) as books, operator(books) as url:
        books.accept(*(fund(cents) for cents in range(1, 9)))

        with pytest.raises(AnotherLog, match="two histories"):
            restore(node, made, f"{url}/log/checkpoint")

"""Seeds and secrets: made once, whoever starts first, and readable by nobody else."""

import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from contracts.wire import signatures
from services.keys import KeyFileUnusable, Keys, Use


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "data" / "keys")


def test_a_seed_is_made_once_and_is_the_same_ever_after(keys):
    seed = keys.seed(Use.LOG)

    assert len(seed) == 32
    assert Keys(keys.folder).seed(Use.LOG) == seed
    assert keys.public_key(Use.LOG) == signatures.public_key_of(seed)


def test_every_use_has_a_seed_of_its_own(keys):
    assert len({keys.seed(use) for use in Use}) == len(Use)


def test_files_are_readable_by_their_owner_only_and_nothing_else_is_left(keys):
    for use in Use:
        keys.seed(use)
    keys.operator(), keys.broker(), keys.internal_token(), keys.derive("purpose")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.folder.iterdir()}
    assert modes == dict.fromkeys(
        [
            *("log.seed", "receipts.seed", "commands.seed", "tokens.seed", "govern.seed", "cosign.seed"),
            *("operator.json", "broker.json", "internal.token", "derivation.secret"),
        ],
        0o600,
    )
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700


def test_the_first_operator_finds_id_and_secret_in_a_file(keys):
    operator = keys.operator()

    content = json.loads((keys.folder / "operator.json").read_text())
    assert content == {"client_id": operator.name, "client_secret": operator.secret}
    assert len(operator.secret) == 43
    assert operator.secret not in repr(operator)


def test_a_derived_secret_depends_on_purpose_and_parts_and_nothing_else(keys, tmp_path):
    one = keys.derive("claim code", b"ab", b"c")

    assert one == Keys(keys.folder).derive("claim code", b"ab", b"c")
    others = [
        keys.derive("claim code", b"a", b"bc"),
        keys.derive("claim code", b"abc"),
        keys.derive("password", b"ab", b"c"),
        Keys(tmp_path / "other").derive("claim code", b"ab", b"c"),
    ]
    assert len({one, *others}) == 5


def test_a_file_that_others_can_read_is_refused(keys):
    keys.seed(Use.LOG)
    (keys.folder / "log.seed").chmod(0o640)

    with pytest.raises(KeyFileUnusable, match=r"log\.seed: others may read it \(mode 0640\)"):
        keys.seed(Use.LOG)


def test_a_folder_that_others_can_read_is_refused(keys):
    keys.seed(Use.LOG)
    keys.folder.chmod(0o755)

    with pytest.raises(KeyFileUnusable, match="mode 0755"):
        keys.seed(Use.LOG)


@pytest.mark.parametrize("content", ["", "ab", "not hex" * 10, "\xff"])
def test_a_damaged_seed_is_named_and_never_replaced(keys, content):
    keys.seed(Use.LOG)
    path = keys.folder / "log.seed"
    path.write_text(content, encoding="latin-1")

    with pytest.raises(KeyFileUnusable, match=r"log\.seed") as refused:
        keys.seed(Use.LOG)

    assert "\n" not in str(refused.value)
    assert path.read_text(encoding="latin-1") == content


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "data").write_text("a file")

    with pytest.raises(KeyFileUnusable, match="NotADirectoryError"):
        Keys(tmp_path / "data" / "keys").seed(Use.LOG)


def test_processes_that_start_together_agree(keys):
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        seeds = pool.map(_seed, [keys.folder] * 16, chunksize=1)

    assert len(set(seeds)) == 1
    assert [path.name for path in keys.folder.iterdir()] == ["log.seed"]


def _seed(folder: Path) -> bytes:
    return Keys(folder).seed(Use.LOG)

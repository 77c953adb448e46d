"""Segment files: what was written is read again, one payload at a time, and only with its key."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.secret import SecretBox

from services.ledger import segments
from services.ledger.segments import NO_KEY, BadSegment, Payload, Segment

some_bytes = st.binary(max_size=200)
a_payload = st.builds(Payload, st.binary(min_size=1, max_size=300), some_bytes, some_bytes, some_bytes, some_bytes)


def payload(number: int) -> Payload:
    """Like others in much and different in little, as readings are."""
    return Payload(
        b"request %d " % number + b"watt-hours" * 20, b"s" * 16, b"effects %d" % number, b"t" * 16, b"result"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "segments"


@given(st.lists(a_payload, min_size=1, max_size=90), st.integers(0, 1 << 40))
def test_every_payload_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, payloads, first):
    folder = tmp_path_factory.mktemp("segments")

    written = segments.write(folder, first, payloads)

    segment = Segment(segments.path_of(folder, written.sha256))
    assert [segment.read(first + place, written.key(first + place)) for place in range(len(payloads))] == payloads
    segments.check(folder, written.sha256)


def test_without_its_key_what_an_erasure_takes_cannot_be_read_and_the_rest_can(folder: Path):
    written = segments.write(folder, 0, [payload(0), payload(1)])

    segment = Segment(segments.path_of(folder, written.sha256))

    kept = payload(0)
    assert segment.read(0, NO_KEY) == Payload(b"", b"", kept.effects, kept.effects_salt, b"")
    with pytest.raises(BadSegment, match=r"the key of entry 0 does not open it"):
        segment.read(0, written.key(1))
    assert b"request" not in segments.path_of(folder, written.sha256).read_bytes()


def test_nothing_that_may_be_erased_lies_in_the_file_in_clear(folder: Path):
    mark = b"a home of which nobody shall know"
    told = [Payload(mark + b"%d" % n, mark[:16], b"effects %d" % n, b"t" * 16, mark) for n in range(500)]

    written = segments.write(folder, 0, told)

    data = segments.path_of(folder, written.sha256).read_bytes()
    assert not any(mark[start : start + 6] in data for start in range(len(mark) - 6))


def test_no_two_payloads_have_the_same_key(folder: Path):
    written = segments.write(folder, 0, [payload(number) for number in range(64)])

    assert len({written.key(number) for number in range(64)}) == 64
    assert len(written.keys) == 64 * SecretBox.KEY_SIZE


def test_what_was_erased_before_has_no_key(folder: Path):
    erased = Payload(b"", b"", b"effects", b"t" * 16, b"")

    written = segments.write(folder, 7, [payload(0), erased])

    assert written.key(8) == NO_KEY
    assert Segment(segments.path_of(folder, written.sha256)).read(8, NO_KEY) == erased


def test_a_payload_that_a_copy_does_not_have_is_not_there(folder: Path):
    written = segments.write(folder, 0, [payload(0), None, payload(2)])

    segment = Segment(segments.path_of(folder, written.sha256))
    assert [segment.read(index, written.key(index)) for index in range(3)] == [payload(0), None, payload(2)]
    assert written.key(1) == NO_KEY


def test_payloads_that_are_alike_take_less_than_half(folder: Path):
    payloads = [payload(number) for number in range(1_000)]

    written = segments.write(folder, 0, payloads)

    assert written.size_bytes < sum(len(part) for one in payloads for part in one) / 2


def test_only_the_owner_may_read_a_segment_and_no_draft_stays(folder: Path):
    written = segments.write(folder, 0, [payload(0)])

    path = segments.path_of(folder, written.sha256)
    assert list(folder.iterdir()) == [path]
    assert (path.stat().st_mode & 0o077, folder.stat().st_mode & 0o077) == (0, 0)


def test_a_missing_segment_is_named(folder: Path):
    with pytest.raises(BadSegment, match=r"^segment 000000000000 is missing in .*segments$"):
        segments.check(folder, bytes(32))
    with pytest.raises(BadSegment, match=r"^segment 000000000000 is missing in .*segments$"):
        Segment(segments.path_of(folder, bytes(32)))


@given(data=st.data())
def test_any_changed_byte_is_found_and_never_read_as_something_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("segments")
    payloads = [payload(number) for number in range(3)]
    written = segments.write(folder, 0, payloads)
    path = segments.path_of(folder, written.sha256)
    damaged = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)

    with pytest.raises(BadSegment, match="is damaged: its SHA-256 is"):
        segments.check(folder, written.sha256)
    for index in range(len(payloads)):
        try:
            read = Segment(path).read(index, written.key(index))
        except BadSegment:
            continue
        assert read is None or (read.request, read.request_salt, read.result) in {
            (whole.request, whole.request_salt, whole.result) for whole in payloads
        } | {(b"", b"", b"")}


@pytest.mark.parametrize("length", [0, 5, 30, 100])
def test_a_file_that_was_cut_off_is_damaged(folder: Path, length: int):
    written = segments.write(folder, 0, [payload(0)])
    path = segments.path_of(folder, written.sha256)
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(BadSegment, match="is damaged"):
        Segment(path).read(0, written.key(0))

"""Signed notes against the vectors: keys, lines, refusals."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import notes
from services.ledger.notes import KeyType, NoteRefusal, OpenedNote, VerifierKey
from tests.services.ledger.tlog_vectors import vectors

NOTES = vectors("notes")
SIGNED = NOTES["signed_messages"]
TEXT: str = SIGNED["checkpoint_text"]
LOG, ROTATED, FOO, MIRROR, W1, W2, W3 = NOTES["keys"]
SEED = bytes.fromhex(LOG["seed"])


def key_of(vkey: str) -> VerifierKey:
    key = notes.parse_vkey(vkey)
    assert key is not None
    return key


def note_bytes(case: Any) -> bytes:
    return bytes.fromhex(case["note_hex"]) if "note_hex" in case else case["note"].encode()


def names_of(opened: OpenedNote) -> list[str]:
    return [f"{signature.key.name}+{signature.key.key_id.hex()}" for signature in opened.signatures]


def log_line() -> str:
    return notes.signature_line(TEXT, name=LOG["name"], seed=SEED)


# Keys


@pytest.mark.parametrize("case", NOTES["keys"], ids=lambda case: f"{case['name']} {case['key_id']}")
def test_a_vkey_is_read_and_written_as_in_the_vectors(case: Any) -> None:
    key = key_of(case["vkey"])

    assert (key.name, key.key_id.hex(), key.type) == (case["name"], case["key_id"], int(case["alg"], 16))
    assert key.public_key.hex() == case["public_key"]
    assert notes.vkey(key.name, key.type, key.public_key) == case["vkey"]


@pytest.mark.parametrize("case", NOTES["vkeys_invalid"], ids=lambda case: str(case["why"]))
def test_an_invalid_vkey_is_refused(case: Any) -> None:
    assert notes.parse_vkey(case["vkey"]) is None


@given(text=st.text())
def test_any_text_is_a_vkey_or_refused(text: str) -> None:
    key = notes.parse_vkey(text)

    assert key is None or key.text() == text


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x1fb", "a\ud800b"])
def test_a_key_has_a_name_that_a_line_can_carry(name: str) -> None:
    with pytest.raises(ValueError, match="a key name"):
        VerifierKey(name, KeyType.ED25519, bytes(32))


# Opening


@pytest.mark.parametrize("case", [case for case in NOTES["notes"] if case["valid"]], ids=lambda case: str(case["why"]))
def test_a_valid_note_opens_with_the_keys_that_signed_it_but_those_of_type_6(case: Any) -> None:
    known = [key_of(vkey) for vkey in case["known_vkeys"]]
    type_6 = {f"{key.name}+{key.key_id.hex()}" for key in known if key.type is KeyType.MLDSA44_COSIGNATURE}

    opened = notes.open_note(note_bytes(case), known)

    assert isinstance(opened, OpenedNote)
    assert names_of(opened) == [name for name in case["verified"] if name not in type_6]


REASONS = {
    "no known key": NoteRefusal.NO_KNOWN_SIGNATURE,
    "same name, other key": NoteRefusal.NO_KNOWN_SIGNATURE,
    "bad signature by a known key": NoteRefusal.BAD_SIGNATURE,
    "good log signature, bad cosignature by a known witness: refuse all": NoteRefusal.BAD_SIGNATURE,
    "text changed after signing": NoteRefusal.BAD_SIGNATURE,
    "cosignature timestamp changed": NoteRefusal.BAD_SIGNATURE,
    "type 0x01 signature under the 0x04 key ID": NoteRefusal.BAD_SIGNATURE,
}


@pytest.mark.parametrize(
    "case", [case for case in NOTES["notes"] if not case["valid"]], ids=lambda case: str(case["why"])
)
def test_an_invalid_note_is_refused_for_its_reason(case: Any) -> None:
    opened = notes.open_note(note_bytes(case), map(key_of, case["known_vkeys"]))

    assert opened is REASONS.get(case["why"], NoteRefusal.MALFORMED)


def test_the_example_of_the_specification_opens() -> None:
    example = NOTES["spec_example"]

    opened = notes.open_note(example["note"].encode(), [key_of(example["vkey"])])

    assert isinstance(opened, OpenedNote)
    assert opened.text == "This is an example message.\n"


def test_a_type_6_key_alone_is_no_known_key() -> None:
    case = next(case for case in NOTES["notes"] if "ML-DSA-44" in case["why"])

    assert notes.open_note(note_bytes(case), [key_of(MIRROR["vkey"])]) is NoteRefusal.NO_KNOWN_SIGNATURE


def test_a_cosignature_tells_its_time_and_a_plain_signature_none() -> None:
    cosignature = notes.cosignature_line(
        TEXT, name=W1["name"], seed=bytes.fromhex(W1["seed"]), time_s=SIGNED["timestamp"]
    )
    note = notes.sign_note(TEXT, [log_line(), cosignature])

    opened = notes.open_note(note, [key_of(W1["vkey"]), key_of(LOG["vkey"])])

    assert isinstance(opened, OpenedNote)
    assert [signature.time_s for signature in opened.signatures] == [None, SIGNED["timestamp"]]


def test_a_second_line_of_a_known_key_must_hold_too() -> None:
    bad_line = notes.signature_line(TEXT + "x\n", name=LOG["name"], seed=SEED)
    note = notes.sign_note(TEXT, [log_line(), bad_line])

    assert notes.open_note(note, [key_of(LOG["vkey"])]) is NoteRefusal.BAD_SIGNATURE


def test_a_hundred_signatures_are_read_and_no_more() -> None:
    known = [key_of(LOG["vkey"])]
    stranger = f"\u2014 stranger {notes.base64_text(bytes(68))}\n"
    lines = log_line() + 99 * stranger

    assert isinstance(notes.open_note(f"{TEXT}\n{lines}".encode(), known), OpenedNote)
    assert notes.open_note(f"{TEXT}\n{lines}{stranger}".encode(), known) is NoteRefusal.MALFORMED


def test_two_known_keys_of_one_name_and_id_are_a_bug() -> None:
    one, other = (VerifierKey("log", KeyType.ED25519, seen.to_bytes(32, "big")) for seen in (29_982, 41_147))
    assert one.key_id == other.key_id

    with pytest.raises(ValueError, match="two keys are log"):
        notes.open_note(notes.sign_note(TEXT, [log_line()]), [one, other])


@given(note=st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_bytes_that_nobody_signed_never_open(note: bytes) -> None:
    assert isinstance(notes.open_note(note, [key_of(LOG["vkey"])]), NoteRefusal)


@given(at=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_never_leaves_another_text_signed(at: int, bit: int) -> None:
    note = bytearray(notes.sign_note(TEXT, [log_line()]))
    note[at % len(note)] ^= 1 << bit

    assert isinstance(notes.open_note(bytes(note), [key_of(LOG["vkey"])]), NoteRefusal)


# Signing


def test_both_types_sign_the_exact_messages_of_the_vectors() -> None:
    key_id = bytes.fromhex(LOG["key_id"])
    expected = notes.base64_text(key_id + bytes.fromhex(SIGNED["signature_0x01_over_it"]))
    assert log_line() == f"\u2014 {LOG['name']} {expected}\n"

    key_id = bytes.fromhex(W1["key_id"])
    time_s = SIGNED["timestamp"]
    signature = bytes.fromhex(SIGNED["signature_0x04_over_it_no_time"])
    expected = notes.base64_text(key_id + time_s.to_bytes(8, "big") + signature)
    line = notes.cosignature_line(TEXT, name=W1["name"], seed=bytes.fromhex(W1["seed"]), time_s=time_s)
    assert line == f"\u2014 {W1['name']} {expected}\n"


@given(text=st.text(st.characters(min_codepoint=32, codec="utf-8") | st.just("\n")).map(lambda text: text + "\n"))
def test_any_text_that_ends_its_last_line_can_be_signed_and_opened(text: str) -> None:
    line = notes.signature_line(text, name=LOG["name"], seed=SEED)

    opened = notes.open_note(notes.sign_note(text, [line]), [key_of(LOG["vkey"])])

    assert isinstance(opened, OpenedNote)
    assert opened.text == text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("no newline", [log_line()], id="text without its newline"),
        pytest.param("a\ttab\n", [log_line()], id="control character"),
        pytest.param(TEXT, [], id="no line"),
        pytest.param(TEXT, [log_line().rstrip()], id="line without its newline"),
        pytest.param(TEXT, ["\n", log_line()], id="empty line among the signatures"),
    ],
)
def test_a_note_that_would_not_open_is_not_made(text: str, lines: list[str]) -> None:
    with pytest.raises(ValueError, match="a note is"):
        notes.sign_note(text, lines)


@pytest.mark.parametrize("time_s", [-1, 0, 2**63])
def test_a_cosigner_states_a_time_that_can_be(time_s: int) -> None:
    with pytest.raises(ValueError, match="time"):
        notes.cosignature_line(TEXT, name="w", seed=SEED, time_s=time_s)


@pytest.mark.parametrize("text", ["AAA", "AAB=", "A-__", "AA==\n", " AA==", "AA==AA==", "é==="])
def test_base64_has_one_spelling(text: str) -> None:
    assert notes.base64_bytes(text) is None

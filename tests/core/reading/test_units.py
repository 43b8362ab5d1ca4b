"""Tokens joined into what is read as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mfn_core import MFNModel
from mfn_core.reading import Tokens


def spelled(pieces: list[bytes], special: list[bool] | None = None) -> Tokens:
    return Tokens(tuple(range(len(pieces))), tuple(pieces), tuple(special or [False] * len(pieces)))


def test_bytes_of_a_character_are_joined_into_it() -> None:
    tokens = spelled([b"a", b"\xe5", b"\xad", b"\x97", b" b"])
    assert [(unit.text, unit.start, unit.stop, unit.kind) for unit in tokens.units] == [
        ("a", 0, 1, "text"),
        ("字", 1, 4, "text"),
        (" b", 4, 5, "text"),
    ]
    assert list(tokens) == ["a", "⟨e5⟩", "⟨ad⟩", "⟨97⟩", " b"]
    assert tokens.unit_at(2).text == "字"


def test_bytes_that_make_no_character_stay_bytes() -> None:
    tokens = spelled([b"\xff", b"x", b"\xe5", b"y", b"\xe5"])
    assert [(unit.text, unit.kind) for unit in tokens.units] == [
        ("⟨ff⟩", "bytes"),
        ("x", "text"),
        ("⟨e5⟩", "bytes"),
        ("y", "text"),
        ("⟨e5⟩", "bytes"),
    ]
    assert tokens.text == "\ufffdx\ufffdy\ufffd"


def test_special_tokens_are_names_and_no_text() -> None:
    tokens = spelled([b"<|end|>", b"\xe5", b"<|end|>", b"\xad\x97"], [True, False, True, False])
    assert [unit.kind for unit in tokens.units] == ["special", "bytes", "special", "bytes"]
    assert tokens.text == "字"


def test_an_id_without_text_shows_its_number(tiny_model: MFNModel) -> None:
    assert list(Tokens.of([5, 17], None)) == ["⟨#5⟩", "⟨#17⟩"]
    beyond = len(tiny_model.tokenizer)
    assert Tokens.of([beyond], tiny_model.tokenizer)[0] == f"⟨#{beyond}⟩"


def test_an_id_without_text_is_never_hidden_in_a_character() -> None:
    units = spelled([b"\xe5", b"", b"\xad\x97"]).units
    assert [unit.text for unit in units] == ["⟨e5⟩", "⟨#1⟩", "⟨ad 97⟩"]


def test_the_tokens_of_a_text_spell_it(tiny_model: MFNModel) -> None:
    text = "naïve café 🙂 שלום\tx\n"
    tokens = Tokens.of(tiny_model.encode_text(text), tiny_model.tokenizer)
    assert tokens[0] == "<|end|>"
    assert tokens.text == text
    assert "".join(unit.text for unit in tokens.units if unit.kind == "text") == text


@given(st.text(max_size=12), st.lists(st.integers(1, 4), max_size=40))
def test_units_share_out_the_tokens_and_lose_no_text(text: str, cuts: list[int]) -> None:
    raw, pieces = text.encode(), []
    for width in cuts:
        pieces.append(raw[:width])
        raw = raw[width:]
    tokens = spelled([piece for piece in [*pieces, raw] if piece])
    spans = [(unit.start, unit.stop) for unit in tokens.units]
    assert [i for start, stop in spans for i in range(start, stop)] == list(range(len(tokens)))
    assert tokens.text == text
    whole = b"".join(unit.text.encode() if unit.kind == "text" else tokens.pieces[unit.start] for unit in tokens.units)
    assert whole == text.encode()

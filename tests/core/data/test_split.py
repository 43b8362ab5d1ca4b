"""Text cut into pieces, a part of it held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfn_core.data.split import ABOUT, HELD_OUT, TRAIN, pieces, split_text
from mfn_core.errors import ConfigError, CorpusError


def lines(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def write(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def test_pieces_end_with_lines_words_or_nothing() -> None:
    text = "one\ntwo two\nthree three three threethreethree\n"
    assert "".join(pieces(text, 12)) == text
    assert list(pieces(text, 12)) == ["one\ntwo two\n", "three three ", "three ", "threethreeth", "ree\n"]
    assert list(pieces("short", 12)) == ["short"]


def test_a_tenth_is_held_out_until_there_is_enough(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", [f"text {n:03}" for n in range(200)])
    split_text([corpus], [], tmp_path / "out", 10**6, 40, 100)
    assert lines(tmp_path / "out" / HELD_OUT) == [f"text {n:03}" for n in (0, 10, 20, 30, 40)]
    assert len(lines(tmp_path / "out" / TRAIN)) == 195


def test_nothing_occurs_twice_and_nothing_held_out_is_trained_on(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", [f"text {n % 50}" for n in range(200)])
    apart = write(tmp_path / "b.jsonl", ["text 7", "something else"])
    split_text([corpus], [apart], tmp_path / "out", 10**6, 10**6, 100)
    assert lines(tmp_path / "out" / HELD_OUT) == ["text 7", "something else"]
    assert sorted(lines(tmp_path / "out" / TRAIN)) == sorted(f"text {n}" for n in range(50) if n != 7)


def test_corpora_take_turns_and_are_read_no_further_than_needed(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", [f"first {n}" for n in range(50)])
    second = write(tmp_path / "b.jsonl", [f"second {n}" for n in range(3)])
    split_text([first, second], [], tmp_path / "out", 60, 7, 100)
    trained = lines(tmp_path / "out" / TRAIN)
    assert trained == [
        *("second 0", "first 1", "second 1", "first 2", "second 2"),
        *(f"first {n}" for n in range(3, 7)),
    ]
    assert lines(tmp_path / "out" / HELD_OUT) == ["first 0"]


def test_one_long_text_is_enough(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(f"This is line {n} of a long book.\n" for n in range(300)))
    split_text([str(tmp_path / "book.txt")], [], tmp_path / "out", 10**6, 500, 400)
    held, trained = lines(tmp_path / "out" / HELD_OUT), lines(tmp_path / "out" / TRAIN)
    assert sorted("".join(held + trained).splitlines()) == sorted((tmp_path / "book.txt").read_text().splitlines())
    assert not set(held) & set(trained)


def test_what_is_there_is_kept_and_other_text_refused(tmp_path: Path) -> None:
    corpus = write(tmp_path / "a.jsonl", ["one", "two", "three"])
    split_text([corpus], [], tmp_path / "out", 100, 1, 100)
    before = (tmp_path / "out" / TRAIN).read_text()
    write(tmp_path / "a.jsonl", ["four", "five"])
    split_text([corpus], [], tmp_path / "out", 100, 1, 100)
    assert (tmp_path / "out" / TRAIN).read_text() == before
    (tmp_path / "out" / ABOUT).unlink()  # as after a crash
    split_text([corpus], [], tmp_path / "out", 100, 1, 100)
    assert lines(tmp_path / "out" / TRAIN) == ["five"]
    with pytest.raises(ConfigError, match="the text of another run"):
        split_text([corpus, corpus], [], tmp_path / "out", 100, 1, 100)


@pytest.mark.parametrize(("texts", "apart"), [([], None), (["one"], None), (["one"], []), (["one"], ["one"])])
def test_too_little_text_is_said(tmp_path: Path, texts: list[str], apart: list[str] | None) -> None:
    corpus = write(tmp_path / "a.jsonl", texts)
    held_out = [] if apart is None else [write(tmp_path / "b.jsonl", apart)]
    with pytest.raises(CorpusError, match="too little text"):
        split_text([corpus], held_out, tmp_path / "out", 100, 100, 100)

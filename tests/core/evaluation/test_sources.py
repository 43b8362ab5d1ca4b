"""Formats and scripts are labelled without a hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from mfn_core.data.structured import KINDS
from mfn_core.evaluation.labelled import LabelledText, Span
from mfn_core.evaluation.sources import formats, unlabelled, with_scripts
from mfn_core.scripts import script_of


def test_every_kind_comes_as_often_as_asked_for_and_the_same_again() -> None:
    texts = list(formats(3))
    assert Counter(text.concepts[0] for text in texts) == {f"format/{kind}": 3 for kind in KINDS}
    assert texts == list(formats(3))
    assert len({text.name for text in texts}) == len(texts)


def test_of_unlabelled_text_nothing_but_its_scripts_is_known(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in ("Да", "Yes")))
    texts = list(with_scripts(unlabelled(tmp_path / "some.jsonl")))
    assert [text.name for text in texts] == ["some.jsonl/0/0", "some.jsonl/1/0"]
    assert all(text.kinds == {"script"} and not text.concepts for text in texts)
    assert [text.spans for text in texts] == [(Span(0, 2, "script/cyrillic"),), ()]


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("ש", "hebrew"),
        ("ב", "hebrew"),
        ("ع", "arabic"),
        ("ж", "cyrillic"),
        ("Ω", "greek"),
        ("क", "devanagari"),
        ("한", "hangul"),
        ("中", "cjk"),
        ("e", None),
        ("é", None),
        ("1", None),
        (" ", None),
        ("́", None),
    ],
)
def test_letters_have_a_script(character: str, script: str | None) -> None:
    assert script_of(character) == script


def test_runs_of_a_script_become_spans_beside_those_that_were_there() -> None:
    (text,) = with_scripts([LabelledText("a", "see жук и ω", (Span(0, 3, "verb"),))])
    assert text.spans == (
        Span(0, 3, "verb"),
        Span(4, 7, "script/cyrillic"),
        Span(8, 9, "script/cyrillic"),
        Span(10, 11, "script/greek"),
    )

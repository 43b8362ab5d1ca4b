"""The labelled text that ships is what its readers take it for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mfn_core.evaluation.labelled import LabelledText, read_labelled

FOLDER = Path(__file__).parents[2] / "demo" / "concepts"


@pytest.fixture(scope="module")
def texts() -> list[LabelledText]:
    return list(read_labelled(FOLDER))


def test_names_and_texts_are_all_different(texts: list[LabelledText]) -> None:
    assert len({text.name for text in texts}) == len({text.text for text in texts}) == len(texts)


def test_every_concept_has_instances_in_both_halves(texts: list[LabelledText]) -> None:
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for text in texts:
        counts[text.scored].update(text.concepts)
        counts[text.scored].update(span.concept for span in text.spans)
    assert counts[True].keys() == counts[False].keys()
    assert len(counts[True]) == 18 + 8 + 21
    for half in counts.values():
        for concept, count in half.items():
            assert count >= {"topic": 15, "discourse": 5}.get(concept.split("/")[0], 25), concept


def test_spans_hold_what_they_are_named_after(texts: list[LabelledText]) -> None:
    held = [(span.concept, text.text[span.start : span.stop]) for text in texts for span in text.spans]
    checks = {
        "syntax/year": lambda words: words.strip("'").isdigit() and len(words) == 4,
        "syntax/adverb_ly": lambda words: words.lower().endswith("ly"),
        "syntax/ing_form": lambda words: words.lower().endswith("ing"),
        "syntax/all_caps": str.isupper,
    }
    for concept, words in held:
        assert words == words.strip(), (concept, words)
        assert checks.get(concept, bool)(words), (concept, words)

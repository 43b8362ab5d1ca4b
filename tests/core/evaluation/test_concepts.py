"""Detectors of concepts are those that counting by hand finds, and are scored on text on which they were not chosen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mfn_core.errors import CorpusError
from mfn_core.evaluation.concepts import LEVELS, Unit, find_detectors
from mfn_core.evaluation.labelled import LabelledText, LabelledTokens, Span, concepts_of, read_labelled, tokenise
from mfn_core.intervals import Share
from mfn_core.model import MFNModel

CONCEPTS: dict[str, Unit] = {"a": "token", "b": "token", "whole": "text", "absent": "token"}
Codes = dict[int, NDArray[np.float64]]


@pytest.fixture(scope="module")
def texts(tiny_model: MFNModel) -> list[LabelledTokens]:
    rng = np.random.default_rng(0)
    out = []
    for number in range(30):
        ids = np.concatenate([[0], rng.integers(1, tiny_model.vocab_size, int(rng.integers(5, 30)))])
        labels = (rng.random((len(ids), len(CONCEPTS))) < 0.3).astype(np.int8)
        labels[:, 1] = -1 if number % 5 == 0 else labels[:, 1]  # nothing is known of it
        labels[:, 2] = number % 3 == 0
        labels[:, 3] = 0
        out.append(LabelledTokens(ids.astype(np.int64), labels, number % 2 == 1))
    return out


def dense(model: MFNModel, texts: list[LabelledTokens]) -> list[Codes]:
    """Each text alone: by layer, [T − 1, F]."""
    out = []
    for text in texts:
        with torch.no_grad():
            traces = model(torch.from_numpy(text.ids)[None], record=True).traces
        out.append({n: t.codes.dense()[0, 1:].double().numpy() for n, t in traces.items()})
    return out


def by_hand(
    texts: list[LabelledTokens], codes: list[Codes], unit: Unit, column: int, scored: bool, layer: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Strengths [N, F] and labels [N] of one half's units."""
    values, labels = [], []
    for text, code in zip(texts, codes, strict=True):
        if text.scored == scored:
            strengths, label = code[layer], text.labels[1:, column]
            known = label >= 0
            strengths, label = strengths[known], label[known] == 1
            if known.any():
                values.append(strengths.mean(0, keepdims=True) if unit == "text" else strengths)
                labels.append(label.max(keepdims=True) if unit == "text" else label)
    return np.concatenate(values), np.concatenate(labels)


def test_counts_are_those_of_every_threshold_tried_by_hand(tiny_model: MFNModel, texts: list[LabelledTokens]) -> None:
    codes = dense(tiny_model, texts)
    detectors = find_detectors(tiny_model, texts, CONCEPTS, batch=4)
    assert {d.concept for d in detectors} == {"a", "b", "whole"}, "nothing can be said of a concept without instances"
    for detector in detectors:
        column = list(CONCEPTS).index(detector.concept)
        values, labels = by_hand(texts, codes, detector.unit, column, True, detector.layer)
        fires = (values[:, detector.feature] > 0) & (values[:, detector.feature] >= detector.threshold * (1 - 1e-6))
        hits = int((fires & labels).sum())
        assert detector.precision == Share(hits, int(fires.sum()))
        assert detector.recall == Share(hits, int(labels.sum()))
        assert detector.base == Share(int(labels.sum()), len(labels))
        best = max(
            score(values[:, feature], labels, level / LEVELS * greatest)
            for layer in codes[0]
            for values, labels in [by_hand(texts, codes, detector.unit, column, False, layer)]
            for feature, greatest in enumerate(by_hand(texts, codes, detector.unit, 0, False, layer)[0].max(0))
            for level in range(LEVELS)
        )
        values, labels = by_hand(texts, codes, detector.unit, column, False, detector.layer)
        assert score(values[:, detector.feature], labels, detector.threshold) == pytest.approx(best)


def score(values: NDArray[np.float64], labels: NDArray[np.bool_], threshold: float) -> float:
    fires = (values > 0) & (values >= threshold * (1 - 1e-6))
    hits = int((fires & labels).sum())
    if hits / labels.sum() >= 0.3:
        return 1 + Share(hits, int(fires.sum())).interval()[0]
    return float(2 * hits / (fires.sum() + labels.sum()))


def test_a_feature_that_is_the_concept_is_found(tiny_model: MFNModel, texts: list[LabelledTokens]) -> None:
    codes = dense(tiny_model, texts)
    layer = max(codes[0])
    feature = int(sum((code[layer] > 0).sum(0) for code in codes).argmax())
    planted = []
    for text, code in zip(texts, codes, strict=True):
        labels = np.zeros((len(text.ids), 1), dtype=np.int8)
        labels[1:, 0] = code[layer][:, feature] > 0
        planted.append(LabelledTokens(text.ids, labels, text.scored))
    (found,) = find_detectors(tiny_model, planted, {"planted": "token"})
    assert found.found
    assert (found.layer, found.feature) == (layer, feature)
    assert found.precision.value == found.recall.value == 1.0


def test_wilsons_interval_has_its_published_values() -> None:
    low, high = Share(81, 263).interval()
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, Statistics in Medicine 17, table I
    assert Share(0, 0).interval() == (0.0, 1.0)
    assert Share(10, 10).interval()[1] == 1.0


def test_tokens_that_touch_a_span_have_its_concept_and_spaces_do_not_count(tiny_model: MFNModel) -> None:
    tokenizer = tiny_model.required_tokenizer
    spans = (Span(4, 7, "a/two"), Span(8, 9, "a/space"))
    text = LabelledText("x", "one two  three", spans, ("b/whole",), frozenset("ab"))
    concepts = ["a/space", "a/two", "b/whole", "c/other"]
    assert concepts_of([text]) == concepts[:3]
    tokens = tokenise(text, concepts, tokenizer, 0, 1000)
    pieces = tokenizer(text.text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    assert tokens.ids[0] == 0
    assert tokens.labels[0].tolist() == [0, 0, 0, -1]
    for (first, last), label in zip(pieces, tokens.labels[1:], strict=True):
        touches = bool(text.text[max(first, 4) : min(last, 7)].strip()) if first < 7 and last > 4 else False
        assert label.tolist() == [0, touches, 1, -1]
    assert len(tokenise(text, concepts, tokenizer, 0, 3).ids) == 3


def test_halves_follow_from_names_and_are_nearly_equal() -> None:
    halves = [LabelledText(f"topic/{n}", "x").scored for n in range(1000)]
    assert 440 < sum(halves) < 560
    assert LabelledText("topic/7", "another text").scored == halves[7]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"text": "no name"}, "needs an id"),
        ({"id": "a", "text": "no kind"}, "needs a kind"),
        ({"id": "a", "kind": "k", "text": "abc", "spans": [[0, 9, "x"]]}, "inside of the text"),
        ({"id": "a", "kind": "k", "text": "abc", "spans": [[0, 1]]}, "inside of the text"),
        ({"id": "a", "kind": "k", "text": "abc", "concept": ["x"]}, "must be a string"),
    ],
)
def test_lines_that_say_nothing_clear_are_refused(tmp_path: Path, line: dict[str, object], problem: str) -> None:
    (tmp_path / "l.jsonl").write_text(json.dumps(line))
    with pytest.raises(CorpusError, match=problem):
        list(read_labelled(tmp_path / "l.jsonl"))


def test_files_are_read(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "kind": "syntax", "text": "abc", "spans": [[0, 1, "verb"]]},
        {"id": "b", "kind": "topic", "text": "d", "concept": "war"},
    ]
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read_labelled(tmp_path)
    known = frozenset({"format", "script", "syntax"})
    assert first == LabelledText("a", "abc", (Span(0, 1, "syntax/verb"),), (), known)
    assert second.concepts == ("topic/war",)

"""A probe on tokens knows a concept by its tokens, and says so of few texts that lack it."""

from __future__ import annotations

import numpy as np
import pytest

from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.evaluation.text_probes import FALSE_SHARE, FEWEST, TextProbes, fit_text_probe, windows

VOCAB, LENGTH = 50, 6
WORD, CHANCE, UNKNOWN = range(3)  # columns: token 7; a coin thrown for each text; never known


@pytest.fixture(scope="module")
def texts() -> list[LabelledTokens]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(800):
        ids = np.r_[0, rng.integers(1, VOCAB, LENGTH)].astype(np.int64)
        labels = np.zeros((len(ids), 3), np.int8)
        labels[:, WORD] = ids == 7
        labels[1:, CHANCE] = rng.random() < 0.5
        labels[:, UNKNOWN] = -1
        found.append(LabelledTokens(ids, labels, number % 2 == 1))
    return found


def test_windows_have_what_any_of_their_tokens_has() -> None:
    ids = np.array([0, 3, 3, 5, 7, 9, 2, 2, 4, 1], dtype=np.int64)
    labels = np.zeros((10, 2), np.int8)
    labels[[0, 5], 0] = 1
    labels[:, 1] = -1
    found = windows([LabelledTokens(ids, labels, True), LabelledTokens(ids[:2], labels[:2], False)], 4, VOCAB)
    # 3 3 5 7, then 9 2 2 4; what is left, 1, is too short, and so is all of the second text
    assert [list(np.flatnonzero(row)) for row in found.bags.toarray()] == [[3, 5, 7], [2, 4, 9]]
    assert set(found.bags.data) == {1.0}  # 2 and 3 stand there twice
    assert found.labels.tolist() == [[0, -1], [1, -1]]  # that of the first token counts for nothing
    assert found.scored.tolist() == [True, True]


def test_a_word_is_told(texts: list[LabelledTokens]) -> None:
    probe = TextProbes(texts, LENGTH, VOCAB).of(WORD)
    assert probe is not None
    assert probe.auc == 1.0
    for text in ([7], [7, 7, 7, 7, 7, 7], [1, 2, 3, 7, 8, 9]):
        assert probe.holds(text)
    for text in ([], [6], [1, 2, 3, 6, 8, 9], [8] * 6):
        assert not probe.holds(text)


def test_what_tokens_do_not_tell_is_said_of_few(texts: list[LabelledTokens]) -> None:
    probe = fit_text_probe(windows(texts, LENGTH, VOCAB), CHANCE)
    assert probe is not None
    assert 0.4 < probe.auc < 0.6  # that is, of texts it was not fitted on
    lacking = [text for text in texts if text.scored and not text.labels[1, CHANCE]]
    said = sum(probe.holds(text.ids[1:].tolist()) for text in lacking) / len(lacking)
    assert 0 < said < FALSE_SHARE + 0.01  # sums may differ in the last bit


def test_too_few_are_not_told(texts: list[LabelledTokens]) -> None:
    assert TextProbes(texts, LENGTH, VOCAB).of(UNKNOWN) is None
    having = [text for text in texts if (text.labels[:, WORD] == 1).any() and text.scored]
    rest = [text for text in texts if not ((text.labels[:, WORD] == 1).any() and text.scored)]
    assert TextProbes([*rest, *having[: FEWEST - 1]], LENGTH, VOCAB).of(WORD) is None
    assert TextProbes([*rest, *having[:FEWEST]], LENGTH, VOCAB).of(WORD) is not None
    assert TextProbes([LabelledTokens(texts[0].ids[:2], texts[0].labels[:2], True)], LENGTH, VOCAB).of(WORD) is None

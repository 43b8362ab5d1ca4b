"""What is read of labelled units is what each text alone gives; units are drawn by lot from each class and half."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.evaluation.representations import draw, represent
from mfn_core.model import MFNModel

OF_TEXTS = (False, True)


@pytest.fixture(scope="module")
def texts(tiny_model: MFNModel) -> list[LabelledTokens]:
    rng = np.random.default_rng(0)
    out = []
    for number in range(24):
        ids = np.concatenate([[0], rng.integers(1, tiny_model.vocab_size, int(rng.integers(5, 20)))])
        labels = (rng.random((len(ids), 2)) < 0.3).astype(np.int8)
        labels[:, 0] = -1 if number % 5 == 0 else labels[:, 0]
        labels[:, 1] = number % 3 == 0
        out.append(LabelledTokens(ids.astype(np.int64), labels, number % 2 == 1))
    return out


def test_rows_are_what_each_text_alone_gives(tiny_model: MFNModel, texts: list[LabelledTokens]) -> None:
    samples = draw(texts, OF_TEXTS, most=20)
    told: list[tuple[int, int]] = []
    found = represent(tiny_model, texts, samples, batch=5, progress=lambda *at: told.append(at))
    assert told[-1][0] == told[-1][1]
    assert {each.codes.indices.dtype for layers in found.values() for each in layers.values()} == {np.dtype(np.int32)}
    for number, text in enumerate(texts):
        with torch.no_grad():
            traces = tiny_model(torch.from_numpy(text.ids)[None], record=True).traces
        for layer, trace in traces.items():
            assert trace.x is not None
            codes, stream = trace.codes.dense()[0].numpy(), trace.x[0].numpy()
            for whole, sample in samples.items():
                for row in np.flatnonzero(sample.text == number):
                    at = slice(1, None) if whole else slice(sample.position[row], sample.position[row] + 1)
                    assert found[whole][layer].stream[row] == pytest.approx(stream[at].mean(0), abs=1e-5)
                    assert found[whole][layer].codes[[row]].toarray()[0] == pytest.approx(codes[at].mean(0), abs=1e-5)


def test_as_many_of_each_class_and_half_as_asked(texts: list[LabelledTokens]) -> None:
    samples = draw(texts, OF_TEXTS, most=9)
    tokens, whole = samples[False], samples[True]
    for half in (False, True):
        for label in (0, 1):
            assert ((tokens.labels[:, 0] == label) & (tokens.scored == half)).sum() == 9
    assert (tokens.labels[:, 1] == -1).all()  # a concept of texts is not counted in tokens
    assert (whole.labels[:, 0] == -1).all()
    assert (whole.position == -1).all()
    assert (tokens.position >= 1).all()
    for row in range(len(tokens.text)):
        assert tokens.labels[row, 0] == texts[tokens.text[row]].labels[tokens.position[row], 0]
    assert all(np.array_equal(a, b) for a, b in zip(tokens, draw(texts, OF_TEXTS, most=9)[False], strict=True))
    assert not np.array_equal(tokens.position, draw(texts, OF_TEXTS, most=9, seed=1)[False].position)


def test_a_lot_of_one_concept_leaves_out_what_others_drew(texts: list[LabelledTokens]) -> None:
    sample = draw(texts, (False, False), most=9)[False]
    lot = sample.lot(0, 9, 1)
    for half in (False, True):
        for label in (0, 1):
            assert (lot & (sample.labels[:, 0] == label) & (sample.scored == half)).sum() == 9
    assert lot.sum() == 4 * 9 < (sample.labels[:, 0] >= 0).sum()
    assert not np.array_equal(lot, sample.lot(0, 9, 2))
    assert sample.lot(0, 10_000).sum() == (sample.labels[:, 0] >= 0).sum()

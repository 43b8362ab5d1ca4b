"""The cost of an ablation is the difference of two forward passes, told apart by where it falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mfn_core.evaluation.ablation import AblationEffect, Ablations, _mean
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel


def costs(model: MFNModel, ids: torch.Tensor, interventions: list[Intervention]) -> torch.Tensor:
    edits = EditBuffers.allocate(model.n_features, 1)
    edits.write(0, interventions, 0)
    with torch.no_grad():
        logits = model(ids[None], edits=edits).logits[0, :-1]
    return F.cross_entropy(logits, ids[1:], reduction="none")


def test_effects_are_those_of_each_text_alone(tiny_model: MFNModel) -> None:
    rng = np.random.default_rng(1)
    texts = []
    for length in (7, 12, 3, 20, 9):
        ids = np.concatenate([[0], rng.integers(1, tiny_model.vocab_size, length)]).astype(np.int64)
        texts.append(LabelledTokens(ids, (rng.random((len(ids), 2)) < 0.4).astype(np.int8), True))
    with torch.no_grad():
        fires = tiny_model(torch.from_numpy(texts[3].ids)[None], record=True).traces[1].codes
    feature = int(fires.indices[0, 5][fires.values[0, 5].argmax()])
    more, inside, by_text = [], [], []
    for text in texts:
        ids = torch.from_numpy(text.ids)
        change = costs(tiny_model, ids, [Intervention(1, feature, "ablate")]) - costs(tiny_model, ids, [])
        more.append(change)
        inside.append(torch.from_numpy(text.labels[:-1, 1] == 1))
        by_text.append(change[inside[-1]])
    effect = Ablations(tiny_model, texts, batch=2).effect(1, feature, 1)
    everywhere, instance = torch.cat(more), torch.cat(inside)
    assert effect.inside == pytest.approx(float(everywhere[instance].mean()), abs=1e-5)
    assert effect.outside == pytest.approx(float(everywhere[~instance].mean()), abs=1e-5)
    assert effect.outside != 0.0


def test_the_error_of_a_mean_is_that_of_independent_texts() -> None:
    generator = torch.Generator().manual_seed(0)
    means = []
    for _ in range(400):
        counts = torch.randint(1, 9, (40,), generator=generator).double()
        level = torch.randn(40, generator=generator, dtype=torch.float64)  # shared by all tokens of a text
        means.append(_mean([torch.stack([level * counts, counts])]))
    values, errors = torch.tensor(means).unbind(1)
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.1)
    assert _mean([torch.zeros(2, 3)]) == (0.0, float("inf"))


def test_specific_means_more_inside_than_outside_beyond_chance() -> None:
    assert AblationEffect(0.3, 0.0, 0.1, 0.01).specific
    assert not AblationEffect(0.15, 0.0, 0.1, 0.01).specific
    assert not AblationEffect(-0.3, 0.0, 0.01, 0.01).specific

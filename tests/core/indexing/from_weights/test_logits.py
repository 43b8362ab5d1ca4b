"""The distribution of logits under the direct lens, against float64 and one token after the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfn_core import MFNLayerConfig, MFNModel
from mfn_core.config import CoderConfig
from mfn_core.directions import centred_lens, written
from mfn_core.indexing import weight_facts
from mfn_core.indexing.from_weights.logits import bin_edges, bins_of, logit_facts
from mfn_core.indexing.from_weights.types import WeightSettings

from .models import VOCABULARY, gpt2, llama, mixed

SETTINGS = WeightSettings(n_logits=6, hist_bins=10, hist_reach=2.5)


def reference(model: MFNModel, layer: int) -> NDArray[np.float64]:
    """[F, V] in float64, from the parts of the model."""
    norm = model.family.final_norm(model.base)
    assert norm is not None
    unembedding = model.base.get_output_embeddings().weight.detach().double().numpy()
    directions = model.coders[layer].directions.detach().double().numpy()
    if model.coders[layer].config.site == "mlp_hidden":
        directions = directions @ model.family.down(model.base, layer).weight.detach().double().numpy().T
    if isinstance(norm, torch.nn.LayerNorm):
        directions = directions - directions.mean(1, keepdims=True)
    logits = (directions * norm.weight.detach().double().numpy()) @ unembedding.T
    return logits - logits.mean(1, keepdims=True)


@pytest.mark.parametrize("equip", [llama, gpt2])
@pytest.mark.parametrize("chunk", [1, 200, 1 << 24])
def test_moments_and_bins_are_those_of_the_logits(
    equip: Callable[[dict[int, CoderConfig]], MFNModel], chunk: int
) -> None:
    model = equip({1: MFNLayerConfig(30, 3)})
    told: list[int] = []
    facts = logit_facts(written(model, 1), centred_lens(model), SETTINGS, chunk, told.append)
    assert told[-1] == 30
    edges = facts.bin_edges.tolist()
    assert edges == [-2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    for j, logits in enumerate(reference(model, 1)):
        std = math.sqrt(sum(x * x for x in logits) / VOCABULARY)
        assert facts.std[j] == pytest.approx(std, rel=1e-5)
        assert facts.skewness[j] == pytest.approx(sum((x / std) ** 3 for x in logits) / VOCABULARY, abs=1e-4)
        assert facts.kurtosis[j] == pytest.approx(sum((x / std) ** 4 for x in logits) / VOCABULARY - 3, abs=1e-4)
        counts = [0] * 10
        for x in logits:
            inside = [b for b in range(10) if edges[b] <= x / std < edges[b + 1]]
            counts[inside[0] if inside else (0 if x < 0 else 9)] += 1
        assert facts.histogram[j].tolist() == counts
    assert facts.histogram.dtype == np.int32
    assert {a.dtype for a in (facts.std, facts.skewness, facts.kurtosis, facts.bin_edges)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_tokens_are_those_of_the_index(layer: int) -> None:
    model = mixed()
    facts = logit_facts(written(model, layer), centred_lens(model), SETTINGS, chunk=100)
    logits = reference(model, layer)
    order = np.argsort(-logits, axis=1)
    np.testing.assert_array_equal(facts.promoted_ids, order[:, :6])
    np.testing.assert_array_equal(facts.suppressed_ids, order[:, ::-1][:, :6])
    np.testing.assert_allclose(facts.promoted_logits, np.take_along_axis(logits, order[:, :6], 1), atol=1e-5)
    np.testing.assert_allclose(facts.suppressed_logits, np.take_along_axis(logits, order[:, :-7:-1], 1), atol=1e-5)
    index = weight_facts(model, layer, 6, 3)
    for name in ("promoted_ids", "promoted_logits", "suppressed_ids", "suppressed_logits"):
        np.testing.assert_allclose(getattr(facts, name), getattr(index, name), rtol=1e-5)


def test_a_direction_that_moves_nothing_and_tokens_that_are_alike() -> None:
    model = llama({0: MFNLayerConfig(4, 2)})
    directions = written(model, 0).clone()
    directions[2] = 0
    facts = logit_facts(directions, centred_lens(model), SETTINGS)
    assert facts.std[2] == 0
    assert np.isnan([facts.skewness[2], facts.kurtosis[2]]).all()
    assert np.isfinite(facts.skewness[[0, 1, 3]]).all()
    assert facts.histogram[2].tolist() == [0, 0, 0, 0, 0, VOCABULARY, 0, 0, 0, 0]
    assert facts.promoted_ids[2].tolist() == facts.suppressed_ids[2].tolist() == [0, 1, 2, 3, 4, 5]


def test_what_lies_outside_is_counted_at_the_ends() -> None:
    model = llama({0: MFNLayerConfig(30, 3)})
    narrow = logit_facts(written(model, 0), centred_lens(model), WeightSettings(hist_bins=2, hist_reach=0.01))
    assert narrow.histogram.sum(1).tolist() == [VOCABULARY] * 30
    assert (narrow.histogram[:, 0] == (reference(model, 0) < 0).sum(1)).all()


def test_more_tokens_than_there_are() -> None:
    model = llama({0: MFNLayerConfig(3, 2)})
    facts = logit_facts(written(model, 0), centred_lens(model), WeightSettings(n_logits=100))
    assert facts.promoted_ids.shape == (3, VOCABULARY)
    np.testing.assert_array_equal(facts.promoted_ids, facts.suppressed_ids[:, ::-1])


@settings(deadline=None)
@given(
    numbers=st.lists(st.floats(-9, 9, width=32, allow_subnormal=False), min_size=1, max_size=30),
    bins=st.integers(1, 40),
    reach=st.floats(2**-6, 9, width=32),
)
def test_bins_are_those_of_bucketize(numbers: list[float], bins: int, reach: float) -> None:
    edges = torch.from_numpy(bin_edges(WeightSettings(hist_bins=bins, hist_reach=reach)))
    x = torch.cat([torch.tensor(numbers), edges, torch.nextafter(edges, edges - 1), torch.nextafter(edges, edges + 1)])
    expected = torch.bucketize(x, edges, right=True).sub(1).clamp(0, bins - 1)
    assert bins_of(x, edges).tolist() == expected.tolist()

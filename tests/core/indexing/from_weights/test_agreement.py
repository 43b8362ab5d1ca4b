from __future__ import annotations

import math

import pytest
import torch

from mfn_core import MFNLayerConfig
from mfn_core.baselines import NeuronConfig, SAEConfig
from mfn_core.baselines.config import TokenTableConfig
from mfn_core.config import CoderConfig, Norm
from mfn_core.indexing.from_weights.agreement import agreement
from mfn_core.run import Stage


@pytest.mark.parametrize("norm", ["rms", "layer", "scalar", "none"])
@pytest.mark.parametrize("kind", [MFNLayerConfig, SAEConfig])
def test_agreement_is_the_cosine_that_the_encoder_sees(kind: type[CoderConfig], norm: Norm) -> None:
    torch.manual_seed(0)
    config = MFNLayerConfig(11, 2, norm=norm) if kind is MFNLayerConfig else SAEConfig(11, "standard", norm=norm)
    coder = config.build(6, 0, Stage(), 10)
    assert agreement(coder) == pytest.approx([1.0] * 11)  # tied at the start
    with torch.no_grad():
        coder.W_enc.normal_(mean=0.7)
        coder.W_enc[3] = 0
        coder.W_dec[5] = 2.0  # nothing but a mean
    for chunk in (1, 13, 1 << 24):
        found = agreement(coder, chunk)
        for j in range(11):
            read, writes = coder.W_enc[j].tolist(), coder.W_dec[j].tolist()
            if norm == "layer":
                read, writes = ([x - sum(row) / 6 for x in row] for row in (read, writes))
            lengths = math.hypot(*read) * math.hypot(*writes)
            if j == 3 or (j == 5 and norm == "layer"):
                assert math.isnan(found[j])
            else:
                assert found[j] == pytest.approx(sum(a * b for a, b in zip(read, writes, strict=True)) / lengths)


def test_with_a_norm_that_centres_a_mean_over_channels_is_not_read() -> None:
    """What the figure leaves out changes no pre-activation: by running the layer."""
    torch.manual_seed(0)
    coder = MFNLayerConfig(5, 2, norm="layer").build(6, 0, Stage(), 10)
    before = agreement(coder)
    x, _, _ = coder.normalise(torch.randn(3, 6))
    pre = coder.pre_activations(x)
    with torch.no_grad():
        coder.W_enc += 3.0
    assert torch.allclose(coder.pre_activations(x), pre, atol=1e-5)
    assert agreement(coder) == pytest.approx(before, abs=1e-6)


def test_a_code_without_an_encoder_has_none() -> None:
    assert agreement(NeuronConfig(6).build(6, 0, Stage(), 10)) is None
    assert agreement(TokenTableConfig(10).build(6, 0, Stage(), 10)) is None

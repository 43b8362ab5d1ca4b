"""An index made on a GPU is the one made on the processor, but for near ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfn_core import MFNModel
from mfn_core.device import find_device
from mfn_core.indexing import IndexSettings, index_tokens
from tests.conftest import TINY_TEXTS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


def test_the_same_features_fire(tiny_bundle: str) -> None:
    model = MFNModel.from_pretrained(tiny_bundle)
    documents = [np.array(model.encode_text(text), np.uint32) for text in TINY_TEXTS]
    here = index_tokens(model, documents, [{}] * len(documents), IndexSettings(window=16))
    there = index_tokens(model.to(find_device("cuda")), documents, [{}] * len(documents), IndexSettings(window=16))
    for ours, theirs in zip(here.layers, there.layers, strict=True):
        moved = np.abs(ours.firing_count - theirs.firing_count).sum()
        assert moved <= 0.01 * ours.firing_count.sum()
        np.testing.assert_allclose(ours.maximum, theirs.maximum, rtol=1e-2, atol=1e-2)

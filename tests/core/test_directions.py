"""What features write, compared."""

from __future__ import annotations

import numpy as np
import torch

from mfn_core.directions import cosines_between, written

from .indexing.from_weights.models import mixed


def test_cosines_are_those_of_float64_between_any_layers() -> None:
    model = mixed()
    with torch.no_grad():
        model.coders[2].W_dec[2] = -model.coders[0].W_dec[3]
        model.coders[0].W_dec[5] = 0
    features = [(0, 3), (2, 2), (1, 4), (3, 1), (0, 5), (0, 3)]
    rows = np.stack([written(model, layer)[number].double().numpy() for layer, number in features])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    found = np.array(cosines_between(model, features))
    np.testing.assert_allclose(found, unit @ unit.T, atol=1e-12)
    assert found[0, 1] == -1
    assert found[4].tolist() == [0] * len(features)
    assert np.abs(found).max() <= 1

"""A feature that fires on one token is told by a pattern; one that fires on the same words by chance is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mfn_core.experiments.explaining import Explained, Wanted, explain, summary
from mfn_core.model import MFNModel


@pytest.fixture(scope="module")
def planted(tiny_bundle: Path) -> MFNModel:
    """In the first layer feature 0 reads token 70's embedding, feature 1 a random direction of the stream. The block
    does not attend, so that its stream is the token's embedding."""
    model = MFNModel.from_pretrained(tiny_bundle)
    layer = model.mfn_layers[0]
    ids = torch.arange(64, 300)
    with torch.no_grad():
        model.base.model.layers[0].self_attn.o_proj.weight.zero_()
        x = model(torch.stack([torch.zeros_like(ids), ids], 1), record=True).traces[0].x[:, 1]
        one = x[6] - x.mean(0)
        layer.W_enc.zero_()
        layer.b_enc.zero_()
        layer.W_enc[0] = 3 * one / one.norm()
        layer.b_enc[0] = -3 * 0.9 * (x[6] @ one / one.norm())
        layer.W_enc[1] = torch.randn(model.d_model, generator=torch.Generator().manual_seed(2))
    return model


def test_what_one_token_tells_and_what_none_does(planted: MFNModel) -> None:
    rng = np.random.default_rng(0)
    rows = [np.r_[0, rng.choice([64, 70, *range(80, 120)], 40)] for _ in range(40)]
    told: list[tuple[int, int]] = []
    features = [Wanted(0, 0), Wanted(0, 1), Wanted(0, 40)]
    found = explain(planted, rows, features, progress=lambda *at: told.append(at))
    assert told[-1] == (40, 40)
    by_feature = {each.feature: each for each in found}
    assert set(by_feature) == {0, 1}  # 40 never fires
    text = planted.required_tokenizer.decode([70]).strip()
    assert text in by_feature[0].words
    assert by_feature[0].f1 > max(0.9, by_feature[1].f1)  # one that reads many tokens at once takes more words
    again = explain(planted, rows, [Wanted(0, 1, -1.0)])  # never below 0
    assert again == []


def test_summary() -> None:
    judged = [Explained(0, n, "", 0.5, 1.0, f1) for n, f1 in enumerate((0.2, 0.4, 0.6))]
    (row,) = summary({"MFN": judged, "SAE": []})
    assert (row["source"], row["features"]) == ("MFN", 3)
    assert row["f1"]["value"] == pytest.approx(0.4)
    assert row["f1"]["low"] < 0.4 < row["f1"]["high"]

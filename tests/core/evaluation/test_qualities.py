"""What codes are like on a text: codes that are perfect or empty, and everything else against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.baselines import SAE, SAEConfig
from mfn_core.evaluation.qualities import beside_twin, layer_qualities
from mfn_core.losses import Perturbation

D, V = 16, 40


def equipped(layers: dict[int, MFNLayerConfig | SAEConfig], scale: float = 5.0) -> MFNModel:
    """It expects each token again, so that taking its streams away costs something."""
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V,
            hidden_size=D,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=32,
            bos_token_id=0,
            tie_word_embeddings=True,
        )
    )
    with torch.no_grad():
        base.get_input_embeddings().weight.mul_(scale)
    return MFNModel.equip(base, MFNConfig(dict(layers))).eval()


def texts(n: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, 20, n)
    return [
        np.concatenate([[0], np.repeat(rng.integers(1, V, 8), 4)[: length - 1]]).astype(np.int64) for length in lengths
    ]


def test_a_code_that_loses_nothing() -> None:
    model = equipped({0: SAEConfig(2 * D, "topk", k=D, site="resid_mid")})
    sae = model.coders[0]
    assert isinstance(sae, SAE)
    with torch.no_grad():  # each channel's positive and negative part
        sae.W_enc.copy_(torch.cat([torch.eye(D), -torch.eye(D)]))
        sae.W_dec.copy_(sae.W_enc)
    (found,) = layer_qualities(model, texts())
    assert (found.layer, found.kind, found.n_features) == (0, "sae", 2 * D)
    assert found.fvu == pytest.approx(0.0, abs=1e-9)
    assert found.fvu_stream == pytest.approx(0.0, abs=1e-9)
    assert found.shrinkage == pytest.approx(0.0, abs=1e-6)
    assert (found.l0, found.agreement) == (pytest.approx(D), pytest.approx(1.0))
    assert found.added == pytest.approx(0.0, abs=1e-4)
    assert found.recovered == pytest.approx(1.0, abs=1e-3)
    assert found.recovered_mean == pytest.approx(1.0, abs=1e-3)


def test_a_code_that_says_nothing_is_the_mean() -> None:
    model = equipped({1: SAEConfig(8, "standard", norm="none", site="resid_mid")})
    sae, rows = model.coders[1], texts()
    assert isinstance(sae, SAE)
    ids = [torch.from_numpy(row)[None] for row in rows]
    seen = torch.cat([model(each, record=True).traces[1].x[0, 1:] for each in ids]).detach()
    with torch.no_grad():
        sae.b_enc.fill_(-1e4)
        sae.b_dec.copy_(seen.mean(0))
    (found,) = layer_qualities(model, rows)
    assert found.fvu == pytest.approx(1.0, abs=1e-5)
    assert (found.l0, found.dead, found.near_target) == (0.0, 1.0, None)
    # in the place of the first token, too, which the mean over the others does not count
    assert found.recovered_mean == pytest.approx(0.0, abs=0.05)
    assert np.isnan(found.reach)
    assert np.isnan(found.moved)


def test_layers_against_plain_sums() -> None:
    model, rows = equipped({0: MFNLayerConfig(24, 4, alpha=1.0), 1: MFNLayerConfig(24, 4, alpha=1.0)}), texts()
    found = layer_qualities(model, rows, batch=3, seed=2)
    assert [each.layer for each in found] == [0, 1]
    dense, other, h, h_hat = [], [], [], []
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    perturbation = Perturbation("noise", 0.1, 2)
    for place, number in enumerate(order):
        ids = torch.from_numpy(rows[number])[None]
        padded = torch.nn.functional.pad(
            ids, (0, max(len(rows[n]) for n in order[place // 3 * 3 :][:3]) - ids.shape[1])
        )
        changed = perturbation.apply(padded, 0, place)
        with torch.no_grad():
            trace = model(ids, record=True).traces[1]
            moved = model(padded, record=True, perturbation=changed.embed).traces[1]
        assert trace.x_hat is not None
        dense.append(trace.raw_codes.dense()[0, 1:])
        other.append(moved.raw_codes.dense()[0, 1 : ids.shape[1]])
        h.append((trace.scale * trace.x)[0, 1:])
        h_hat.append((trace.scale * trace.x_hat)[0, 1:])
    z, z_moved, s, s_hat = (torch.cat(each).double() for each in (dense, other, h, h_hat))
    rates = (z > 0).double().mean(0)
    assert found[1].moved == pytest.approx(float((z - z_moved).square().sum() / z.square().sum()), rel=1e-4)
    assert found[1].fvu_stream == pytest.approx(
        float((s - s_hat).square().sum() / (s - s.mean(0)).square().sum()), rel=1e-4
    )
    assert found[1].l0 == pytest.approx(float(rates.sum()))
    assert found[1].dead == pytest.approx(float((rates == 0).double().mean()))
    assert found[1].near_target == pytest.approx(
        float(((rates >= 4 / 48) & (rates <= 8 / 24))[rates > 0].double().mean())
    )
    assert (found[1].added, found[1].recovered) == (None, None)
    assert 0 < found[1].reach <= 1


def test_beside_a_twin() -> None:
    model, rows = equipped({0: MFNLayerConfig(24, 4, alpha=1.0)}), texts()
    same = beside_twin(model, model, rows, batch=4)
    assert (same["above"]["value"], same["above"]["high"], same["kl"]["value"]) == (
        0.0,
        0.0,
        pytest.approx(0.0, abs=1e-9),
    )
    twin = equipped({})
    found = beside_twin(model, twin, rows, batch=4)
    costs = []
    for row in rows:
        ids = torch.from_numpy(row)[None]
        with torch.no_grad():
            costs.append([float(each.base(ids, labels=ids).loss) for each in (model, twin)])
    ours, theirs = np.array(costs).T
    assert found["cross_entropy"]["value"] == pytest.approx(ours.mean(), rel=1e-4)
    assert found["above"]["value"] == pytest.approx((ours - theirs).mean(), rel=1e-3)
    assert found["above"]["low"] < found["above"]["value"] < found["above"]["high"]
    assert found["kl"]["value"] > 0

"""The five pressures put together: what they add up to, whom they reach; parts and recomputing change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mfn_core import MFNModel
from mfn_core.training.batches import PackedRows
from mfn_core.training.building import new_model
from mfn_core.training.config import MFNTraining, TrainConfig
from mfn_core.training.objective import Batch
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.pressures import Pressures
from mfn_core.training.recompute import recompute_blocks
from mfn_core.training.trainer import Trainer

from .conftest import small

ALL = {"recon": 0.5, "rate": 0.3, "comp": 0.2, "stab": 0.4, "auxk": 0.1, "alpha_until": 0.2, "alpha_from": 0.0}
NONE = dict.fromkeys(("recon", "rate", "comp", "stab", "auxk"), 0.0)
VOCABULARY = 50


def model_of(config: TrainConfig) -> MFNModel:
    return new_model(config, range(VOCABULARY)).double().eval()


def batch(step: int = 20, rows: int = 4, seed: int = 0) -> Batch:
    ids = torch.from_numpy(np.random.default_rng(seed).integers(1, VOCABULARY, (rows, 24)))
    ids[:, 0] = 0
    return Batch(ids, ids != 0, step, number=0, last=True)


def gradients(config: TrainConfig, model: MFNModel | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    model = model or model_of(config)
    objective = Pressures(model, config)
    objective.begin(20)
    for statistics in objective.statistics.values():  # some features are dead
        statistics.tokens_since_fired[::3] = config.mfn.dead_after + 1
    losses = objective.losses(batch())
    with model.stage.use(losses.run):
        losses.total.backward()  # type: ignore[no-untyped-call]
    return losses.total.detach(), {n: p.grad for n, p in model.base.named_parameters() if p.grad is not None}


def test_the_total_is_the_weighted_sum_of_means_over_layers() -> None:
    config = small(mfn=ALL)
    objective = Pressures(model_of(config), config)
    objective.begin(20)
    losses = objective.losses(batch())
    figures: dict[str, Any] = dict(losses.figures)
    expected = figures["utility"]
    for name, weight in (("fvu", 0.5), ("rate", 0.3), ("comp", 0.2), ("stab", 0.4), ("auxk", 0.1)):
        assert set(figures[name]) == {0, 1}
        expected = expected + weight * (figures[name][0] + figures[name][1]) / 2
        assert name == "auxk" or figures[name][0] > 0
    torch.testing.assert_close(losses.total, expected)


def test_a_layer_whose_rates_are_even_enough_does_not_feel_the_rate_loss() -> None:
    model = model_of(small(mfn=ALL))

    def of(**change: float) -> tuple[float, dict[int, Any]]:
        objective = Pressures(model, small(mfn=ALL | change))
        objective.begin(20)
        losses = objective.losses(batch())
        return losses.total.item(), dict(losses.figures)["rate"]

    whole, rates = of()
    low, high = sorted(float(rate) for rate in rates.values())
    assert 0 < low < high
    weight = small(mfn=ALL).mfn.rate
    assert of(rate_slack=(low + high) / 2)[0] == pytest.approx(whole - weight * (low + (low + high) / 2) / 2, rel=1e-5)
    assert of(rate_slack=2 * high)[0] == pytest.approx(whole - weight * (low + high) / 2, rel=1e-5)
    assert of(rate_slack=2 * high)[1] == rates  # the log says what the rates are


def test_all_pressures_may_fall_together_towards_the_end() -> None:
    config = small(mfn=ALL | {"pressures_from": 0.5, "pressures_last": 0.25})
    model, half = model_of(config), config.steps // 2

    def losses(mfn: dict[str, float], step: int) -> tuple[float, float]:
        objective = Pressures(model, small(mfn=mfn))
        objective.begin(step)
        found = objective.losses(batch(step))
        return found.total.item(), float(dict(found.figures)["utility"])

    eased = ALL | {"pressures_from": 0.5, "pressures_last": 0.25}
    assert losses(eased, half) == losses(ALL, half)
    for step, factor in ((config.steps, 0.25), (half + config.steps // 4, 0.5)):  # a geometric fall
        (total, utility), (full, same) = losses(eased, step), losses(ALL, step)
        assert utility == same
        assert total - utility == pytest.approx(factor * (full - utility), rel=1e-6)


def test_the_transformer_feels_the_next_token_loss_alone() -> None:
    _, pressed = gradients(small(mfn=ALL))
    _, plain = gradients(small(mfn={**ALL, **NONE}))
    transformer = [name for name in plain if ".mfn." not in name]
    assert len(transformer) > 10
    for name in transformer:
        torch.testing.assert_close(pressed[name], plain[name], rtol=1e-12, atol=1e-15)
    assert not torch.allclose(pressed["model.layers.0.mfn.W_enc"], plain["model.layers.0.mfn.W_enc"], rtol=1e-3)


def test_who_feels_the_next_token_loss_may_be_chosen() -> None:
    looked_up = {**ALL, "token_lookup": True}
    total, both = gradients(small(mfn=looked_up))
    _, of_next_token = gradients(small(mfn={**looked_up, **NONE}))
    same, apart = gradients(small(mfn={**looked_up, "utility": "transformer"}))
    _, alone = gradients(small(mfn={**looked_up, "utility": "none"}))
    assert same == total
    features = {name for name in both if ".mfn." in name}
    assert {name.rsplit(".", 1)[1] for name in features} == {"W_enc", "b_enc", "W_dec", "b_dec", "T"}
    for name, gradient in both.items():
        if name in features:
            # what is left of the sum is what their own losses ask of them
            torch.testing.assert_close(apart[name], gradient - of_next_token[name], rtol=1e-9, atol=1e-12, msg=name)
            assert of_next_token[name].any(), name
            assert torch.equal(alone[name], apart[name]), name
        else:
            assert torch.equal(apart[name], gradient), name
            assert name not in alone


def test_a_loss_without_weight_is_not_computed() -> None:
    config = small(mfn=NONE)
    objective = Pressures(model_of(config), config)
    objective.begin(20)
    figures = objective.losses(batch()).figures
    assert set(figures) == {"utility", "fvu", "dead", "rare"}


def test_recomputed_blocks_give_the_same_gradients() -> None:
    config = small(mfn={**ALL, "token_lookup": True, "resid_final": True})
    total, plain = gradients(config)
    model = model_of(config)
    recompute_blocks(model)
    again, recomputed = gradients(config, model)
    assert torch.equal(again, total)
    assert all(torch.equal(recomputed[name], plain[name]) for name in plain)


def test_schedules() -> None:
    config = small(mfn={"alpha_from": 0.25, "alpha_until": 0.75, "k_until": 0.5})
    model = model_of(config)
    objective = Pressures(model, config)
    moved = [objective.begin(step) for step in (0, 6, 12, 24)]
    assert [m["alpha"] for m in moved] == [0.0, 0.0, 0.5, 1.0]
    assert [m["k"] for m in moved] == [8, 6, 4, 4]
    assert model.mfn_layers[1].k == 4


def test_alpha_may_end_below_one() -> None:
    config = small(mfn={"alpha_from": 0.25, "alpha_until": 0.75, "alpha_last": 0.5})
    model = model_of(config)
    assert [Pressures(model, config).begin(step)["alpha"] for step in (6, 12, 18, 24)] == [0.0, 0.25, 0.5, 0.5]
    assert model.mfn_layers[1].current_config.alpha == 0.5
    assert config.mfn.layer().alpha == 0.5


def test_rare_features_count_as_dead_only_once_enough_was_seen() -> None:
    config = small(mfn={"dead_after": 200, "floor": 0.5})
    objective = Pressures(model_of(config), config)
    objective.begin(20)
    objective.losses(batch())
    rate, target = objective.statistics[0].rate, 4 / 64
    assert torch.equal(objective.rare(0, step=20), rate < 0.5 * target)
    assert 0 < int(objective.rare(0, step=20).sum()) < 64
    assert not objective.rare(0, step=2).any()  # 192 tokens


def test_the_parts_of_a_batch_add_up_to_its_next_token_gradient(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(1, VOCABULARY, (96, 24)).astype(np.uint16)
    config = small(mfn={"layers": []}, optimizer={"matrices": "adamw"})
    models = []
    for parts in (1, 2, 4):
        divided = replace(config, machine=replace(config.machine, accumulate=parts))
        trainer = Trainer(model_of(config), divided, PackedRows(rows, 4), tmp_path / str(parts))
        trainer.run()
        models.append(dict(trainer.model.base.named_parameters()))
    for other in models[1:]:
        for name, parameter in models[0].items():
            torch.testing.assert_close(other[name], parameter, rtol=1e-9, atol=1e-12)


def test_a_spike_in_one_group_does_not_slow_the_other() -> None:
    config = small(mfn=ALL)
    model = model_of(config)
    optimizers = Optimizers(model, config.optimizer)
    for name, parameter in model.base.named_parameters():
        parameter.grad = torch.full_like(parameter, 1e3 if ".mfn." in name else 1e-4)
    norms = optimizers.clip()
    assert norms["features"] > 1e3
    for name, parameter in model.base.named_parameters():
        assert parameter.grad is not None
        if ".mfn." not in name:
            assert torch.equal(parameter.grad, torch.full_like(parameter, 1e-4))
    clipped = [p.grad for n, p in model.base.named_parameters() if ".mfn." in n]
    assert float(torch.stack([g.norm() for g in clipped if g is not None]).norm()) == pytest.approx(1.0, rel=1e-4)


def test_features_long_dead_start_anew_where_the_code_is_worst() -> None:
    config = small(mfn={**ALL, "dead_after": 100, "resample_after": 150})
    model = model_of(config)
    objective, optimizers = Pressures(model, config), Optimizers(model, config.optimizer)
    layer = model.mfn_layers[0]
    objective.begin(0)
    objective.losses(batch(step=0)).total.backward()  # type: ignore[no-untyped-call]
    optimizers.step(1.0, 1.0)
    before = layer.W_dec.detach().clone()
    due = torch.tensor([3, 40])
    objective.statistics[0].tokens_since_fired.zero_()
    objective.statistics[0].tokens_since_fired[due] = 10_000  # a step adds what it saw, unless they fire
    layer.b_enc.data[due] = -1e3
    losses = objective.losses(batch(step=0))
    trace = losses.run.traces[0]
    assert trace.aux is not None
    assert trace.aux.x_hat is not None
    error = (trace.x - trace.aux.x_hat).detach()[batch().keep]
    worst = error[error.norm(dim=-1).argsort(descending=True)[:2]]
    objective.settle(optimizers)
    torch.testing.assert_close(layer.W_dec[due], torch.nn.functional.normalize(worst, dim=-1))
    torch.testing.assert_close(layer.W_enc[due] / layer.W_enc[due].norm(dim=-1, keepdim=True), layer.W_dec[due])
    assert torch.equal(layer.b_enc[due], torch.zeros(2, dtype=torch.float64))
    others = torch.ones(64, dtype=torch.bool)
    others[due] = False
    torch.testing.assert_close(layer.W_dec[others], torch.nn.functional.normalize(before, dim=-1)[others])
    moments = optimizers.tensors()["model.layers.0.mfn.W_dec/exp_avg"]
    assert not moments[due].any()
    assert moments[others].any()
    assert not objective.statistics[0].tokens_since_fired[due].any()


def test_the_config_says_what_the_layers_are() -> None:
    mfn = MFNTraining(layers=(0, 2), resid_final=True, n_features=64, k=4, k_first=4, blend_into="mlp")
    equipment = mfn.equipment(5).layers
    assert {number: layer.site for number, layer in equipment.items()} == {
        0: "resid_mid",
        2: "resid_mid",
        5: "resid_final",
    }


def test_layers_below_a_block_do_without_a_token_lookup() -> None:
    mfn = MFNTraining(layers=(0, 1, 3), token_lookup=True, lookup_from=1)
    layers = mfn.equipment(4).layers
    assert {number: layer.token_lookup for number, layer in layers.items()} == {0: False, 1: True, 3: True}

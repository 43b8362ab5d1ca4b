"""SAEs against their formulas, written out densely in float64, and their gradients against plain autograd."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core import Run
from mfn_core.baselines import SAE, SAEConfig, objective_of
from mfn_core.baselines.config import Architecture
from mfn_core.baselines.objectives import Judged, count_firing
from mfn_core.baselines.sae import entries, jump_relu
from mfn_core.config import Norm
from mfn_core.errors import ConfigError
from mfn_core.run import LayerTrace, Revive
from mfn_core.world import World

D, N_FEATURES, K = 12, 40, 5
ARCHITECTURES: list[Architecture] = ["standard", "topk", "batchtopk", "jumprelu"]
NORMS: list[Norm] = ["rms", "layer", "scalar", "none"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def make(architecture: Architecture, norm: Norm = "rms", **settings: Any) -> SAE:
    torch.manual_seed(0)
    k = K if architecture in ("topk", "batchtopk") else None
    sae = SAE(D, SAEConfig(N_FEATURES, architecture, k=k, norm=norm, norm_scale=1.7, **settings)).double()
    with torch.no_grad():
        sae.b_dec.normal_(std=0.3)
        sae.b_enc.normal_(std=0.3)
        sae.W_enc.add_(torch.randn_like(sae.W_enc) * 0.2)
        sae.W_dec.mul_(torch.rand(N_FEATURES, 1) + 0.5)
        if sae.threshold is not None:
            sae.threshold.copy_(torch.rand_like(sae.threshold) * 0.5 + 0.3)
    return sae


def stream(rows: int = 3) -> Tensor:
    return torch.randn(rows, 7, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3


def dense(sae: SAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """p and z, dense, by the table of formulas, as they are after training."""
    p = (x - sae.b_dec * sae.config.apply_b_dec_to_input) @ sae.W_enc.T + sae.b_enc
    match sae.config.architecture:
        case "standard":
            z = F.relu(p)
        case "topk":
            kth = p.sort(-1, descending=True).values[..., K - 1 : K]
            z = torch.where(p >= kth, F.relu(p), 0.0)
        case _:
            assert sae.threshold is not None
            z = torch.where(p > sae.threshold, p, 0.0)
    return p, z


def learn(sae: SAE, h: Tensor, revive: Revive | None = None) -> LayerTrace:
    run = Run(branch="train", revive={} if revive is None else {0: revive})
    with sae.stage.use(run):
        assert sae(h) is h
    return run.traces[0]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("applied", [True, False])
def test_codes_and_reconstruction_are_the_definition(architecture: Architecture, norm: Norm, applied: bool) -> None:
    sae, h = make(architecture, norm, apply_b_dec_to_input=applied), stream()
    x, scale, shift = sae.normalise(h)
    torch.testing.assert_close(scale * x + (0.0 if shift is None else shift), h, **EXACT)
    match norm:
        case "rms":
            torch.testing.assert_close(x.square().mean(-1), torch.ones(3, 7).double(), **EXACT)
        case "layer":
            torch.testing.assert_close(x.std(-1), torch.ones(3, 7).double(), rtol=1e-4, atol=0)
        case "scalar":
            torch.testing.assert_close(x * 1.7, h, **EXACT)
        case "none":
            assert x is h
    _, z = dense(sae, x)
    codes, found_scale = sae.encode(h)
    assert torch.equal(found_scale, scale)
    torch.testing.assert_close(codes.dense(), z, **EXACT)
    torch.testing.assert_close(sae.decode(codes), z @ sae.W_dec + sae.b_dec, **EXACT)
    if architecture in ("standard", "jumprelu", "batchtopk"):
        assert codes.width == int((z > 0).sum(-1).max())


@torch.no_grad()
def test_both_ways_to_decode_agree() -> None:
    sae = make("topk")
    codes, _ = sae.encode(stream())
    wide = entries(codes.dense(), torch.ones(3, 7, N_FEATURES, dtype=torch.bool))
    assert codes.width * 8 <= N_FEATURES < wide.width * 8
    torch.testing.assert_close(sae.decode(codes), sae.decode(wide), **EXACT)


def test_an_all_zero_token_has_a_code() -> None:
    for norm in NORMS:
        codes, scale = make("standard", norm).encode(torch.zeros(1, 2, D, dtype=torch.float64))
        assert bool(codes.values.isfinite().all())
        assert bool((scale > 0).all())


def test_a_token_on_which_nothing_fires_is_padding() -> None:
    codes = entries(torch.tensor([[-1.0, -2.0], [3.0, -1.0]]), torch.tensor([[False, False], [True, False]]))
    assert codes.width == 1
    assert codes.dense().tolist() == [[0.0, 0.0], [3.0, 0.0]]
    assert entries(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)).l0().tolist() == [0, 0]


def test_batch_top_k_keeps_the_largest_of_the_whole_batch() -> None:
    sae, h = make("batchtopk"), stream()
    p, _ = dense(sae, sae.normalise(h)[0])
    trace = learn(sae, h)
    smallest = p.detach().flatten().sort(descending=True).values[K * 21 - 1]
    torch.testing.assert_close(trace.raw_codes.dense(), torch.where(p >= smallest, p, 0.0), **EXACT)
    assert int(trace.raw_codes.l0().sum()) == K * 21
    assert len(trace.raw_codes.l0().unique()) > 1


def test_batch_top_ks_threshold_follows_the_smallest_that_was_kept() -> None:
    sae = SAE(D, SAEConfig(N_FEATURES, "batchtopk", k=K)).double()
    assert sae.threshold is not None
    assert float(sae.threshold) == -1.0
    h = stream()
    p, _ = dense(sae, sae.normalise(h)[0])
    first = float(p.detach().flatten().sort(descending=True).values[K * 21 - 1])
    learn(sae, h)
    assert float(sae.threshold) == pytest.approx(first)
    sae.encode(h)  # looking changes nothing
    run = Run(branch="train")
    with sae.stage.use(run):
        sae(h)
    with torch.no_grad():
        sae.b_enc.add_(1.0)
    with sae.stage.use(run):  # nor does a pass that is computed again, as gradient checkpointing does
        sae(h)
    assert float(sae.threshold) == pytest.approx(first)
    learn(sae, h)
    assert float(sae.threshold) == pytest.approx(0.99 * first + 0.01 * (first + 1.0))
    with torch.no_grad():
        sae.b_enc.sub_(100.0)
    before = float(sae.threshold)
    learn(sae, h)  # nothing fires: there is no smallest
    assert float(sae.threshold) == before
    assert "threshold" in sae.state_dict()


def jump_by_hand(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """JumpReLU whose derivative by the threshold is the estimator, out of plain autograd's parts."""
    hard = pre * (pre > threshold)
    kernel = ((pre - threshold).abs() < bandwidth / 2).double()
    soft = -(threshold.detach() / bandwidth) * kernel * threshold
    return hard + soft - soft.detach()


def count_by_hand(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    kernel = ((pre - threshold).abs() < bandwidth / 2).double()
    soft = -kernel.detach() * threshold / bandwidth
    return ((pre > threshold).double() + soft - soft.detach()).sum(-1)


KEEP = torch.ones(3, 7, dtype=torch.bool)
KEEP[:, 0] = False


def loss_by_hand(sae: SAE, h: Tensor, dead: Tensor, settings: dict[str, Any]) -> Tensor:
    """The objectives' formulas, dense."""
    x = sae.normalise(h)[0]
    p, z = dense(sae, x)
    norms = sae.W_dec.norm(dim=-1)
    if sae.config.architecture == "jumprelu":
        assert sae.threshold is not None
        z = jump_by_hand(p, sae.threshold, sae.config.bandwidth)
    if sae.config.architecture == "batchtopk":
        smallest = p.detach().flatten().sort(descending=True).values[K * 21 - 1]
        z = torch.where(p >= smallest, p, 0.0)
    kept = x[KEEP]
    error = kept - (z @ sae.W_dec + sae.b_dec)[KEEP]
    total = (kept - kept.mean(0)).square().sum()
    loss = error.square().sum() / total
    unit = (total / len(kept) / D).sqrt()
    match sae.config.architecture:
        case "standard":
            loss = loss + settings["l1"] * (z * norms)[KEEP].sum(-1).mean() / (total / len(kept)).sqrt()
            short = F.relu(-p)
        case "jumprelu":
            assert sae.threshold is not None
            if settings["penalty"] == "l0":
                count = count_by_hand(p, sae.threshold, sae.config.bandwidth)
            else:
                count = torch.tanh(4.0 * z * norms / unit).sum(-1)
            loss = loss + settings["l0"] * count[KEEP].mean()
            short = F.relu(sae.threshold - p)
        case _:
            order = p[..., dead].detach().argsort(-1, descending=True)[..., :2]
            chosen = dead.nonzero().squeeze(-1)[order]
            mask = torch.zeros_like(p).scatter(-1, chosen, 1.0)
            rebuilt = (F.relu(p) * mask) @ sae.W_dec
            left = error.detach()
            return loss + settings["auxk"] * (left - rebuilt[KEEP]).square().sum() / left.square().sum()
    pulled = (short * norms.detach())[KEEP][:, dead].sum(-1).mean() / unit / N_FEATURES
    return loss + settings["revive"] * pulled


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("standard", {"l1": 0.7, "revive": 0.9}),
        ("topk", {"auxk": 0.6, "auxk_k": 2}),
        ("batchtopk", {"auxk": 0.6, "auxk_k": 2}),
        ("jumprelu", {"l0": 0.3, "penalty": "l0", "revive": 0.9}),
        ("jumprelu", {"l0": 0.3, "penalty": "tanh", "revive": 0.9}),
    ],
)
def test_an_objectives_gradient_is_plain_autograds(architecture: Architecture, settings: dict[str, Any]) -> None:
    sae, h = make(architecture, bandwidth=0.4), stream()
    dead = torch.zeros(N_FEATURES, dtype=torch.bool)
    dead[::4] = True
    objective = objective_of(sae, **settings)
    revive = None if objective.auxk_k is None else Revive(dead, objective.auxk_k)
    loss, metrics = objective(sae, learn(sae, h, revive), KEEP, 1.0, dead)
    expected = loss_by_hand(sae, h, dead, settings)
    torch.testing.assert_close(loss, expected, **EXACT)
    names, parameters = zip(*sae.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters)
    for name, mine, theirs in zip(names, found, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12, msg=lambda text, n=name: f"{n}: {text}")
        assert float(mine.abs().max()) > 0
    assert float(metrics["dead"]) == 0.25
    assert not any(value.requires_grad for value in metrics.values())


class Paired(World):
    """Two processes, as two threads."""

    def __init__(self, rank: int, meeting: Barrier, values: dict[int, Tensor]) -> None:
        super().__init__(2, rank)
        object.__setattr__(self, "meeting", meeting)
        object.__setattr__(self, "values", values)

    def sum(self, value: Tensor) -> Tensor:
        self.values[self.rank] = value.detach()
        self.meeting.wait(30)
        total = self.values[0] + self.values[1]
        self.meeting.wait(30)
        return total


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("standard", {"l1": 0.7, "revive": 0.9}),
        ("topk", {"auxk": 0.6, "auxk_k": 2}),
        ("jumprelu", {"l0": 0.3, "penalty": "l0", "revive": 0.9}),
        ("jumprelu", {"l0": 0.3, "penalty": "tanh", "revive": 0.9}),
    ],
)
def test_the_mean_of_two_processes_gradients_is_the_wholes(
    architecture: Architecture, settings: dict[str, Any]
) -> None:
    sae, h = make(architecture, bandwidth=0.4), stream(4)
    dead = torch.arange(N_FEATURES) % 4 == 0
    keep = torch.rand(4, 7, generator=torch.Generator().manual_seed(4)) < 0.7  # not as many tokens on either side
    objective = objective_of(sae, **settings)
    revive = None if objective.auxk_k is None else Revive(dead, objective.auxk_k)
    parameters = list(sae.parameters())
    whole = objective(sae, learn(sae, h, revive), keep, 1.0, dead)
    expected = torch.autograd.grad(whole.loss, parameters)
    meeting, values = Barrier(2), dict[int, Tensor]()
    traces = [learn(sae, part, revive) for part in h.split(2)]

    def one(rank: int) -> tuple[Judged, tuple[Tensor, ...]]:
        world = Paired(rank, meeting, values)
        judged = objective(sae, traces[rank], keep.split(2)[rank], 1.0, dead, world)
        return judged, torch.autograd.grad(judged.loss, parameters)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, range(2)))
    for judged, _ in found:
        torch.testing.assert_close(judged.loss, whole.loss, **EXACT)
        torch.testing.assert_close(judged.metrics, whole.metrics, **EXACT)
    for first, second, both in zip(found[0][1], found[1][1], expected, strict=True):
        torch.testing.assert_close((first + second) / 2, both, rtol=1e-10, atol=1e-12)


def test_the_penalty_rises_over_the_warm_up() -> None:
    sae = make("jumprelu")
    trace = learn(sae, stream())
    objective = objective_of(sae, l0=1.0, warmup=0.2)
    none, half, full, later = (float(objective(sae, trace, KEEP, at).loss.detach()) for at in (0.0, 0.1, 0.2, 1.0))
    assert half - none == pytest.approx((full - none) / 2)
    assert full == later
    firing = float(objective(sae, trace, KEEP, 1.0).metrics["penalty"])
    assert full - none == pytest.approx(firing)
    assert firing == pytest.approx(float(trace.raw_codes.l0()[KEEP].double().mean()))


def test_the_stream_gets_no_gradient() -> None:
    for architecture in ARCHITECTURES:
        sae, h = make(architecture), stream().requires_grad_()
        loss, _ = objective_of(sae)(sae, learn(sae, h), KEEP, 1.0)
        loss.backward()
        assert h.grad is None


def test_the_thresholds_gradient_estimates_how_the_expected_loss_moves() -> None:
    """Finite differences of the mean over many draws of p, which is smooth in θ where one draw is not."""
    p = torch.randn(400_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    theta, step, bandwidth = 0.6, 0.05, 0.1

    def risk(at: float) -> float:
        z = p * (p > at)
        return float((0.8 - z).square().mean() + 0.1 * (p > at).double().mean())

    threshold = torch.tensor([theta], dtype=torch.float64, requires_grad=True)
    z = jump_relu(p, threshold.expand_as(p), bandwidth)
    ((0.8 - z).square().mean() + 0.1 * count_firing(p, threshold, bandwidth).mean()).backward()
    # Half of the estimator's tokens take ∂loss/∂z at z = 0, half at z ≈ θ; for a quadratic the mean of both slopes is
    # the loss' own difference across the jump, over θ.
    difference = (risk(theta + step) - risk(theta - step)) / (2 * step)
    assert threshold.grad is not None
    assert float(threshold.grad) == pytest.approx(difference, rel=0.02)


def test_steps_keep_decoder_and_thresholds_in_their_bounds() -> None:
    for architecture in ARCHITECTURES:
        sae = make(architecture)
        sae.normalize_decoder_()
        sae.W_dec.grad = torch.randn_like(sae.W_dec)
        before = sae.W_dec.grad.clone()
        sae.project_decoder_grad_()
        along = (sae.W_dec.grad * sae.W_dec).sum(-1)
        if architecture == "standard":
            assert torch.equal(sae.W_dec.grad, before)
        else:
            torch.testing.assert_close(along, torch.zeros_like(along), **EXACT)
            torch.testing.assert_close(sae.W_dec.norm(dim=-1), torch.ones(N_FEATURES).double(), **EXACT)
    sae = make("jumprelu")
    assert sae.threshold is not None
    with torch.no_grad():
        sae.threshold.fill_(-0.5)
    negative = sae.encode(stream())[0]
    sae.normalize_decoder_()
    assert float(sae.threshold.detach().min()) == 0.0
    assert torch.equal(sae.encode(stream())[0].dense(), negative.dense())  # a threshold below 0 counts as 0


@pytest.mark.parametrize("architecture", ["standard", "jumprelu"])
def test_folding_decoder_norms_changes_units_alone(architecture: Architecture) -> None:
    sae, h = make(architecture), stream()
    norms = sae.W_dec.norm(dim=-1)
    before, _ = sae.encode(h)
    rebuilt = sae.decode(before)
    sae.fold_decoder_norms_()
    after, _ = sae.encode(h)
    torch.testing.assert_close(after.dense(), before.dense() * norms, **EXACT)
    torch.testing.assert_close(sae.decode(after), rebuilt, **EXACT)
    torch.testing.assert_close(sae.W_dec.norm(dim=-1), torch.ones(N_FEATURES).double(), **EXACT)


def test_folding_is_refused_where_it_would_change_the_choice() -> None:
    with pytest.raises(ValueError, match="topk"):
        make("topk").fold_decoder_norms_()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "gated"}, "architecture must be one of"),
        ({"architecture": "topk"}, "needs a k"),
        ({"architecture": "batchtopk", "k": 99}, "between 1 and n_features"),
        ({"architecture": "standard", "k": 3}, "k goes with"),
        ({"architecture": "standard", "norm": "batch"}, "norm must be"),
        ({"architecture": "standard", "norm_scale": 0.0}, "norm_scale"),
        ({"architecture": "jumprelu", "bandwidth": 0.0}, "bandwidth"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SAEConfig(N_FEATURES, **settings)


def test_an_objective_refuses_a_setting_of_another() -> None:
    with pytest.raises(ConfigError, match="l1"):
        objective_of(make("topk"), l1=0.1)

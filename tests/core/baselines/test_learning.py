"""SAEs learn: on data with known features, and at a site of a model that stays as it was."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from mfn_core import MFNConfig, MFNModel, Run
from mfn_core.baselines import SAE, SAEConfig, objective_of
from mfn_core.baselines.config import Architecture
from mfn_core.run import LayerTrace, Revive

ARCHITECTURES: list[Architecture] = ["standard", "topk", "batchtopk", "jumprelu"]
D, N_FEATURES, K, TOKENS, PATIENCE = 16, 32, 3, 128, 10


def sparse_data(seed: int, tokens: int = TOKENS) -> Tensor:
    """[1, tokens, D]: sums of three, on average, of 24 directions, of strengths between 1 and 2."""
    directions = F.normalize(torch.randn(24, D, generator=torch.Generator().manual_seed(0)), dim=-1)
    generator = torch.Generator().manual_seed(seed)
    on = torch.rand(tokens, 24, generator=generator) < 3 / 24
    return ((on * (1 + torch.rand(tokens, 24, generator=generator))) @ directions)[None]


def make(architecture: Architecture) -> SAE:
    torch.manual_seed(0)
    k = K if architecture in ("topk", "batchtopk") else None
    return SAE(D, SAEConfig(N_FEATURES, architecture, k=k, norm="none"))


def trained(sae: SAE, steps: int, lr: float = 3e-3, **settings: float) -> list[dict[str, float]]:
    """A loop as the trainer's. Gives each step's metrics."""
    objective = objective_of(sae, **settings)
    optimizer = torch.optim.AdamW(sae.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
    keep = torch.ones(1, TOKENS, dtype=torch.bool)
    silent = torch.full((sae.n_features,), PATIENCE)
    log = []
    for step in range(steps):
        dead = silent >= PATIENCE
        k = objective.auxk_k
        run = Run(branch="train", revive={} if k is None else {sae.number: Revive(dead, k)})
        with sae.stage.use(run):
            sae(sparse_data(step + 1))
        trace = run.traces[sae.number]
        silent += 1
        silent[trace.raw_codes.indices[trace.raw_codes.fires]] = 0
        loss, metrics = objective(sae, trace, keep, step / steps, dead)
        optimizer.zero_grad()
        loss.backward()
        sae.project_decoder_grad_()
        for group in optimizer.param_groups:
            group["lr"] = lr * math.cos(math.pi / 2 * step / steps)
        optimizer.step()
        sae.normalize_decoder_()
        log.append({name: float(value) for name, value in metrics.items()})
    return log


@torch.no_grad()
def measured(sae: SAE) -> tuple[float, float, int]:
    """FVU and L0 on data that was not trained on, and how many features fire on 1 % of it or more."""
    h = sparse_data(10_000, 2048)
    x = sae.normalise(h)[0]
    codes, _ = sae.encode(h)
    fvu = (x - sae.decode(codes)).square().sum() / (x - x.mean(1, keepdim=True)).square().sum()
    rates = codes.indices[codes.fires].bincount(minlength=sae.n_features) / 2048
    return float(fvu), float(codes.l0().double().mean()), int((rates >= 0.01).sum())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_sae_learns_the_features_that_made_the_data(architecture: Architecture) -> None:
    sae = make(architecture)
    settings = {"standard": {"l1": 0.15}, "jumprelu": {"l0": 0.02}}.get(architecture, {})
    before = measured(sae)[0]
    log = trained(sae, 200, lr=2e-2, **settings)
    fvu, l0, _ = measured(sae)
    assert fvu < 0.2 < before
    assert 2.0 < l0 < 9.0
    assert log[-1]["fvu"] < log[0]["fvu"]
    truth = F.normalize(torch.randn(24, D, generator=torch.Generator().manual_seed(0)), dim=-1)
    likeness = (F.normalize(sae.directions.detach(), dim=-1) @ truth.T).max(0).values
    assert float(likeness.median()) > 0.9


@torch.no_grad()
def test_the_threshold_of_batch_top_k_keeps_l0() -> None:
    sae = make("batchtopk")
    with torch.no_grad():
        sae.b_enc.copy_(torch.linspace(-1, 1, N_FEATURES))
    for seed in range(1, 200):
        with sae.stage.use(Run(branch="train")):
            sae(sparse_data(seed))
    assert measured(sae)[1] == pytest.approx(K, rel=0.05)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dead_features_are_revived(architecture: Architecture) -> None:
    lively = []
    for revived in (False, True):
        sae = make(architecture)
        with torch.no_grad():
            if architecture in ("topk", "batchtopk"):
                weight = "auxk"
                sae.W_enc[: N_FEATURES // 2] *= 0.02  # above 0, but never among the largest
            else:
                weight = "revive"
                sae.W_enc[: N_FEATURES // 2] *= 0.3  # below the threshold on every token
                sae.b_enc[: N_FEATURES // 2] = -1.5
        trained(sae, 150, lr=3e-2, **({} if revived else {weight: 0.0}))
        lively.append(measured(sae)[2])
    assert lively[0] <= N_FEATURES // 2 + 2
    assert lively[1] >= lively[0] + 5


def test_in_a_model_the_base_gets_no_gradient(tiny_model: MFNModel) -> None:
    torch.manual_seed(0)
    base = LlamaForCausalLM(tiny_model.base.config)
    configs = {0: SAEConfig(40, "jumprelu", site="resid_post"), 1: SAEConfig(40, "batchtopk", k=4, site="mlp_out")}
    model = MFNModel.equip(base, MFNConfig(configs))
    ids = torch.randint(1, 300, (4, 24))
    keep = torch.ones(4, 24, dtype=torch.bool)
    keep[:, 0] = False
    traces: dict[int, LayerTrace] = model(ids, branch="train", logits_to_keep=1).traces
    total = torch.zeros(())
    for number, coder in model.coders.items():
        assert isinstance(coder, SAE)
        total = total + objective_of(coder)(coder, traces[number], keep, 1.0).loss
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in base.named_parameters():
        if ".mfn." in name:
            assert parameter.grad is not None
            assert float(parameter.grad.abs().sum()) > 0
        else:
            assert parameter.grad is None

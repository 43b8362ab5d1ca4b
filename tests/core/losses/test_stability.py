"""Stability, and the perturbations it is measured under."""

from __future__ import annotations

import pytest
import torch

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.codes import top_k
from mfn_core.errors import ConfigError
from mfn_core.losses import Perturbation, Stability
from mfn_core.run import AuxBranch, LayerTrace

N_FEATURES, K = 12, 4


def trace_of(pre: torch.Tensor) -> LayerTrace:
    codes = top_k(pre, K)
    return LayerTrace(codes, codes.detach(), pre[..., :1], pre[..., :1], None, AuxBranch(pre, codes))


def test_is_the_definition_with_autograds_gradient_to_the_perturbed_code_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(3, 5, N_FEATURES, dtype=torch.float64, generator=generator).requires_grad_()
    other = (clean[1:] + 0.3 * torch.randn(2, 5, N_FEATURES, dtype=torch.float64, generator=generator)).detach()
    other.requires_grad_()
    keep = torch.ones(2, 5, dtype=torch.bool)
    keep[0, 2] = False
    got = Stability()(trace_of(clean), trace_of(other), slice(1, 3), keep)
    z, z_tilde = top_k(clean, K).dense()[1:][keep].detach(), top_k(other, K).dense()[keep]
    expected = (z - z_tilde).square().sum() / z.square().sum()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, other, retain_graph=True), torch.autograd.grad(expected, other))
    assert torch.autograd.grad(got, clean, allow_unused=True)[0] is None


def test_the_same_code_costs_nothing() -> None:
    pre = torch.randn(1, 4, N_FEATURES, dtype=torch.float64)
    loss = Stability()(trace_of(pre), trace_of(pre), slice(None), torch.ones(1, 4, dtype=torch.bool))
    assert float(loss) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kind", ["noise", "dropout"])
def test_embeddings_are_perturbed_row_by_row_whatever_else_is_in_the_batch(kind: str) -> None:
    ids, embeddings = torch.randint(30, (4, 6)), torch.randn(4, 6, 8)
    perturbation = Perturbation(kind, 0.25, seed=3)  # type: ignore[arg-type]
    whole = perturbation.apply(ids, step=7, first_row=0)
    later = perturbation.apply(ids[2:], step=7, first_row=2)
    assert whole.embed is not None
    assert later.embed is not None
    changed = whole.embed(embeddings)
    assert torch.equal(changed[2:], later.embed(embeddings[2:]))
    assert not torch.equal(changed[0], embeddings[0])
    assert not torch.equal(
        whole.embed(embeddings[:1].expand(4, 6, 8))[0], whole.embed(embeddings[:1].expand(4, 6, 8))[1]
    )
    another = perturbation.apply(ids, step=8, first_row=0)
    assert another.embed is not None
    assert not torch.equal(another.embed(embeddings), changed)
    if kind == "noise":
        size = (changed - embeddings).square().mean().sqrt() / embeddings.square().mean().sqrt()
        assert float(size) == pytest.approx(0.25, rel=0.3)


def test_replaced_tokens_come_from_the_text_and_do_not_count() -> None:
    ids = torch.arange(400)[None]
    perturbed = Perturbation("tokens", 0.2, seed=1).apply(ids, step=0, first_row=0)
    assert perturbed.embed is None
    assert torch.equal(perturbed.ids[perturbed.keep], ids[perturbed.keep])
    assert bool(perturbed.keep[0, 0])
    assert 0.1 < float((~perturbed.keep).float().mean()) < 0.3
    assert (perturbed.ids != ids).any()


def test_impossible_perturbations_are_refused() -> None:
    for kind, amount in (("blur", 0.1), ("noise", 0.0), ("dropout", 1.0), ("tokens", -0.1)):
        with pytest.raises(ConfigError):
            Perturbation(kind, amount)  # type: ignore[arg-type]


def test_the_perturbed_pass_has_no_gradient_but_each_layers_own(tiny_base) -> None:  # type: ignore[no-untyped-def]
    model = MFNModel.equip(tiny_base, MFNConfig.uniform(3, MFNLayerConfig(30, K)))
    ids = torch.randint(31, (2, 8))
    clean = model(ids, branch="train")
    perturbed = Perturbation("noise", 0.5).apply(ids, 0, 0)
    other = model(perturbed.ids, branch="stability", perturbation=perturbed.embed)
    assert not other.logits.requires_grad
    Stability()(clean.traces[1], other.traces[1], slice(None), perturbed.keep).backward()
    own = {"W_enc", "b_enc", "b_dec"}
    for name, parameter in model.named_parameters():
        touched = parameter.grad is not None and bool(parameter.grad.any())
        assert touched == (".1.mfn." in name and name.split(".")[-1] in own), name

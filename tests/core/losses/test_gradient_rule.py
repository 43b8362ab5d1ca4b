"""The paper's gradient rule: recon, rate, comp, stab and AuxK train their own layer, and nothing else at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.losses import Competition, DeadFeatures, Perturbation, Rate, Reconstruction, Stability, Utility
from mfn_core.model import MFNOutput
from mfn_core.run import Revive

N_FEATURES, K = 30, 4
EVERYWHERE = slice(None)

Loss = Callable[[MFNOutput, MFNOutput, Tensor], Tensor]
RATE = torch.linspace(0, 0.5, N_FEATURES, dtype=torch.float64)
LOSSES: dict[str, Loss] = {
    "recon": lambda out, other, keep: Reconstruction()(out.traces[1], keep),
    "auxk": lambda out, other, keep: DeadFeatures()(out.traces[1], keep),
    "rate": lambda out, other, keep: Rate()(out.traces[1], keep, EVERYWHERE, RATE, K / N_FEATURES),
    "comp": lambda out, other, keep: Competition()(out.traces[1], keep, RATE + 0.1, EVERYWHERE),
    "stab": lambda out, other, keep: Stability()(out.traces[1], other.traces[1], EVERYWHERE, keep),
}


def equipped(base: LlamaForCausalLM, alpha: float, token_lookup: bool = False) -> MFNModel:
    config = MFNLayerConfig(N_FEATURES, K, alpha=alpha, token_lookup=token_lookup)
    return MFNModel.equip(base, MFNConfig.uniform(3, config))


def passes(model: MFNModel, ids: Tensor) -> tuple[MFNOutput, MFNOutput, Tensor]:
    out = model(ids, branch="train", revive={1: Revive(torch.arange(N_FEATURES) % 3 == 0, 4)})
    perturbed = Perturbation("noise", 0.5).apply(ids, 0, 0)
    other = model(perturbed.ids, branch="stability", perturbation=perturbed.embed)
    return out, other, torch.ones_like(ids, dtype=torch.bool)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", LOSSES)
def test_an_auxiliary_loss_gives_nobody_else_a_gradient(name: str, alpha: float, tiny_base: LlamaForCausalLM) -> None:
    model = equipped(tiny_base, alpha, token_lookup=True)
    out, other, keep = passes(model, torch.randint(31, (2, 8)))
    LOSSES[name](out, other, keep).backward()
    own = {id(p): n for n, p in model.coders[1].named_parameters()}
    for parameter_name, parameter in model.named_parameters():
        if id(parameter) not in own:
            assert parameter.grad is None or not parameter.grad.any(), parameter_name
    reached = {n for n, p in model.coders[1].named_parameters() if p.grad is not None and p.grad.any()}
    # rates are not to be had by moving the tokens (decision 0011)
    assert reached - {"W_dec"} == {"W_enc", "b_enc"} | (set() if name == "rate" else {"b_dec", "T"})
    assert ("W_dec" in reached) == (name in ("recon", "auxk"))


@pytest.mark.parametrize("token_lookup", [False, True])
def test_one_backward_pass_is_the_sum_of_its_parts(token_lookup: bool, tiny_base: LlamaForCausalLM) -> None:
    model = equipped(tiny_base, 0.7, token_lookup)
    ids = torch.randint(31, (2, 8))

    def gradients(losses: list[Loss]) -> dict[str, Tensor]:
        model.zero_grad()
        out, other, keep = passes(model, ids)
        utility = Utility()(out.logits[:, :-1], ids[:, 1:])
        torch.stack([utility, *(loss(out, other, keep) for loss in losses)]).sum().backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    together, alone = gradients(list(LOSSES.values())), gradients([])
    transformer = {n for n in together if ".mfn." not in n}
    for name in transformer:
        assert torch.equal(together[name], alone[name]), name
    parts = {n: alone[n].clone() for n in together if n not in transformer}
    for loss in LOSSES.values():
        for name, gradient in gradients([loss]).items():
            if name in parts:
                parts[name] += gradient - alone[name]
    for name, gradient in parts.items():
        torch.testing.assert_close(together[name], gradient, msg=name)

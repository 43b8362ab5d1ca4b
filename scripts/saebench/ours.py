"""The metrics of SAEBench's core evaluation, as mfn_core computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.codes import SparseCodes
from mfn_core.evaluation.splicing import logits_with, rebuilt
from mfn_core.metrics.dictionaries import cosines, encoder_decoder_agreement
from mfn_core.metrics.outputs import cross_entropy, kl, recovered
from mfn_core.metrics.reconstruction import reconstruction
from mfn_core.model import MFNModel

Found = dict[str, Any]


@torch.no_grad()
def measure(model: MFNModel, number: int, rows: Tensor, ignore: set[int]) -> Found:
    """Of the code at one block.

    Args:
        model: whose other codes watch and change nothing.
        number: of the block.
        rows: int64 [n, T], texts.
        ignore: tokens that do not count. As in SAEBench, they are read and replaced like any other.

    Returns:
        By SAEBench's names; lists are by feature.
    """
    coder = model.coders[number]
    held: list[tuple[Tensor, Tensor, SparseCodes]] = []

    def splice(h: Tensor) -> Tensor:
        x_hat = rebuilt(coder, h)
        held.append((h, x_hat, coder.encode(h)[0]))
        return x_hat

    untouched = model(rows).logits
    spliced = logits_with(model, number, splice, rows)
    ablated = logits_with(model, number, torch.zeros_like, rows)
    keep = ~torch.isin(rows, torch.tensor(sorted(ignore)))
    ((h, h_hat, codes),) = held
    x, x_hat = h[keep], h_hat[keep]
    sums = reconstruction(x, x_hat)
    values, counts = codes.values[keep], torch.zeros(coder.n_features, dtype=torch.float64)
    fired = codes.indices[keep][values != 0]
    counts.index_add_(0, fired.flatten(), torch.ones(fired.numel(), dtype=torch.float64))
    cost, divergence = _mean_cost(rows, keep), _mean_kl(untouched, keep)
    found: Found = {
        "ce_loss_without_sae": cost(untouched),
        "ce_loss_with_sae": cost(spliced),
        "ce_loss_with_ablation": cost(ablated),
        "kl_div_with_sae": divergence(spliced),
        "kl_div_with_ablation": divergence(ablated),
        "l2_norm_in": float(x.double().norm(dim=-1).mean()),
        "l2_norm_out": float(x_hat.double().norm(dim=-1).mean()),
        "l2_ratio": sums.norm_ratio,
        "relative_reconstruction_bias": 1.0 - sums.shrinkage,
        "l0": float((values != 0).sum(-1).double().mean()),
        "l1": float(values.double().sum(-1).mean()),
        "cossim": sums.cosine,
        "explained_variance": sums.explained,
        "feature_density": (counts / len(x)).tolist(),
        "encoder_decoder_cosine_sim": encoder_decoder_agreement(_encoder(coder), coder.directions).tolist(),
        "max_decoder_cosine_sim": cosines(coder.directions, coder.directions).fill_diagonal_(-1.0).amax(1).tolist(),
    }
    found["ce_loss_score"] = recovered(
        found["ce_loss_with_sae"], found["ce_loss_without_sae"], found["ce_loss_with_ablation"]
    )
    found["kl_div_score"] = recovered(found["kl_div_with_sae"], 0.0, found["kl_div_with_ablation"])
    return found | _in_their_words(x.double(), x_hat.double())


def _in_their_words(x: Tensor, x_hat: Tensor) -> Found:
    """Explained variance by the two formulas that sae-bench 0.6.0 has, which are not the share that is left over: one
    subtracts the squared mean *square* of the channels where the squared mean belongs, the other averages each token's
    own quotient. That ours and theirs agree on these shows that nothing but the formula differs.
    """
    left = (x - x_hat).square().sum(-1)
    of_channel = x.square().mean(0).mean()
    around = (x - x.mean(0)).square().sum(-1)
    return {
        "explained_variance_0_6_0": float(1.0 - left.mean() / (x.square().sum(-1).mean() - of_channel.square())),
        "explained_variance_legacy": float((1.0 - left / around).mean()),
    }


def _mean_cost(rows: Tensor, keep: Tensor) -> Callable[[Tensor], float]:
    """Over predictions that follow a token that counts."""
    return lambda logits: float(cross_entropy(logits, rows)[keep[:, :-1]].double().mean())


def _mean_kl(untouched: Tensor, keep: Tensor) -> Callable[[Tensor], float]:
    return lambda logits: float(kl(untouched, logits)[keep].mean())


def _encoder(coder: Any) -> Tensor:
    return F.normalize(coder.W_enc.detach(), dim=-1)

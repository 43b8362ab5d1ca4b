"""SAELens' TopK SAEs, timed on request. Run by a Python that has sae-lens; knows nothing of ours.

    python -m benchmarks.peers.saelens THREADS

Speaks the protocol of `benchmarks.harness.Peer`. Work: `forward` (inference, a `TopKSAE`) and `training` (forward pass,
loss and backward pass of a `TopKTrainingSAE`; `sparse` says whether with its sparse activations).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from benchmarks.peers.answering import answer_questions

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from sae_lens import TopKSAE, TopKSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig  # noqa: E402
from sae_lens.saes.sae import TrainStepInput  # noqa: E402


def forward(d: int, n_features: int, k: int, tokens: int, precision: str) -> Callable[[], object]:
    """A `TopKSAE`'s forward pass."""
    sae = TopKSAE(TopKSAEConfig(d_in=d, d_sae=n_features, k=k, apply_b_dec_to_input=True))
    x = torch.randn(1, tokens, d)

    def work() -> None:
        with torch.inference_mode(), autocast(precision):
            sae(x)

    return work


def training(d: int, n_features: int, k: int, tokens: int, precision: str, sparse: bool) -> Callable[[], object]:
    """A `TopKTrainingSAE`'s forward pass, loss and backward pass."""
    config = TopKTrainingSAEConfig(
        d_in=d,
        d_sae=n_features,
        k=k,
        apply_b_dec_to_input=True,
        use_sparse_activations=sparse,
        rescale_acts_by_decoder_norm=not sparse,  # the default; with sparse activations its backward pass fails
    )
    sae = TopKTrainingSAE(config)
    x = torch.randn(tokens, d)

    def work() -> None:
        sae.zero_grad()
        with autocast(precision):
            out = sae.training_forward_pass(TrainStepInput(x, {}, None, 0, False))
        out.loss.backward()

    return work


def autocast(precision: str) -> Any:
    """The precision's context."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


if __name__ == "__main__":
    answer_questions({"forward": forward, "training": training}, "sae-lens", "torch")

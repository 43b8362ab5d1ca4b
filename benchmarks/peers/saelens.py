"""SAELens' TopK SAEs, timed on request. Run by a Python that has sae-lens; knows nothing of ours.

    python saelens.py THREADS

Speaks the protocol of `benchmarks.harness.Peer`. Work: `forward` (inference, a `TopKSAE`) and `training` (forward pass,
loss and backward pass of a `TopKTrainingSAE`; `sparse` says whether with its sparse activations).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

warnings.filterwarnings("ignore")
answers, sys.stdout = sys.stdout, sys.stderr  # what the packages print is no answer

import sae_lens  # noqa: E402
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


def main() -> None:
    """Answers questions until there are none."""
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    kinds: dict[str, Callable[..., Callable[[], object]]] = {"forward": forward, "training": training}
    work = kinds["forward"](8, 8, 1, 8, "fp32")
    for line in sys.stdin:
        question = json.loads(line)
        if question:
            work = kinds[question.pop("work")](**question)
            answer: dict[str, Any] = {"package": f"sae-lens {sae_lens.__version__}, torch {torch.__version__}"}
        else:
            begun, processor = time.perf_counter(), time.process_time()
            work()
            answer = {"clock": time.perf_counter() - begun, "processor": time.process_time() - processor}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

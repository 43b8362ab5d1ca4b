"""An equipped model against its dense twin, over F/d and K: forward pass, forward + backward, and parameters.

The twin is the same Transformer without layers of features. Both run on the same tokens; the ratio of times minus one
is the overhead. Forward: inference mode. Forward + backward: as in training, the next-token loss, and for the equipped
model the reconstruction through its auxiliary branch. The paper expects the overhead below 10 % "for moderate sizes".
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Paired, Result, paired
from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.losses import Reconstruction, Utility

PAPER_LIMIT = 10.0  # %


def run(quick: bool) -> Result:
    """Equips one small Llama at every block with growing F, at α = 1, in fp32."""
    d_model, blocks, batch, length = (64, 2, 2, 64) if quick else (256, 4, 4, 256)
    widths: Sequence[int] = (2, 8) if quick else (1, 2, 4, 8, 16)
    ks: Sequence[int] = (8,) if quick else (16, 32, 64)
    torch.manual_seed(0)
    twin = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=4096,
            hidden_size=d_model,
            intermediate_size=3 * d_model,
            num_hidden_layers=blocks,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=length,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=True,
        )
    ).train(False)
    dense = MFNModel.equip(copy.deepcopy(twin), MFNConfig({})).eval()
    tokens = torch.randint(1, 4096, (batch, length))
    metrics: dict[str, Metric] = {}
    for width in widths:
        equipped = MFNModel.equip(copy.deepcopy(twin), _config(blocks, width * d_model, ks[0])).eval()
        metrics[f"F{width}d_parameters"] = Metric(100 * (_size(equipped) / _size(twin) - 1), "%")
        for k in ks:
            equipped.set_k(k)
            for name, step in (("forward", _forward), ("training", _training)):
                timing = paired(step(equipped, tokens), step(dense, tokens))
                metrics |= _overhead(f"F{width}d_K{k}_{name}", timing)
    for name in ("forward", "training"):
        for k in ks:
            for clock in ("", "_cpu"):
                overheads = [metrics[f"F{width}d_K{k}_{name}{clock}"].value for width in widths]
                metrics[f"largest_F_over_d_under_10_percent_K{k}_{name}{clock}"] = Metric(
                    _within(widths, overheads), "F/d (0: none)", better="higher"
                )
    sizes = {"d": d_model, "blocks": blocks, "batch": batch, "length": length}
    return Result(metrics, {**sizes, "twin_parameters": _size(twin)})


def _config(blocks: int, n_features: int, k: int) -> MFNConfig:
    return MFNConfig.uniform(blocks, MFNLayerConfig(n_features=n_features, k=k))


def _forward(model: MFNModel, tokens: torch.Tensor) -> Callable[[], object]:
    def work() -> None:
        with torch.inference_mode():
            model(tokens)

    return work


def _training(model: MFNModel, tokens: torch.Tensor) -> Callable[[], object]:
    utility, recon = Utility(), Reconstruction()
    keep = torch.ones_like(tokens, dtype=torch.bool)

    def work() -> None:
        model.zero_grad()
        out = model(tokens, branch="train" if model.coders else "none")
        loss = utility(out.logits[:, :-1], tokens[:, 1:])
        for trace in out.traces.values():
            loss = loss + recon(trace, keep) / len(out.traces)
        loss.backward()  # type: ignore[no-untyped-call]

    return work


def _overhead(name: str, timing: Paired) -> dict[str, Metric]:
    found = {}
    for key, ratio in ((name, timing.ratio()), (f"{name}_cpu", timing.processor_ratio())):
        low, high = ratio.spread or (ratio.value, ratio.value)
        found[key] = Metric(100 * (ratio.value - 1), "%", spread=(100 * (low - 1), 100 * (high - 1)))
    return found


def _within(widths: Sequence[int], overheads: Sequence[float]) -> int:
    """The largest F/d before the first that is too dear: a lucky run beyond it does not count."""
    within = 0
    for width, overhead in zip(widths, overheads, strict=True):
        if overhead >= PAPER_LIMIT:
            break
        within = width
    return within


def _size(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())

"""An equipped model against its dense twin, over F/d and K: forward pass, forward + backward, parameters and memory.

The twin is the same Transformer without layers of features. Both run on the same tokens; the ratio of times minus one
is the overhead. Forward: inference mode. Forward + backward: as in training, the next-token loss, and for the equipped
model the reconstruction through its auxiliary branch. Memory: what is kept for the backward pass. The paper expects the
overhead below 10 % "for moderate sizes".
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Paired, Result, paired
from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.losses import Reconstruction, Utility

PAPER_LIMIT = 10.0  # %
VOCABULARY = 4096


class Size(NamedTuple):
    """A Transformer, the tokens it reads, and how it is equipped at every block: F/d and K."""

    d: int
    blocks: int
    batch: int
    length: int
    widths: Sequence[int]
    ks: Sequence[int]


SIZES = (Size(256, 4, 4, 256, (1, 2, 4, 8, 16), (16, 32, 64)), Size(768, 2, 2, 128, (1, 2, 4, 8), (32,)))
QUICK = (Size(64, 2, 2, 64, (2, 8), (8,)),)


def run(quick: bool) -> Result:
    """Equips small Llamas at every block with growing F, at α = 1, in fp32: all of it at d = 256, a part at d = 768."""
    sizes = QUICK if quick else SIZES
    metrics: dict[str, Metric] = {}
    for size in sizes:
        metrics |= measure(size)
    return Result(metrics, {f"d{size.d}": {**size._asdict(), "vocabulary": VOCABULARY} for size in sizes})


def measure(size: Size) -> dict[str, Metric]:
    """Overheads at every F/d and K of a size, in per cent, and the largest F/d at which each is below the limit."""
    torch.manual_seed(0)
    twin = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=size.d,
            intermediate_size=3 * size.d,
            num_hidden_layers=size.blocks,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=size.length,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=True,
        )
    ).train(False)
    dense = MFNModel.equip(copy.deepcopy(twin), MFNConfig({})).eval()
    tokens = torch.randint(1, VOCABULARY, (size.batch, size.length))
    metrics: dict[str, Metric] = {}
    kept = kept_for_backward(_training(dense, tokens))
    for width in size.widths:
        equipped = MFNModel.equip(copy.deepcopy(twin), _config(size.blocks, width * size.d, size.ks[0])).eval()
        metrics[f"d{size.d}_F{width}d_parameters"] = Metric(100 * (_size(equipped) / _size(twin) - 1), "%")
        for k in size.ks:
            equipped.set_k(k)
            more = kept_for_backward(_training(equipped, tokens)) / kept - 1
            metrics[f"d{size.d}_F{width}d_K{k}_kept"] = Metric(100 * more, "%")
            for name, step in (("forward", _forward), ("training", _training)):
                timing = paired(step(equipped, tokens), step(dense, tokens))
                metrics |= _overhead(f"d{size.d}_F{width}d_K{k}_{name}", timing)
    limits: dict[str, Metric] = {}
    for k in size.ks:
        for name in ("forward", "training", "forward_cpu", "training_cpu"):
            overheads = [metrics[f"d{size.d}_F{width}d_K{k}_{name}"].value for width in size.widths]
            within = _within(size.widths, overheads)
            limits[f"d{size.d}_K{k}_{name}_within_10_percent"] = Metric(within, "F/d (0: none)", better="higher")
    return metrics | limits


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


def kept_for_backward(work: Callable[[], object]) -> int:
    """Bytes that the forward passes in `work` keep for their backward passes, weights and inputs among them."""
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        work()
    return sum(sizes.values())


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

"""Indexing all features of all layers, against the bare forward pass of the same equipped model on the same batches.

Interleaved in slices of a few batches, the index's state growing from slice to slice as in a real run. The bare pass
leaves out the logits too. Besides the clock, processor time is compared, which a busy machine disturbs less. Weights
are random and tokens follow Zipf's law.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Result, seconds, summary
from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.indexing import IndexSettings, IndexState, weight_facts
from mfn_core.indexing.batching import Batcher, ForwardBatch
from mfn_core.indexing.build import take_in

TARGET_RATIO = 0.90
BATCHES = 3  # to a slice

Slice = list[ForwardBatch]


def run(quick: bool) -> Result:
    """Indexes a random corpus of documents of 2 to 512 tokens, in fp32 and under bf16 autocast."""
    d_model, blocks, n_features, k, vocab = (64, 2, 256, 8, 512) if quick else (256, 5, 2048, 32, 4096)
    model = _model(d_model, blocks, n_features, k, vocab)
    settings = replace(IndexSettings(), batch_rows=2 if quick else 16).fit(model.max_context)
    batcher = Batcher(settings.seq_len, settings.window, settings.batch_rows, model.bos_token_id)
    batches = list(batcher.batches(enumerate(_documents(6_000 if quick else 200_000, vocab))))
    slices = [batches[i : i + BATCHES] for i in range(0, len(batches), BATCHES)]
    metrics: dict[str, Metric] = {}
    states = {name: IndexState(model, replace(settings, bf16=name == "bf16")) for name in ("fp32", "bf16")}
    for name, state in states.items():
        indexed, bare = _race(model, state, slices)
        target = None if quick else TARGET_RATIO
        metrics[f"{name}_speed_of_forward"] = summary(_ratios(bare[0], indexed[0]), "×", target, "higher")
        metrics[f"{name}_speed_of_forward_cpu"] = summary(_ratios(bare[1], indexed[1]), "×", target, "higher")
        whole = sum(bare[1]) / sum(indexed[1])
        metrics[f"{name}_speed_of_forward_cpu_sum"] = Metric(whole, "×", better="higher")
        metrics[f"{name}_index"] = Metric(state.n_tokens / sum(indexed[0]), "tokens/s", better="higher")
        metrics[f"{name}_forward"] = Metric(state.n_tokens / sum(bare[0]), "tokens/s", better="higher")
    pairs = [(states["fp32"].layers[n].firing_count, states["bf16"].layers[n].firing_count) for n in model.coders]
    moved, fired = sum(int(np.abs(a - b).sum()) for a, b in pairs), sum(int(a.sum()) for a, _ in pairs)
    metrics["bf16_moved_firing_counts"] = Metric(100 * moved / fired, "% of firings")
    facts = seconds(
        lambda: [weight_facts(model, layer, settings.n_logits, settings.n_neighbours) for layer in model.coders]
    )
    metrics["weight_facts"] = Metric(facts, "s")
    sizes = {"d": d_model, "blocks": blocks, "F": n_features, "K": k, "vocabulary": vocab}
    return Result(metrics, {**sizes, "tokens": states["fp32"].n_tokens, "slices": len(slices)})


Times = tuple[list[float], list[float]]
"""By the clock, and of the processor."""


def _race(model: MFNModel, state: IndexState, slices: list[Slice]) -> tuple[Times, Times]:
    """Seconds of each slice, indexed and bare. The order alternates from slice to slice."""

    def index(part: Slice) -> None:
        for batch in part:
            take_in(model, batch, state, pool)

    def bare(part: Slice) -> None:
        for batch in part:
            with torch.autocast("cpu", torch.bfloat16, enabled=state.settings.bf16):
                model(torch.from_numpy(batch.input_ids), logits_to_keep=1)

    sides: tuple[tuple[Callable[[Slice], None], Times], ...] = ((index, ([], [])), (bare, ([], [])))
    with torch.inference_mode(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        bare(slices[0])
        for batch in slices[0]:
            take_in(model, batch, IndexState(model, state.settings), pool)
        for i, part in enumerate(slices):
            for work, (clock, processor) in sides if i % 2 == 0 else sides[::-1]:
                began = time.process_time()
                clock.append(seconds(partial(work, part)))
                processor.append(time.process_time() - began)
    return sides[0][1], sides[1][1]


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _model(d_model: int, blocks: int, n_features: int, k: int, vocab: int) -> MFNModel:
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab,
            hidden_size=d_model,
            intermediate_size=3 * d_model,
            num_hidden_layers=blocks,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=True,
        )
    )
    return MFNModel.equip(base, MFNConfig.uniform(blocks, MFNLayerConfig(n_features=n_features, k=k))).eval()


def _documents(n_tokens: int, vocab: int) -> list[NDArray[np.uint32]]:
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, vocab)
    ids = rng.choice(np.arange(1, vocab), n_tokens, p=share / share.sum()).astype(np.uint32)
    ends = np.cumsum(rng.integers(2, 513, n_tokens // 250))
    documents = np.split(ids, ends[ends < n_tokens])
    for document in documents:
        document[0] = 0
    return documents

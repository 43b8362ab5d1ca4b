"""Indexing all features of all layers, against the bare forward pass of the same equipped model on the same batches.

Three models: random weights and tokens by Zipf's law; the demo model on its corpus; and stories260K, a small model that
nobody here wrote, given untrained layers (F = 1,024, K = 16 in all five blocks), on the same corpus. That one is left
out where its folder is not there: `MFN_STORIES260K`, or `../shared/models/stories260K`.

Interleaved in slices of a few batches, the index's state growing from slice to slice as in a real run, from nothing:
its first tokens cost most, since nothing can be turned away yet. The bare pass leaves out the logits too. Ratios are
medians over slices; now and then a slice has to sort what has gathered, which a median does not show, so `_whole`
compares the sums. Processor time is compared too, which a busy machine disturbs less.

What bf16 autocast changes is counted against fp32 on the same text: firing counts that moved, as a share of firings;
how many of the strongest contexts are the same; by how much token R² moves, over features that fire often enough.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Result, seconds, summary
from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.data.corpus import read_corpus
from mfn_core.indexing import IndexSettings, IndexState, weight_facts
from mfn_core.indexing.batching import Batcher, ForwardBatch
from mfn_core.indexing.build import take_in
from mfn_core.indexing.ladder import TokenFacts
from mfn_core.indexing.token_r2 import MIN_FIRINGS

TARGET_RATIO = 0.90
BATCHES = 3  # to a slice
PRECISIONS = ("fp32", "bf16")
ROOT = Path(__file__).parents[1]
STORIES = Path(os.environ.get("MFN_STORIES260K", ROOT.parent / "shared" / "models" / "stories260K"))

Slice = list[ForwardBatch]


@dataclass(frozen=True)
class Case:
    """A model and the token ids of its documents."""

    model: MFNModel
    documents: Sequence[NDArray[np.uint32]]

    def sizes(self) -> dict[str, Any]:
        """What somebody needs to repeat it."""
        return {
            "d": self.model.d_model,
            "blocks": self.model.n_blocks,
            "F": sorted(set(self.model.n_features.values())),
            "K": sorted({coder.k for coder in self.model.mfn_layers.values()}),
            "vocabulary": self.model.vocab_size,
            "tokens": sum(map(len, self.documents)),
        }


def run(quick: bool) -> Result:
    """Indexes each model's documents in fp32 and under bf16 autocast."""
    tokens = 3_000 if quick else 100_000
    makers: dict[str, Callable[[], Case | str]] = {
        "random": partial(_random, tokens, quick),
        "demo": partial(_demo, tokens),
        "stories260k": partial(_stories, tokens),
    }
    return measure(makers, quick)


def measure(makers: dict[str, Callable[[], Case | str]], quick: bool) -> Result:
    """All figures of the cases, which are made one after the other; one that cannot be says why."""
    metrics: dict[str, Metric] = {}
    settings: dict[str, Any] = {}
    for name, make in makers.items():
        case = make()
        if isinstance(case, str):
            settings[name] = f"left out: {case}"
            continue
        metrics |= {f"{name}_{key}": metric for key, metric in _measure(case, quick).items()}
        settings[name] = case.sizes()
    return Result(metrics, settings)


def _measure(case: Case, quick: bool) -> dict[str, Metric]:
    model, target = case.model, None if quick else TARGET_RATIO
    settings = replace(IndexSettings(), batch_rows=2 if quick else IndexSettings.batch_rows).fit(model.max_context)
    batches = list(
        Batcher(settings.seq_len, settings.window, settings.batch_rows, model.bos_token_id).batches(
            enumerate(case.documents)
        )
    )
    np.random.default_rng(0).shuffle(batches)  # lengths mixed, as over a long corpus
    slices = [batches[i : i + BATCHES] for i in range(0, len(batches), BATCHES)]
    metrics: dict[str, Metric] = {}
    states = {name: IndexState(model, replace(settings, bf16=name == "bf16")) for name in PRECISIONS}
    for name, state in states.items():
        indexed, bare = _race(model, state, slices)
        metrics[f"{name}_speed_of_forward"] = summary(_ratios(bare[0], indexed[0]), "×", target, "higher")
        metrics[f"{name}_speed_of_forward_cpu"] = summary(_ratios(bare[1], indexed[1]), "×", target, "higher")
        metrics[f"{name}_speed_of_forward_cpu_whole"] = Metric(sum(bare[1]) / sum(indexed[1]), "×", target, "higher")
        metrics[f"{name}_index"] = Metric(state.n_tokens / sum(indexed[0]), "tokens/s", better="higher")
        metrics[f"{name}_forward"] = Metric(state.n_tokens / sum(bare[0]), "tokens/s", better="higher")
        metrics[f"{name}_index_cpu"] = Metric(1e6 * sum(indexed[1]) / state.n_tokens, "µs/token")
        metrics[f"{name}_forward_cpu"] = Metric(1e6 * sum(bare[1]) / state.n_tokens, "µs/token")
    metrics |= _moved(states["fp32"], states["bf16"])
    read = sum(batch.input_ids.size for batch in batches)
    metrics["padding"] = Metric(100 * (1 - sum(int(batch.lengths.sum()) for batch in batches) / read), "% of tokens")
    facts = seconds(
        lambda: [weight_facts(model, layer, settings.n_logits, settings.n_neighbours) for layer in model.coders]
    )
    return metrics | {"weight_facts": Metric(facts, "s")}


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


def _moved(exact: IndexState, rough: IndexState) -> dict[str, Metric]:
    """What is other in the second index."""
    moved = fired = same = strongest = 0
    shifts: list[NDArray[np.float64]] = []
    for number, mine in exact.layers.items():
        other = rough.layers[number]
        moved += int(np.abs(mine.firing_count - other.firing_count).sum())
        fired += int(mine.firing_count.sum())
        ours, theirs = (set(zip(*_strongest(state), strict=True)) for state in (mine, other))
        same += len(ours & theirs)
        strongest += len(ours)
        before, after = (_token_facts(state, number) for state in (exact, rough))
        often = np.minimum(before.half_firings, after.half_firings) >= MIN_FIRINGS
        shift = after.r2.astype(np.float64) - before.r2
        shifts.append(shift[often & ~np.isnan(shift)])
    every = np.concatenate(shifts)
    metrics = {
        "bf16_moved_firing_counts": Metric(100 * moved / fired, "% of firings"),
        "bf16_same_strongest_contexts": Metric(100 * same / strongest, "% of contexts", better="higher"),
    }
    if len(every):  # on little text no feature fires often enough
        metrics["bf16_token_r2_shift"] = Metric(float(np.median(every)), "median")
        metrics["bf16_token_r2_moved_p90"] = Metric(float(np.quantile(np.abs(every), 0.9)), "90 % move by less")
    return metrics


def _strongest(state: Any) -> Iterator[list[int]]:
    rows = state.top.rows()
    yield rows.group.tolist()
    yield rows.place.tolist()


def _token_facts(state: IndexState, number: int) -> TokenFacts:
    layer = state.layers[number]
    return layer.tokens.facts(0, layer.squares, state.token_counts)


def _demo(tokens: int) -> Case:
    model = MFNModel.from_pretrained(ROOT / "demo" / "model")
    return Case(model, _corpus(model, tokens))


def _stories(tokens: int) -> Case | str:
    if not (STORIES / "model.safetensors").exists():
        return f"no model at {STORIES.name}; MFN_STORIES260K says where it is"
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(STORIES, use_safetensors=True)
    config = MFNConfig.uniform(base.config.num_hidden_layers, MFNLayerConfig(n_features=1024, k=16))
    model = MFNModel.equip(base, config, AutoTokenizer.from_pretrained(STORIES)).eval()
    return Case(model, _corpus(model, tokens))


def _corpus(model: MFNModel, tokens: int) -> list[NDArray[np.uint32]]:
    """Documents of the demo corpus, until there are so many tokens."""
    documents: list[NDArray[np.uint32]] = []
    for document in read_corpus(ROOT / "demo" / "corpus" / "corpus.jsonl.xz"):
        documents.append(np.array(model.encode_text(document.text), np.uint32))
        tokens -= len(documents[-1])
        if tokens <= 0:
            break
    return documents


def _random(tokens: int, quick: bool) -> Case:
    d_model, blocks, n_features, k, vocab = (64, 2, 256, 8, 512) if quick else (256, 5, 2048, 32, 4096)
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
    model = MFNModel.equip(base, MFNConfig.uniform(blocks, MFNLayerConfig(n_features=n_features, k=k))).eval()
    return Case(model, _zipf(tokens, vocab))


def _zipf(n_tokens: int, vocab: int) -> list[NDArray[np.uint32]]:
    """Documents of 2 to 512 tokens."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, vocab)
    ids = rng.choice(np.arange(1, vocab), n_tokens, p=share / share.sum()).astype(np.uint32)
    ends = np.cumsum(rng.integers(2, 513, n_tokens // 250))
    documents = np.split(ids, ends[ends < n_tokens])
    for document in documents:
        document[0] = 0
    return documents

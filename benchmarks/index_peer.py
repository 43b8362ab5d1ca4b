"""An index of four layers, against what SAEDashboard gathers of one: seconds a feature and token of each.

The same Llama of random weights (width 256), the same TopK SAEs (F = 4,096, K = 32) behind its four blocks, the same
documents. `--peer PYTHON`, or `MFN_SAEDASHBOARD_PYTHON`, is a Python that has sae-dashboard; without one, ours is timed
alone. It runs in a process of its own with as many threads, and the two take turns.

Ours: the whole index of all features of all layers, forward passes, statistics of tokens, and the distribution of the
logits included. Theirs: some of the features of the second layer, the model's activations taken from its cache (as for
all but the first of its batches of features), so that its forward pass costs it nothing. Its time grows with the number
of features, ours is that of all.

What both find of these features is compared: `same_...`. See `agreement`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Paired, Peer, Result, against, summary, timed
from mfn_core import MFNModel
from mfn_core.baselines import SAE, SAEConfig, attach, save_saelens
from mfn_core.directions import centred_lens, written
from mfn_core.indexing import ContextKind, CorpusIndex, IndexSettings, LayerIndex, index_tokens
from mfn_core.indexing.from_weights.logits import logit_facts
from mfn_core.indexing.from_weights.types import WeightSettings

TARGET = 50.0
LAYER = 1  # the second: whose features the peer looks at
VARIABLE = "MFN_SAEDASHBOARD_PYTHON"


class Sizes(NamedTuple):
    """How much is indexed: a model's width, vocabulary and features a layer, how many documents of which length."""

    d: int
    vocab: int
    n_features: int
    k: int
    documents: int
    length: int
    theirs: int
    """Features the peer looks at."""
    pairs: int


MAIN = Sizes(d=256, vocab=4096, n_features=4096, k=32, documents=512, length=128, theirs=128, pairs=4)
QUICK = Sizes(d=64, vocab=512, n_features=256, k=8, documents=32, length=128, theirs=16, pairs=2)
BLOCKS = 4


def run(quick: bool, peer: str | None = None) -> Result:
    """Times the index, and the peer where there is one."""
    sizes = QUICK if quick else MAIN
    case = Case.make(sizes)
    work = sizes.documents * sizes.length * sizes.n_features * BLOCKS
    settings: dict[str, Any] = {**sizes._asdict(), "blocks": BLOCKS}
    python = peer or os.environ.get(VARIABLE)
    if python is None:
        settings["peer"] = f"left out: name a Python that has sae-dashboard, by --peer or {VARIABLE}"
        case.index()
        runs = [timed(case.index).clock for _ in range(2)]
        return Result({"index": summary([work / taken for taken in runs], "features · tokens/s")}, settings)
    with tempfile.TemporaryDirectory() as folder, Peer(python, "benchmarks.peers.saedashboard") as process:
        case.save(Path(folder))
        outputs = Path(folder) / "outputs.json"
        settings |= process.prepare("index", folder=folder, outputs=str(outputs), features=sizes.theirs)
        same = agreement(case.index().layers[LAYER], json.loads(outputs.read_text(encoding="utf-8")))
        timing = against(case.index, process, sizes.pairs, warmup=0)
    their_work = sizes.documents * sizes.length * sizes.theirs
    return Result(_speeds(timing, work, their_work, None if quick else TARGET) | same, settings)


def _speeds(timing: Paired, ours: int, theirs: int, target: float | None) -> dict[str, Metric]:
    def ratios(first: list[float], second: list[float]) -> list[float]:
        return [(b / theirs) / (a / ours) for a, b in zip(first, second, strict=True)]

    unit = "features · tokens/s"
    return {
        "speed_of_peer": summary(ratios(timing.first, timing.second), "×", target, "higher"),
        "speed_of_peer_cpu": summary(ratios(timing.first_processor, timing.second_processor), "×", target, "higher"),
        "index": summary([ours / taken for taken in timing.first], unit, better="higher"),
        "index_cpu": summary([ours / taken for taken in timing.first_processor], unit, better="higher"),
        "peer": summary([theirs / taken for taken in timing.second], unit, better="higher"),
        "peer_cpu": summary([theirs / taken for taken in timing.second_processor], unit, better="higher"),
    }


@dataclass(frozen=True)
class Case:
    """A model with an SAE behind each block, and token ids."""

    model: MFNModel
    tokens: NDArray[np.uint32]
    """[documents, length]"""

    @classmethod
    def make(cls, sizes: Sizes) -> Case:
        """Random weights; tokens by Zipf's law, each document begun with token 0."""
        torch.manual_seed(0)
        base = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=sizes.vocab,
                hidden_size=sizes.d,
                intermediate_size=3 * sizes.d,
                num_hidden_layers=BLOCKS,
                num_attention_heads=4,
                num_key_value_heads=4,
                max_position_embeddings=2 * sizes.length,
                bos_token_id=0,
                eos_token_id=0,
                tie_word_embeddings=False,
                initializer_range=0.1,
            )
        )
        torch.nn.init.uniform_(base.model.norm.weight, 0.5, 1.5)  # so that both have to heed it in their logits
        config = SAEConfig(sizes.n_features, "topk", k=sizes.k, norm="none")
        model = attach(base, [SAE(sizes.d, config, number) for number in range(BLOCKS)]).eval()
        rng = np.random.default_rng(0)
        share = 1 / np.arange(1, sizes.vocab)
        tokens = rng.choice(np.arange(1, sizes.vocab), (sizes.documents, sizes.length), p=share / share.sum())
        tokens[:, 0] = 0
        return cls(model, tokens.astype(np.uint32))

    def index(self) -> CorpusIndex:
        """All features of all layers, and the whole distribution of their logits. Contexts are whole documents."""
        length = self.tokens.shape[1]
        settings = IndexSettings(n_top=20, bands=5, per_band=5, window=length, seq_len=2 * length)
        found = index_tokens(self.model, list(self.tokens), [{}] * len(self.tokens), settings)
        with torch.inference_mode():
            lens = centred_lens(self.model)
            for layer in self.model.coders:
                logit_facts(written(self.model, layer), lens, WeightSettings())
        return found

    def save(self, folder: Path) -> None:
        """What the peer reads."""
        self.model.base.save_pretrained(folder / "model")
        coder = self.model.coders[LAYER]
        save_saelens(coder, folder / "sae", "random")
        tokens = torch.from_numpy(self.tokens.astype(np.int64))
        safetensors.torch.save_file({"tokens": tokens}, folder / "tokens.safetensors")


def agreement(layer: LayerIndex, theirs: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """How far the peer's features are ours.

    Two programs compute the same pre-activations in another order of additions; where two nearly tie, TopK chooses
    otherwise, and a firing is on one side alone. So the figures are shares, and near 100 %.

    Args:
        layer: our index of the layer.
        theirs: of each feature number what `benchmarks/peers/saedashboard.py` writes of it.

    Returns:
        `same_firing_counts`: features with the same number of firings (theirs: the bars of the histogram together).
        `same_strongest`: contexts that are at the same rank in both. Theirs lists firings, and so a document several
        times; here a document is where it comes first, and ours are as many as that makes.
        `same_promoted`: promoted and suppressed tokens at the same rank.
        `largest_difference`: between the peaks of contexts, and between logits, that are at the same rank in both.
    """
    counts, contexts, tokens, differences = [], [], [], [0.0]
    for key, other in theirs.items():
        number = int(key)
        counts.append(int(layer.firing_count[number]) == other["firings"])
        documents, peaks = _strongest(layer, number)
        for rank, (document, value) in enumerate(_first_of_each(other["strongest"])):
            here = rank < len(documents) and documents[rank] == document
            contexts.append(here)
            if here:
                differences.append(abs(float(peaks[rank]) - value))
        for end in ("promoted", "suppressed"):
            ids, logits = getattr(layer, f"{end}_ids")[number], getattr(layer, f"{end}_logits")[number]
            same = ids == np.array(other[f"{end}_ids"])
            tokens.extend(same.tolist())
            differences.extend(np.abs(logits - np.array(other[f"{end}_logits"]))[same].tolist())
    return {
        "same_firing_counts": Metric(100 * float(np.mean(counts)), "% of features", better="higher"),
        "same_strongest": Metric(100 * float(np.mean(contexts)), "% of contexts", better="higher"),
        "same_promoted": Metric(100 * float(np.mean(tokens)), "% of tokens", better="higher"),
        "largest_difference": Metric(max(differences), "units of z or logits"),
    }


def _strongest(layer: LayerIndex, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Documents and peaks of a feature's strongest contexts, in order."""
    rows = layer.contexts
    which = np.flatnonzero((rows.feature == number) & (rows.kind == ContextKind.TOP))
    return rows.document[which], rows.peak_value[which]


def _first_of_each(firings: list[tuple[int, int, float]]) -> list[tuple[int, float]]:
    """Each document's strongest firing, as they come."""
    seen: dict[int, float] = {}
    for document, _, value in firings:
        seen.setdefault(document, value)
    return list(seen.items())

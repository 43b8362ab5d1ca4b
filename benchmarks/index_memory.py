"""Memory that one layer of very many features takes while it is indexed, and while its index is finished.

Peak resident size of a process of its own, above what it took before. Codes are synthetic: three quarters of what
fires on a token comes from a set that belongs to the token, the rest from anywhere; tokens follow Zipf's law, strengths
are log-normal. No model is run, and what the weights say is left out.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Metric, Result

K, VOCAB, LENGTH, WINDOWS = 32, 32_768, 64, 64
SIZES = (100_000, 1_000_000)
TOKENS = 1 << 19


def run(quick: bool, features: int | None = None) -> Result:
    """Measures layers of 100,000 and of a million features, or of as many as are named."""
    sizes = (features,) if features else (10_000,) if quick else SIZES
    tokens = 1 << 15 if quick else TOKENS
    metrics: dict[str, Metric] = {}
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.index_memory", str(size), str(tokens)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        for part, taken in found.items():
            metrics[f"{size}_{part}"] = Metric(taken / 2**20, "MiB")
        metrics[f"{size}_a_feature"] = Metric(max(found["accumulating"], found["finishing"]) / size, "B")
    return Result(metrics, {"K": K, "vocabulary": VOCAB, "tokens": tokens})


def measure(n_features: int, n_tokens: int) -> dict[str, int]:
    """Bytes: at the peak of either phase, and what the state's own arrays hold when all is in."""
    from mfn_core.indexing import IndexSettings
    from mfn_core.indexing.accumulator import LayerAccumulator, WindowBatch
    from mfn_core.indexing.finish import finish_layer
    from mfn_core.indexing.from_weights import WeightFacts
    from mfn_core.indexing.ladder import RUNGS

    before = _peak()
    state = LayerAccumulator(n_features, VOCAB, IndexSettings())
    counted = np.ones((WINDOWS, LENGTH), np.bool_)
    for number, (tokens, indices, values) in enumerate(_codes(n_features, n_tokens)):
        # Eight windows to a document.
        document = np.arange(WINDOWS) // 8 + number * WINDOWS // 8
        batch = WindowBatch(document, np.arange(WINDOWS) % 8 * LENGTH, tokens, np.roll(tokens, -1), counted)
        state.add(batch, indices, values)
    held = sum(array.nbytes for array in state.arrays().values())
    accumulating = _peak() - before
    ids, amounts = np.zeros((n_features, 0), np.int32), np.zeros((n_features, 0), np.float32)
    nothing = WeightFacts(ids, amounts, ids, amounts, ids, amounts)
    lengths = np.full(n_tokens // LENGTH // 8, 8 * LENGTH)
    finish_layer(0, state, nothing, lengths, np.ones((RUNGS, 2, VOCAB), np.int64))
    return {"accumulating": accumulating, "finishing": _peak() - before, "state": held}


def _codes(
    n_features: int, n_tokens: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Batches of token ids [W, L], feature ids and strengths [W, L, K]."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, VOCAB + 1)
    shape = (WINDOWS, LENGTH, K)
    for _ in range(n_tokens // (WINDOWS * LENGTH)):
        tokens = rng.choice(VOCAB, shape[:2], p=share / share.sum())
        own = (tokens[..., None] * 40_503 + rng.integers(0, 2 * K, shape) * 9_973) % n_features
        indices = np.sort(np.where(rng.random(shape) < 0.75, own, rng.integers(0, n_features, shape)), axis=-1)
        values = rng.lognormal(0, 0.5, shape).astype(np.float32)
        values[..., 1:][indices[..., 1:] == indices[..., :-1]] = 0  # a feature fires once a token at most
        yield tokens, indices, values


def _peak() -> int:
    """The greatest resident size of this process so far, in bytes."""
    kilo = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:]))))

"""The trainer's step against a plain language-model step of the same base: with all pressures, with one, with none.

The plain step is written out here: forward, cross-entropy, backward, clipping, the same optimisers. It is taken between
the trainer's steps, one and one, so that both see the same machine; α = 1 and K is final from the first step on, and
features that did not fire on the last few steps count as dead, so that AuxK has work.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.harness import MIN_PAIRS, Metric, Paired, Result, Seconds, timed
from mfn_core import MFNModel
from mfn_core.data.mix import TokenRows
from mfn_core.training.building import new_model
from mfn_core.training.checkpoint import Checkpoint
from mfn_core.training.config import MFNTraining, ModelConfig, TrainConfig
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.trainer import Trainer

WARMUP = 3


def run(quick: bool) -> Result:
    """Trains a small Llama, equipped at every block, for a few steps on random tokens, in fp32."""
    model = ModelConfig(width=64, blocks=2, mlp=192, context=32, vocabulary=512) if quick else ModelConfig()
    batch = 2 if quick else 4
    steps = WARMUP + MIN_PAIRS + 1
    layers = MFNTraining(
        layers=tuple(range(model.blocks)),
        n_features=256 if quick else 2048,
        k=8 if quick else 32,
        k_first=8 if quick else 32,
        alpha_from=0.0,
        alpha_until=0.0,
        dead_after=4 * batch * model.context,
    )
    config = TrainConfig(
        tokens=steps * batch * model.context, batch=batch, autocast="none", log_every=steps, model=model, mfn=layers
    )
    metrics = _race("five_pressures", config)
    metrics |= _race(
        "reconstruction_alone", replace(config, mfn=replace(layers, rate=0.0, comp=0.0, stab=0.0, auxk=0.0))
    )
    metrics |= _race("dense_twin", replace(config, mfn=MFNTraining()))
    sizes = {"d": model.width, "blocks": model.blocks, "F": layers.n_features, "K": layers.k}
    return Result(metrics, {**sizes, "batch": batch, "context": model.context, "vocabulary": model.vocabulary})


def _race(name: str, config: TrainConfig) -> dict[str, Metric]:
    rows = np.random.default_rng(0).integers(1, config.model.vocabulary, (config.batch, config.model.context))
    turns = _Turns(rows.astype(np.uint16), _plain_step(config, torch.from_numpy(rows)))
    with tempfile.TemporaryDirectory() as folder:
        Trainer(_new_model(config), config, turns, Path(folder)).run()
    timing = Paired.of(turns.pairs[WARMUP:])
    ours, _ = timing.times()
    ratios = {f"{name}_over_plain_step": timing.ratio(), f"{name}_over_plain_step_cpu": timing.processor_ratio()}
    return {**ratios, f"{name}_step": ours}


@dataclass
class _Turns:
    """The same rows at every step. Whenever the trainer asks for them, the plain step is taken and both are timed."""

    rows: TokenRows
    plain: Callable[[], object]
    start: int = 0
    pairs: list[tuple[Seconds, Seconds]] = field(default_factory=list)
    _other: Seconds | None = None
    _left: Seconds | None = None

    def take(self, step: int) -> TokenRows:
        if self._left is not None and self._other is not None:
            ours = Seconds(time.perf_counter() - self._left.clock, time.process_time() - self._left.processor)
            self.pairs.append((ours, self._other))
        self._other = timed(self.plain)
        self._left = Seconds(time.perf_counter(), time.process_time())
        return self.rows

    def preview(self, count: int) -> TokenRows:
        return self.rows[:count]

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        return {}, {}

    def load(self, found: Checkpoint) -> None:
        raise NotImplementedError("a benchmark is not taken up again")


def _plain_step(config: TrainConfig, ids: torch.Tensor) -> Callable[[], object]:
    model = _new_model(replace(config, mfn=MFNTraining()))
    optimizers = Optimizers(model, config.optimizer)

    def step() -> None:
        optimizers.zero_grad()
        logits = model.base(input_ids=ids, use_cache=False).logits
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()  # type: ignore[no-untyped-call]
        optimizers.clip()
        optimizers.step(1.0, 1.0)

    return step


def _new_model(config: TrainConfig) -> MFNModel:
    return new_model(config, range(config.model.vocabulary)).eval()

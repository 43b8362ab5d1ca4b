"""The training loop: forward, weighted losses, backward, step; checkpointed, exact on resume."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mfn_core.data.mix import TokenRows
from mfn_core.errors import MFNError
from mfn_core.model import MFNModel
from mfn_core.training import checkpoint
from mfn_core.training.average import WeightAverage
from mfn_core.training.batches import Batches
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import evaluate
from mfn_core.training.log import FigureMeans, Log, Metrics
from mfn_core.training.objective import Batch, Objective
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.pressures import Pressures
from mfn_core.training.schedules import warmup_cosine


class Trainer:
    """Trains one model.

    What the loop keeps besides weights is in the optimisers, the objective's statistics and, where it is on, the mean
    of the weights. All that looks random follows from the seed and the step, so that there is no state of a random
    number generator to keep.
    """

    def __init__(
        self,
        model: MFNModel,
        config: TrainConfig,
        batches: Batches,
        folder: Path,
        valid: TokenRows | None = None,
        report: Callable[[Metrics], None] | None = None,
    ) -> None:
        """Takes up the newest checkpoint of the folder, if there is one.

        Args:
            model: freshly initialised, equipped as the config says.
            config: of the run.
            batches: where the rows of a step come from.
            folder: receives `metrics.jsonl` and `checkpoints/`.
            valid: rows to measure on every `eval_every` steps.
            report: called with each line of metrics.
        """
        self.model, self.config, self.batches, self.folder, self.valid = model, config, batches, folder, valid
        self.optimizers = Optimizers(model, config.optimizer)
        self.objective: Objective = Pressures(model, config)
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.log = Log(folder, report)
        self._resume()

    def run(self) -> None:
        """Trains to the end.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM, after the step at hand is finished and the state is saved.
            MFNError: the loss is no longer a number.
        """
        config = self.config
        # Without dropout: a text is seen once or a few times, and nothing in a run is to be random (ours).
        self.model.eval()
        began, first = time.monotonic(), self.step
        with Interruption() as interruption:
            while self.step < config.steps:
                metrics = self._train_step()
                self.step += 1
                done = self.step == config.steps
                if self.step % config.log_every == 0 or done:
                    rate = (self.step - first) * config.tokens_per_step / (time.monotonic() - began)
                    self.log.write({**metrics, "tokens_per_second": round(rate, 1)})
                if self.valid is not None and (self.step % config.eval_every == 0 or done):
                    self._measure(self.valid)
                if self.step % config.checkpoint_every == 0 or done or interruption.wished:
                    self.save()
                if interruption.wished and not done:
                    raise KeyboardInterrupt

    def _train_step(self) -> Metrics:
        metrics: Metrics = {"step": self.step + 1, "tokens": (self.step + 1) * self.config.tokens_per_step}
        schedule = self.objective.begin(self.step)
        self.optimizers.zero_grad()
        total, figures = 0.0, FigureMeans(parts=1)
        for batch in self._parts():
            losses = self.objective.losses(batch)
            with self.model.stage.use(losses.run):
                losses.total.backward()  # type: ignore[no-untyped-call]
            total += float(losses.total.detach())
            figures.add(losses.figures)
        if not math.isfinite(total):
            raise MFNError(f"the loss is {total} at step {self.step}: lower the learning rates (optimizer.lr, …)")
        self.objective.project()
        norms = self.optimizers.clip()
        self.optimizers.step(self._rate_factor())
        self.objective.settle(self.optimizers)
        if self.average is not None:
            self.average.update(self.step + 1)
        sizes = {name: round(float(norm), 4) for name, norm in norms.items()}
        return {**metrics, "loss": round(total, 5), **figures.numbers(), "gradient_norm": sizes, **schedule}

    def _parts(self) -> Iterator[Batch]:
        rows = torch.from_numpy(self.batches.take(self.step).astype(np.int64)).to(self.model.device)
        yield Batch(rows, rows != self.batches.start, self.step, number=0, last=True)

    def _rate_factor(self) -> float:
        settings = self.config.optimizer
        return warmup_cosine(self.step / self.config.steps, settings.warmup, settings.floor)

    def _measure(self, valid: TokenRows) -> None:
        with self._averaged():
            score = evaluate(self.model, valid, self.batches.start)
        self.log.write({"step": self.step, "valid": score.to_json()})

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.used()

    def save(self) -> None:
        """Writes a checkpoint of the state after the steps done so far."""
        parts = {
            "model": self.model.base.state_dict(),
            "optimizer": self.optimizers.tensors(),
            "objective": self.objective.tensors(),
            "average": {} if self.average is None else self.average.mean,
        }
        tensors = {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
        self.log.flush()
        checkpoint.save(self.folder / "checkpoints", checkpoint.Checkpoint(self.step, tensors, {}))

    def _resume(self) -> None:
        found = checkpoint.load_latest(self.folder / "checkpoints")
        self.log.cut(0 if found is None else found.step)
        if found is None:
            return
        self.model.base.load_state_dict(found.part("model"))
        self.optimizers.load_tensors(found.part("optimizer"))
        self.objective.load_tensors(found.part("objective"))
        if self.average is not None:
            self.average.mean = {k: v.to(self.model.device) for k, v in found.part("average").items()}
        self.step = found.step


class Interruption:
    """Turns Ctrl-C and SIGTERM into a wish that is granted between steps; a second one interrupts at once.

    An interrupt in mid-step could leave weights that one optimiser has moved and the other has not. Outside of the main
    thread, which alone receives signals, this does nothing.
    """

    def __init__(self) -> None:
        self.wished = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True


def new_model(config: TrainConfig, tokenizer: Any) -> MFNModel:
    """The model of a config, freshly initialised from its seed.

    The Transformer's initial weights depend on the seed alone, so that a dense twin starts from the same ones.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    shape = config.model
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.blocks,
            num_attention_heads=shape.heads,
            max_position_embeddings=shape.context,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=None,
        )
    )
    return MFNModel.equip(base, config.mfn.equipment(shape.blocks), tokenizer)

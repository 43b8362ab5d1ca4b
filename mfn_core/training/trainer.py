"""The training loop: forward, weighted losses, backward, step; checkpointed, exact on resume."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mfn_core.data.mix import TokenRows
from mfn_core.errors import ConfigError, MFNError
from mfn_core.model import MFNModel
from mfn_core.training import checkpoint
from mfn_core.training.average import WeightAverage
from mfn_core.training.batches import Batches
from mfn_core.training.building import objective_of
from mfn_core.training.calibrate import begin_layers
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import evaluate
from mfn_core.training.log import FigureMeans, Log
from mfn_core.training.metrics import Metrics
from mfn_core.training.objective import Batch, load_state, state_of
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.parallel import average_gradients, let_go, placed, shard, whole
from mfn_core.training.pressures import since_entry
from mfn_core.training.recompute import recompute_blocks
from mfn_core.training.schedules import two_falls, warmup_cosine
from mfn_core.world import World

DENSE = "dense"  # where a run keeps what it was before layers entered


class Trainer:
    """Trains one model, on this process alone or on all that `torch.distributed` was started with.

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
        report: Callable[[Metrics], object] | None = None,
    ) -> None:
        """Takes up the newest checkpoint of the folder, if there is one.

        Args:
            model: freshly made, equipped as the config says; on its device.
            config: of the run.
            batches: where the rows of a step come from.
            folder: receives `metrics.jsonl` and `checkpoints/`.
            valid: rows to measure on every `eval_every` steps.
            report: called with each line of metrics, on the first process.

        Raises:
            ConfigError: the batch cannot be divided as the config asks, or nothing is to be trained.
        """
        self.model, self.config, self.batches, self.folder, self.valid = model, config, batches, folder, valid
        self.world = World.current()
        self.rows = _rows_of_a_part(config, self.world)
        # Without dropout: a text is seen once or a few times, and nothing in a run is to be random (ours).
        model.eval()
        if config.machine.checkpoint_gradients:
            recompute_blocks(model)
        self.sharded = config.machine.parallel == "fsdp" and self.world.size > 1
        if self.sharded and config.entry:
            raise ConfigError("layers that enter later (mfn.enter) need machine.parallel = ddp: they begin whole")
        if self.sharded and config.sae.layers:
            raise ConfigError("SAEs are trained with machine.parallel = ddp: their losses read whole decoders")
        if self.sharded:
            shard(model, self.world)
        self.objective = objective_of(model, config, self.world)
        self.optimizers = Optimizers(model, config.optimizer)
        self.average = WeightAverage(model, self.objective, config.ema) if config.ema else None
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.log = Log(folder, report, self.world.rank)
        self._resume()

    def run(self) -> None:
        """Trains to the end.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM, after the step at hand is finished and the state is saved.
            MFNError: the loss is no longer a number.
        """
        config = self.config
        began, first = time.monotonic(), self.step
        if self.step == 0 and config.base.path and self.valid is not None:
            self.model.set_alpha(0.0)
            self._measure(self.valid)  # of the base as it was found
        with Interruption() as interruption:
            while self.step < config.steps:
                if self.step == config.entry > 0:
                    self._enter()
                metrics = self._train_step()
                self.step += 1
                done = self.step == config.steps
                if self.step % config.log_every == 0 or done:
                    rate = (self.step - first) * config.tokens_per_step / (time.monotonic() - began)
                    self.log.write({**metrics, "tokens_per_second": round(rate, 1)})
                if self.valid is not None and (self.step % config.eval_every == 0 or done):
                    self._measure(self.valid)
                stop = self._any(interruption.wished)
                if self.step % config.checkpoint_every == 0 or done or stop:
                    self.save()
                if stop and not done:
                    raise KeyboardInterrupt

    def _train_step(self) -> Metrics:
        metrics: Metrics = {"step": self.step + 1, "tokens": (self.step + 1) * self.config.tokens_per_step}
        schedule = self.objective.begin(self.step)
        self.optimizers.zero_grad()
        parts = self.config.machine.accumulate
        total, figures = 0.0, FigureMeans(parts)
        for batch in self._parts(parts):
            losses = self.objective.losses(batch)
            with self.model.stage.use(losses.run):
                (losses.total / parts).backward()  # type: ignore[no-untyped-call]
            total += float(losses.total.detach()) / parts
            figures.add(losses.figures)
        if not math.isfinite(total):
            raise MFNError(f"the loss is {total} at step {self.step}: lower the learning rates (optimizer.lr, …)")
        average_gradients(self.optimizers.parameters, self.world)
        self.objective.project()
        norms = self.optimizers.clip()
        self.optimizers.step(*self._rate_factors())
        self.objective.settle(self.optimizers)
        if self.average is not None:
            self.average.update(self.step + 1)
        sizes = {name: round(float(norm), 4) for name, norm in norms.items()}
        return {**metrics, "loss": round(total, 5), **figures.numbers(), "gradient_norm": sizes, **schedule}

    def _parts(self, parts: int) -> Iterator[Batch]:
        """This process's share of the step's rows: of each part, which all processes take together, its own piece."""
        rows = self.batches.take(self.step)
        for part in range(parts):
            number = part * self.world.size + self.world.rank
            own = rows[number * self.rows : (number + 1) * self.rows]
            ids = torch.from_numpy(own.astype(np.int64)).to(self.model.device)
            yield Batch(ids, ids != self.batches.start, self.step, number, last=part + 1 == parts)

    def _rate_factors(self) -> tuple[float, float]:
        """Of the Transformer's learning rates, and of the features', whose time begins when they enter."""
        settings, progress = self.config.optimizer, self.step / self.config.steps
        own = since_entry(self.config, self.step)
        falls = settings.hold, settings.settle, settings.settled
        return (
            two_falls(progress, settings.warmup, *falls, settings.floor),
            warmup_cosine(own, settings.warmup, settings.floor),
        )

    def _enter(self) -> None:
        """Puts the layers in: they begin at what has come to pass through them. A copy of the state is kept first."""
        self.save(DENSE)
        begin_layers(self.model, self.config, self.batches, self.step)

    def _measure(self, valid: TokenRows) -> None:
        with self._averaged():
            score = evaluate(self.model, valid, self.batches.start, world=self.world)
        self.log.write({"step": self.step, "valid": score.to_json()})

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The mean of the weights takes their place, if there is one. Nothing gathered of it is left behind."""
        if self.average is None:
            yield
        else:
            with self.average.used():
                yield
        if self.sharded:
            let_go(self.model)

    def _any(self, wished: bool) -> bool:
        """Whether some process was asked to stop: all stop after the same step."""
        if self.world.size == 1:
            return wished
        return bool(self.world.sum(torch.tensor(float(wished), device=self.model.device)))

    def save(self, place: str = "checkpoints") -> None:
        """Writes a checkpoint of the state after the steps done so far. Every process has to take part."""
        parts = {
            "model": self.model.base.state_dict(),
            "optimizer": self.optimizers.tensors(),
            "objective": state_of(self.objective),
            "average": {} if self.average is None else self.average.mean,
        }
        state, parts["stream"] = self.batches.state()
        tensors = checkpoint.joined({p: {n: whole(tensor) for n, tensor in part.items()} for p, part in parts.items()})
        if self.world.rank == 0:
            self.log.flush()
            checkpoint.save(self.folder / place, checkpoint.Checkpoint(self.step, tensors, state))
        self.world.wait()

    def _resume(self) -> None:
        found = checkpoint.load_latest(self.folder / "checkpoints")
        self.world.wait()
        self.log.cut(0 if found is None else found.step)
        if found is None:
            return
        own, theirs = self.model.base.state_dict(), found.part("model")
        assert own.keys() == theirs.keys(), "the checkpoint is of another model"
        for name, tensor in theirs.items():
            own[name].copy_(placed(tensor, own[name]))
        self.optimizers.load_tensors(found.part("optimizer"))
        load_state(self.objective, found.part("objective"))
        if self.average is not None:
            self.average.load(found.part("average"))
        self.batches.load(found)
        self.step = found.step


def _rows_of_a_part(config: TrainConfig, world: World) -> int:
    """Rows that a process takes at once.

    Raises:
        ConfigError: the batch cannot be divided so.
    """
    pieces = world.size * config.machine.accumulate
    if config.batch % pieces:
        raise ConfigError(
            f"batch ({config.batch}) must be a multiple of processes ({world.size}) × machine.accumulate "
            f"({config.machine.accumulate})"
        )
    return config.batch // pieces


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

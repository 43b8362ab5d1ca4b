"""The training loop: forward, weighted losses, backward, unit-norm decoders; checkpointed, exact on resume."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.config import MFNConfig
from mfn_core.losses import DeadFeatures, Reconstruction, Utility
from mfn_core.model import MFNModel
from mfn_core.run import Revive
from mfn_core.training import checkpoint
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import evaluate
from mfn_core.training.optimizer import Optimizers
from mfn_core.training.schedules import anneal_k, ramp, warmup_cosine

Metrics = dict[str, Any]


class Trainer:
    """Trains one model on packed rows.

    What the loop keeps besides weights and optimiser state is, per layer, the step at which each feature last fired.
    Rows are taken in their order, so that the step alone says what comes next.
    """

    def __init__(
        self,
        model: MFNModel,
        config: TrainConfig,
        rows: NDArray[np.uint16],
        folder: Path,
        valid: NDArray[np.uint16] | None = None,
        report: Callable[[Metrics], None] | None = None,
    ) -> None:
        """Takes up the newest checkpoint of the folder, if there is one.

        Args:
            model: freshly initialised; equipped at `config.mfn.layers`.
            config: of the run.
            rows: [≥ steps·batch, context] token ids.
            folder: receives `metrics.jsonl` and `checkpoints/`.
            valid: rows to measure on every `eval_every` steps.
            report: called with each line of metrics.
        """
        if len(rows) < config.steps * config.batch:
            raise ValueError(f"{len(rows)} rows are too few for {config.steps} steps of {config.batch}")
        self.model, self.config, self.rows, self.folder, self.valid = model, config, rows, folder, valid
        self.report = report
        self.optimizers = Optimizers(model, config.optimizer)
        self.last_fired = {
            number: torch.zeros(layer.n_features, dtype=torch.int64, device=model.device)
            for number, layer in model.mfn_layers.items()
        }
        self.utility, self.recon, self.auxk = Utility(), Reconstruction(), DeadFeatures()
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self) -> None:
        """Trains to the end.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM, after the step at hand is finished and the state is saved.
            FloatingPointError: the loss is no longer a number.
        """
        self.model.train()
        began, first = time.monotonic(), self.step
        with Interruption() as interruption:
            while self.step < self.config.steps:
                metrics = self._train_step()
                self.step += 1
                done = self.step == self.config.steps
                if self.step % self.config.log_every == 0 or done:
                    rate = (self.step - first) * self.config.tokens_per_step / (time.monotonic() - began)
                    self._log({**metrics, "tokens_per_second": round(rate, 1)})
                if self.valid is not None and (self.step % self.config.eval_every == 0 or done):
                    self._log({"step": self.step, "valid": evaluate(self.model, self.valid).to_json()})
                if self.step % self.config.checkpoint_every == 0 or done or interruption.wished:
                    self.save()
                if interruption.wished and not done:
                    raise KeyboardInterrupt

    def _train_step(self) -> Metrics:
        config, model = self.config, self.model
        apply_schedules(model, config, self.step)
        span = slice(self.step * config.batch, (self.step + 1) * config.batch)
        ids = torch.from_numpy(self.rows[span].astype(np.int64)).to(model.device)
        keep = ids != 0
        with self._autocast():
            out = model(ids, branch="train" if model.mfn_layers else "none", revive=self._revive())
        loss = utility = self.utility(out.logits[:, :-1], ids[:, 1:])
        recon: dict[int, Tensor] = {}
        dead_share: dict[int, float] = {}
        for number, trace in out.traces.items():
            recon[number] = self.recon(trace, keep)
            dead_share[number] = float(self._dead(number).float().mean())
            self.last_fired[number][trace.raw_codes.indices[trace.raw_codes.values > 0]] = self.step
            revival = self.auxk(trace, keep)
            loss = loss + (config.mfn.recon * recon[number] + config.mfn.auxk * revival) / len(out.traces)
        self.optimizers.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for layer in model.mfn_layers.values():
            layer.project_decoder_grad_()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip)
        self.optimizers.step(warmup_cosine(self.step / config.steps, config.optimizer.warmup, config.optimizer.floor))
        for layer in model.mfn_layers.values():
            layer.normalize_decoder_()
        total = float(loss.detach())
        if not math.isfinite(total):
            raise FloatingPointError(f"the loss is {total} at step {self.step}: lower the learning rates")
        metrics: Metrics = {
            "step": self.step + 1,
            "tokens": (self.step + 1) * config.tokens_per_step,
            "loss": round(total, 5),
            "utility": round(float(utility.detach()), 5),
            "gradient_norm": round(float(norm), 4),
        }
        if model.mfn_layers:
            some = next(iter(model.mfn_layers.values()))
            metrics |= {
                "alpha": round(some.alpha, 4),
                "k": some.k,
                "fvu": {n: round(float(value.detach()), 4) for n, value in recon.items()},
                "dead": {n: round(value, 4) for n, value in dead_share.items()},
            }
        return metrics

    def _dead(self, number: int) -> Tensor:
        """bool [F]: which features of a layer have been silent for `dead_after` tokens."""
        return dead_features(self.last_fired[number], self.step, self.config)

    def _revive(self) -> dict[int, Revive]:
        return {number: Revive(self._dead(number), self.config.mfn.auxk_k) for number in self.model.mfn_layers}

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.autocast == "none":
            return nullcontext()
        return torch.autocast(self.model.device.type, torch.bfloat16)

    def _log(self, metrics: Metrics) -> None:
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(metrics) + "\n")
        if self.report is not None:
            self.report(metrics)

    def save(self) -> None:
        """Writes a checkpoint of the state after the steps done so far."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.base.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizers.tensors().items()}
        tensors |= {f"last_fired.{number}": tensor for number, tensor in self.last_fired.items()}
        checkpoint.save(self.folder / "checkpoints", checkpoint.Checkpoint(self.step, tensors, {}))

    def _resume(self) -> None:
        found = checkpoint.load_latest(self.folder / "checkpoints")
        log = self.folder / "metrics.jsonl"
        if found is None:
            log.unlink(missing_ok=True)
            return
        self.model.base.load_state_dict(found.part("model"))
        self.optimizers.load_tensors(found.part("optimizer"))
        for number, last in found.part("last_fired").items():
            self.last_fired[int(number)] = last.to(self.model.device)
        self.step = found.step
        kept = [line for line in read_metrics(log) if line["step"] <= self.step]  # later steps will be done again
        draft = log.with_suffix(".draft")
        draft.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        draft.replace(log)


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


def apply_schedules(model: MFNModel, config: TrainConfig, step: int) -> None:
    """Gives every layer the α and K that it has in the step that follows `step` finished ones."""
    progress = step / config.steps
    for layer in model.mfn_layers.values():
        layer.alpha = ramp(progress, config.mfn.alpha_from, config.mfn.alpha_until)
        layer.k = anneal_k(progress, config.mfn.k_first, config.mfn.k, config.mfn.k_until)


def dead_features(last_fired: Tensor, step: int, config: TrainConfig) -> Tensor:
    """bool [F]: silent for more than `mfn.dead_after` tokens.

    Args:
        last_fired: int64 [F], the step at which each feature last fired.
        step: the present one.
        config: of the run.
    """
    return (step - last_fired) * config.tokens_per_step > config.mfn.dead_after


def read_metrics(log: Path) -> list[Metrics]:
    """The lines of a `metrics.jsonl`, none where there is no file. A line cut off by a crash is left out."""
    lines: list[Metrics] = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


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
    layers = MFNConfig.uniform(list(config.mfn.layers), config.mfn.layer())
    return MFNModel.equip(base, layers, tokenizer)

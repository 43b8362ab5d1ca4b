"""Which optimiser moves which weights.

Muon (orthogonalised momentum) moves the Transformer's inner matrices, AdamW all the rest: embeddings, norms and the
layers of features, whose rows are separate features and gain nothing from being orthogonalised together. Measured on
this project's text (5 M parameters, 0.6 M tokens): held-out loss 5.34 against 6.06 for AdamW alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from mfn_core.errors import ConfigError
from mfn_core.model import MFNModel


@dataclass(frozen=True)
class OptimizerConfig:
    """Learning rates at their peak, by what they move.

    Attributes:
        lr: embeddings and norms of the Transformer.
        matrix_lr: the Transformer's inner matrices.
        mfn_lr: the layers of features.
        matrices: the optimiser of the inner matrices, `muon` or `adamw`.
        weight_decay: on the inner matrices alone.
        warmup: share of the steps over which the rates rise.
        floor: share of the peak that is left at the end of the cosine.
        clip: largest norm of the gradient.
    """

    lr: float = 4e-3
    matrix_lr: float = 4e-3
    mfn_lr: float = 2e-3
    matrices: str = "muon"
    weight_decay: float = 0.1
    warmup: float = 0.03
    floor: float = 0.03
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.matrices not in ("muon", "adamw"):
            raise ConfigError(f"optimizer.matrices must be muon or adamw, not {self.matrices!r}")
        if min(self.lr, self.matrix_lr, self.mfn_lr, self.clip) <= 0:
            raise ConfigError("optimizer.lr, matrix_lr, mfn_lr and clip must be positive")
        if self.weight_decay < 0 or not 0 <= self.floor <= 1 or not 0 <= self.warmup < 1:
            raise ConfigError("optimizer.weight_decay must not be negative; warmup and floor are shares, 0 to 1")


class Optimizers:
    """The optimisers of one model, stepped together."""

    def __init__(self, model: MFNModel, config: OptimizerConfig) -> None:
        self.config = config
        features = {id(p) for layer in model.coders.values() for p in layer.parameters()}
        blocks = model.family.blocks(model.base)
        inner = {id(p) for p in blocks.parameters() if p.ndim == 2 and id(p) not in features}
        groups: dict[str, list[nn.Parameter]] = {"matrices": [], "mfn": [], "rest": []}
        for parameter in model.parameters():
            kind = "mfn" if id(parameter) in features else "matrices" if id(parameter) in inner else "rest"
            groups[kind].append(parameter)
        adam = [
            {"params": groups["rest"], "lr": config.lr, "weight_decay": 0.0},
            {"params": groups["mfn"], "lr": config.mfn_lr, "weight_decay": 0.0},
        ]
        decayed = {"params": groups["matrices"], "lr": config.matrix_lr, "weight_decay": config.weight_decay}
        self._all: dict[str, Optimizer] = {}
        if config.matrices == "muon":
            self._all["muon"] = Muon([decayed], adjust_lr_fn="match_rms_adamw")
        else:
            adam.append(decayed)
        self._all["adamw"] = AdamW([group for group in adam if group["params"]], betas=(0.9, 0.95))
        self._peaks = {name: [float(g["lr"]) for g in opt.param_groups] for name, opt in self._all.items()}

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for optimizer in self._all.values():
            optimizer.zero_grad(set_to_none=True)

    def step(self, factor: float) -> None:
        """One step of all, at `factor` times the peak learning rates."""
        for name, optimizer in self._all.items():
            for group, peak in zip(optimizer.param_groups, self._peaks[name], strict=True):
                group["lr"] = peak * factor
            optimizer.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as named tensors, for a checkpoint."""
        out: dict[str, torch.Tensor] = {}
        for name, optimizer in self._all.items():
            for number, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    out[f"{name}.{number}.{key}"] = torch.as_tensor(value)
        return out

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes up what `tensors` gave."""
        for name, optimizer in self._all.items():
            data: dict[str, Any] = optimizer.state_dict()
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in tensors.items():
                owner, number, entry = key.split(".", 2)
                if owner == name:
                    state.setdefault(int(number), {})[entry] = value
            data["state"] = state
            optimizer.load_state_dict(data)

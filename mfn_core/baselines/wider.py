"""Wider MLPs, the same function: what a dense model is given to be as large as one with layers of features."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from mfn_core.errors import ConfigError

GATED = ("gate_proj", "up_proj", "down_proj")


def widen_mlps(base: PreTrainedModel, channels: int) -> None:
    """Gives each gated MLP of a model more channels, in place. What the model computes does not change.

    New channels read the stream through random weights and write zeros, so that they begin to learn with the first
    step (growth that preserves the function: Chen, Goodfellow and Shlens 2016, "Net2Net", section 2). A layer of F
    features on a stream of width d has as many weights as 2 F / 3 channels.

    Args:
        base: a model whose MLPs are `down_proj(act(gate_proj(x)) · up_proj(x))` without biases, as Llama's are.
        channels: of each MLP afterwards, counted as its config counts them (`intermediate_size`).

    Raises:
        ConfigError: it has other MLPs, or no fewer channels.
    """
    config: Any = base.config
    mlps = [module for module in base.modules() if all(_plain(getattr(module, name, None)) for name in GATED)]
    if len(mlps) != config.num_hidden_layers:
        raise ConfigError(
            f"base.mlp widens gated MLPs without biases, as Llama's are; a {config.model_type} has others"
        )
    if channels <= config.intermediate_size:
        raise ConfigError(f"base.mlp must be more than the {config.intermediate_size} channels that the MLPs have")
    for mlp in mlps:
        for name in GATED:
            setattr(mlp, name, _wider(getattr(mlp, name), channels, config.initializer_range, name == "down_proj"))
        mlp.intermediate_size = channels  # type: ignore[assignment]  # an attribute of the class, not a submodule
    config.intermediate_size = channels


def _plain(module: Any) -> bool:
    return isinstance(module, nn.Linear) and module.bias is None


def _wider(old: nn.Linear, channels: int, scale: float, is_output: bool) -> nn.Linear:
    shape = (channels, old.out_features) if is_output else (old.in_features, channels)
    new = nn.Linear(*shape, bias=False, device=old.weight.device, dtype=old.weight.dtype)
    with torch.no_grad():
        if is_output:
            new.weight.zero_()
        else:
            new.weight.normal_(0.0, scale)
        new.weight[: old.out_features, : old.in_features] = old.weight
    return new

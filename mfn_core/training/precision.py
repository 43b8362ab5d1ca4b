"""The precision of a run's forward passes: bfloat16 where the machine multiplies in it faster than in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

CHOICES = ("auto", "bf16", "none")


def resolved(choice: str, device: torch.device) -> str:
    """What a config's `autocast` comes to on a device: `bf16` or `none`."""
    if choice == "auto":
        return "bf16" if has_bf16_units(device) else "none"
    return choice


def has_bf16_units(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware. Where it does not, PyTorch imitates it, many times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    return any(value for name, value in torch.cpu.get_capabilities().items() if "bf16" in name)


def autocast(choice: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context of a forward pass under a config's `autocast`."""
    return torch.autocast(device.type, torch.bfloat16) if resolved(choice, device) == "bf16" else nullcontext()

"""Which device the work is done on."""

from __future__ import annotations

import torch

from mfn_core.errors import ConfigError


def find_device(name: str = "auto") -> torch.device:
    """The device of that name, looked at once, so that one that is not there is told of at once.

    Args:
        name: `auto` (CUDA where there is one, else the processor), or as torch names it: `cpu`, `cuda:1`, `mps`.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name} cannot be used: {str(error).splitlines()[0]}") from error
    return device

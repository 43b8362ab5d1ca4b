"""Gradient checkpointing: what lies within blocks is forgotten, and computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from mfn_core.model import MFNModel


def recompute_blocks(model: MFNModel) -> None:
    """Switches it on. transformers has a block recompute where the block itself, not its parts, is in training mode.

    Blocks that drop channels in their own code (OPT's) drop none from here on.
    """
    # The older name goes in transformers 6; the newer one came after 5.10.
    base: Any = model.base
    enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    for block in model.family.blocks(model.base):
        if isinstance(getattr(block, "dropout", None), float):
            block.dropout = 0.0  # type: ignore[assignment]
    _set(model, True)


@contextmanager
def not_recomputed(model: MFNModel) -> Iterator[None]:
    """Off for as long as this is open: for passes that have no backward one, or whose run is another."""
    blocks = model.family.blocks(model.base)
    before = [block.training for block in blocks]
    _set(model, False)
    try:
        yield
    finally:
        for block, training in zip(blocks, before, strict=True):
            block.training = training


def _set(model: MFNModel, training: bool) -> None:
    blocks: nn.ModuleList = model.family.blocks(model.base)
    for block in blocks:
        block.training = training

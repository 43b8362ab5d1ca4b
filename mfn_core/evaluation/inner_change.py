"""What changes within the blocks of a model when something is turned: attention patterns, and what attention and MLPs
write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mfn_core.model import MFNModel


@dataclass(frozen=True)
class BlockChange:
    """How far one block differs between two passes, at the last token.

    Attributes:
        block: its number.
        pattern: half the sum of absolute differences of a head's attention over positions (total variation, from 0 to
            1), on the mean over heads.
        attention, mlp: length of the difference of what it writes, over the length of what it wrote.
    """

    block: int
    pattern: float
    attention: float
    mlp: float


@dataclass
class Inside:
    """What the blocks did in a pass of some rows, at the last token.

    Attributes:
        patterns: by block, [R, heads, T].
        attention, mlp: by block, [R, d].
    """

    patterns: dict[int, Tensor]
    attention: dict[int, Tensor]
    mlp: dict[int, Tensor]

    def changes(self, row: int, other: int, first: int = 0) -> list[BlockChange]:
        """Of one row to another, in the blocks from `first` on."""
        return [
            BlockChange(
                block,
                float((self.patterns[block][row] - self.patterns[block][other]).abs().sum(-1).mean()) / 2,
                _relative(self.attention[block], row, other),
                _relative(self.mlp[block], row, other),
            )
            for block in sorted(self.mlp)
            if block >= first
        ]


def _relative(values: Tensor, row: int, other: int) -> float:
    return float((values[other] - values[row]).norm() / values[row].norm().clamp_min(1e-12))


@contextmanager
def watched(model: MFNModel) -> Iterator[Inside]:
    """For as long as it is open, each forward pass of the model leaves here what its blocks did. Attention is computed
    by the plain formula meanwhile, which alone tells its patterns."""
    found = Inside({}, {}, {})
    was = model.base.config._attn_implementation
    model.base.set_attn_implementation("eager")
    handles = []
    for number in range(model.n_blocks):
        handles.append(model.family.attention(model.base, number).register_forward_hook(_attention(found, number)))
        handles.append(model.family.mlp_out(model.base, number).register_forward_hook(_mlp(found, number)))
    try:
        with torch.no_grad():
            yield found
    finally:
        for handle in handles:
            handle.remove()
        model.base.set_attn_implementation(was)


def _attention(found: Inside, number: int) -> Any:
    def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        found.attention[number] = output[0][:, -1]
        found.patterns[number] = output[1][:, :, -1]

    return keep


def _mlp(found: Inside, number: int) -> Any:
    def keep(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        found.mlp[number] = output[:, -1]

    return keep

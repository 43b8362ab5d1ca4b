"""The processes that share one batch. Its statistics are theirs together; a process alone is the simplest case."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """What a loss needs to know of the other processes.

    Attributes:
        size: how many processes there are.
        rank: which one this is.
    """

    size: int = 1
    rank: int = 0

    @classmethod
    def current(cls) -> World:
        """The processes that `torch.distributed` was started with; this one alone where it was not."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_world_size(), dist.get_rank())
        return ALONE

    @torch.no_grad()
    def sum(self, value: Tensor) -> Tensor:
        """The sum over processes, without gradient. The same shape."""
        total = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    @torch.no_grad()
    def gather(self, value: Tensor) -> Tensor:
        """[size, ...]: every process's value by rank, without gradient. All must have the same shape."""
        if self.size == 1:
            return value.detach()[None]
        parts = [torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, value.detach().contiguous())
        return torch.stack(parts)

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            dist.barrier()


ALONE = World()

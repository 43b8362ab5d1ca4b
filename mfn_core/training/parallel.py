"""Several processes on one run: who they are, what they share, and how their gradients meet.

Gradients are averaged by hand after the backward pass instead of by `DistributedDataParallel`: a step has two forward
passes and one backward pass, which its reducer does not foresee. The price is that nothing is sent while the backward
pass is still going on. FSDP2 (`fully_shard`) sends as it goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mfn_core.device import find_device
from mfn_core.model import MFNModel
from mfn_core.world import World

BUCKET = 2**25  # numbers that are averaged at once


@contextmanager
def processes(device: str) -> Iterator[torch.device]:
    """Joins the processes that `torchrun` started, for as long as this is open; nothing where it started none.

    Args:
        device: `auto`, or as torch names it.

    Yields:
        The device of this process.

    Raises:
        ConfigError: there is no such device.
    """
    place = _device(device)
    joins = "WORLD_SIZE" in os.environ and not dist.is_initialized()
    if joins:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield place
    finally:
        if joins:
            dist.destroy_process_group()


def _device(name: str) -> torch.device:
    """The device of this process: of several accelerators, the one that `torchrun` gave it."""
    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return find_device(name)
    device = find_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    torch.cuda.set_device(device)
    return device


def shard(model: MFNModel, world: World) -> None:
    """Spreads the weights of a model over the processes, block by block.

    What a block gathered for the clean pass is kept for the perturbed one; the backward pass lets go of it.
    """
    mesh = init_device_mesh(model.device.type, (world.size,))
    for block in model.family.blocks(model.base):
        fully_shard(block, mesh=mesh, reshard_after_forward=False)
    fully_shard(model.base, mesh=mesh, reshard_after_forward=False)
    # FSDP2 learns of a backward pass from what blocks put out: with a frozen base and α = 0 that had no gradient.
    model.base.get_input_embeddings().register_forward_hook(_ask_for_gradient)


def _ask_for_gradient(module: nn.Module, args: tuple[object, ...], output: Tensor) -> Tensor:
    return output if output.requires_grad else output.requires_grad_()


def let_go(model: MFNModel) -> None:
    """Forgets gathered weights, after a forward pass without a backward one: the next may find others."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Gives every process the mean of the processes' gradients. Sharded parameters have theirs already."""
    if world.size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None and not isinstance(p.grad, DTensor)]
    bucket: list[Tensor] = []
    for number, gradient in enumerate(gradients):
        bucket.append(gradient)
        full = sum(g.numel() for g in bucket) >= BUCKET
        if full or number + 1 == len(gradients) or gradients[number + 1].dtype != gradient.dtype:
            flat = torch.cat([g.reshape(-1) for g in bucket])
            dist.all_reduce(flat)
            flat.div_(world.size)
            for own, mean in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
                own.copy_(mean.view_as(own))
            bucket = []


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, gathered from the processes if it is sharded. Every process has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of another, and spread over the processes as that one is."""
    tensor = tensor.to(like.device)
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def set_rows(tensor: Tensor, numbers: Tensor, values: Tensor | float) -> None:
    """Writes whole rows, of which each process has some if the tensor is sharded.

    Args:
        tensor: [F, ...].
        numbers: int64 [n], of the rows.
        values: [n, ...], or one number for all.
    """
    first = 0
    if isinstance(tensor, DTensor):
        size = -(-tensor.shape[0] // tensor.device_mesh.size())
        first = size * tensor.device_mesh.get_local_rank()
        tensor = tensor.to_local()
    own = (numbers >= first) & (numbers < first + len(tensor))
    tensor[numbers[own] - first] = values[own].to(tensor.dtype) if isinstance(values, Tensor) else values

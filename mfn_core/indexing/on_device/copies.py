"""Copies between the host and a device that let both go on working."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """A copy of an array on a device, without waiting for what the device is doing."""
    host = torch.from_numpy(np.ascontiguousarray(array))
    if device.type != "cuda":
        return host.to(device, copy=True)
    return host.pin_memory().to(device, non_blocking=True)  # torch keeps the pinned memory until it has been read


class Downloads:
    """Copies from a device into pinned memory of the host, on a stream of their own.

    So they neither wait for what was queued after their source, such as the next forward pass, nor hold it up. On the
    processor, where there is nothing to copy, the arrays share the tensors' memory.

    Attributes:
        bytes: copied so far; on the processor, what a copy would have had.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.bytes = 0

    def start(self, tensors: Sequence[Tensor]) -> Download:
        """Queues copies of tensors, as they are once all that is queued now is done."""
        self.bytes += sum(tensor.nbytes for tensor in tensors)
        if self._stream is None:
            return Download(list(tensors), list(tensors), None)
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        return self._queue(tensors)

    def fetch(self, tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
        """Copies of tensors that are known to be there: does not wait for what is queued."""
        self.bytes += sum(tensor.nbytes for tensor in tensors)
        if self._stream is None:
            return [tensor.numpy() for tensor in tensors]
        return self._queue(tensors).arrays()

    def _queue(self, tensors: Sequence[Tensor]) -> Download:
        with torch.cuda.stream(self._stream):
            host = [torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True) for tensor in tensors]
            for there, here in zip(tensors, host, strict=True):
                here.copy_(there, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
        return Download(host, list(tensors), done)


class Download:
    """Copies under way. Holds on to their source until they have arrived."""

    def __init__(self, host: list[Tensor], source: list[Tensor], done: torch.cuda.Event | None) -> None:
        self._host = host
        self._source = source
        self._done = done

    def arrays(self) -> list[NDArray[Any]]:
        """The copies, as soon as they are there."""
        if self._done is not None:
            self._done.synchronize()
        self._source.clear()
        return [tensor.numpy() for tensor in self._host]

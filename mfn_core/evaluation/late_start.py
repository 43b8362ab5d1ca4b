"""Forward passes that begin at a block, with the stream that an earlier pass over the same text brought there.

What is changed in block L leaves everything before it as it was. Whoever changes many things there, one after the
other, computes the blocks before it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mfn_core.model import MFNModel

STREAM_BYTES = 1 << 30  # of the streams before one layer that are kept


class _ReachedError(Exception):
    """Ends a forward pass whose rest nobody needs."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


class LateStart:
    """Passes of a model that begin at one block.

    Attributes:
        model: its sites before that block act, as in every pass.
        number: of the block, 1 or more; the number of blocks itself stands for the end of the stream.
    """

    def __init__(self, model: MFNModel, number: int) -> None:
        self.model = model
        self.number = number
        self._blocks = model.family.blocks(model.base)
        self._beside = 0  # how much else a block gives, in families whose blocks give a tuple

    @torch.no_grad()
    def stream(self, ids: Tensor) -> Tensor:
        """[B, T, d]: the stream on its way into the block, of tokens [B, T] and without interventions."""

        def stop(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            raise _ReachedError(output)

        # registered last, hence called after a code that reads or writes the block's output
        handle = self._blocks[self.number - 1].register_forward_hook(stop)
        try:
            self.model(ids, logits_to_keep=1)
        except _ReachedError as reached:
            values = reached.output
        finally:
            handle.remove()
        if isinstance(values, tuple):
            self._beside = len(values) - 1
            values = values[0]
        return values  # type: ignore[no-any-return]

    @contextmanager
    def begin(self, stream: Tensor) -> Iterator[None]:
        """For as long as it is open, forward passes of the model begin at the block, with this stream.

        They are given the token ids all the same: positions, masks and what looks tokens up read them. Not for passes
        with a cache, which would lack the blocks before.

        Args:
            stream: [B, T, d], as `stream` gave it.
        """
        output = (stream, *[None] * self._beside) if self._beside else stream
        passed_over = list(self._blocks)[: self.number]
        try:
            for place, block in enumerate(passed_over):
                self._blocks[place] = _PassedOver(block, output)
            yield
        finally:
            for place, block in enumerate(passed_over):
                self._blocks[place] = block


class Streams:
    """The stream before one layer at a time, of some texts."""

    def __init__(self, model: MFNModel, ids: Sequence[NDArray[np.int64]]) -> None:
        """`ids`: int64 [T] of each text."""
        self._model, self._ids = model, ids
        self._start = LateStart(model, 1)
        self._kept: dict[int, Tensor] = {}
        self._bytes = 0

    def begin(self, layer: int, texts: Sequence[int]) -> AbstractContextManager[None]:
        """Passes over these texts, padded to one length, begin at the layer's block."""
        if self._start.number != layer:
            self._start, self._kept, self._bytes = LateStart(self._model, layer), {}, 0
        found = self._compute(sorted({number for number in texts if number not in self._kept}))
        rows = [self._kept[number] if number in self._kept else found[number] for number in texts]
        return self._start.begin(nn.utils.rnn.pad_sequence(rows, batch_first=True))

    def _compute(self, texts: Sequence[int]) -> dict[int, Tensor]:
        """[T, d] of each; kept, as long as there is room."""
        if not texts:
            return {}
        ids, lengths = padded_ids([self._ids[number] for number in texts], self._model.device)
        values = self._start.stream(ids)
        found = {number: values[row, : lengths[row]].clone() for row, number in enumerate(texts)}
        size = sum(stream.nbytes for stream in found.values())
        if self._bytes + size <= STREAM_BYTES:
            self._kept |= found
            self._bytes += size
        return found


def padded_ids(rows: Sequence[NDArray[np.int64]], device: torch.device) -> tuple[Tensor, list[int]]:
    """int64 [B, T], padded behind, and the lengths."""
    ids = nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)
    return ids.to(device), [len(row) for row in rows]


class _PassedOver(nn.Module):
    """Stands where a block stood, and gives what it is told instead of computing it."""

    def __init__(self, block: nn.Module, output: Any) -> None:
        super().__init__()
        self.__dict__["block"] = block  # no submodule: nothing of the model's is registered twice
        self.output = output

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the last of the blocks that are passed over would give."""
        return self.output

    def __getattr__(self, name: str) -> Any:
        """What a family's model asks its blocks about, such as the kind of their attention, the block answers."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["block"], name)

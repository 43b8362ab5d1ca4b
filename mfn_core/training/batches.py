"""Where the rows of a step come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.data.mix import TokenRows
from mfn_core.data.stream import RowStream
from mfn_core.training.checkpoint import Checkpoint


class Batches(Protocol):
    """A source of rows."""

    @property
    def start(self) -> int:
        """The token that begins a document."""

    def take(self, step: int) -> TokenRows:
        """[batch, context], the rows of the step that follows `step` finished ones. Steps come in their order."""

    def preview(self, count: int) -> TokenRows:
        """[≤ count, context], the rows with which the run begins. They are not taken."""

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What a checkpoint has to keep: plain data, and tensors."""

    def load(self, found: Checkpoint) -> None:
        """Goes on from what `state` gave."""


@dataclass(frozen=True)
class PackedRows:
    """Rows that were packed before the run began. The step says which are next.

    Attributes:
        rows: [≥ steps · batch, context] token ids, in the order in which they are taken.
        batch: rows in a step.
        start: the token that begins a document.
        order: a permutation in which rows are taken instead.
    """

    rows: TokenRows
    batch: int
    start: int = 0
    order: NDArray[np.int64] | None = None

    def take(self, step: int) -> TokenRows:
        """[batch, context], the rows of the step that follows `step` finished ones."""
        rows = self._slice(step * self.batch, (step + 1) * self.batch)
        assert len(rows) == self.batch, "fewer rows were packed than the run has steps for"
        return rows

    def preview(self, count: int) -> TokenRows:
        """[≤ count, context], the first rows."""
        return self._slice(0, count)

    def _slice(self, first: int, last: int) -> TokenRows:
        return self.rows[first:last] if self.order is None else self.rows[self.order[first:last]]

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Nothing."""
        return {}, {}

    def load(self, found: Checkpoint) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class StreamedRows:
    """Rows that are made while the run goes on. Each of several processes makes all of them, and takes its own."""

    stream: RowStream
    batch: int

    @property
    def start(self) -> int:
        """The token that begins a document."""
        return self.stream.start

    def take(self, step: int) -> TokenRows:
        """[batch, context], the next rows."""
        assert self.stream.given == step * self.batch, "steps come in their order"
        return self.stream.take(self.batch)

    def preview(self, count: int) -> TokenRows:
        """[count, context], the next rows; the stream then begins anew."""
        before = self.stream.state()
        rows = self.stream.take(count)
        self.stream.load(*before)
        return rows

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Where the stream stands, and what went in so far."""
        plain, arrays = self.stream.state()
        tensors = {name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()}
        return {"stream": plain, "recipe": self.stream.recipe()}, tensors

    def load(self, found: Checkpoint) -> None:
        """Goes on from what `state` gave."""
        arrays = {name: tensor.numpy() for name, tensor in found.part("stream").items()}
        self.stream.load(found.state["stream"], arrays)

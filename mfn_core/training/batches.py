"""Where the rows of a step come from. The step alone says which they are, so that a run can be taken up anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mfn_core.data.mix import TokenRows


class Batches(Protocol):
    """A source of rows."""

    @property
    def start(self) -> int:
        """The token that begins a document."""

    def take(self, step: int) -> TokenRows:
        """[batch, context], the rows of the step that follows `step` finished ones."""


@dataclass(frozen=True)
class PackedRows:
    """Rows that were packed before the run began.

    Attributes:
        rows: [≥ steps · batch, context] token ids, in the order in which they are taken.
        batch: rows in a step.
        start: the token that begins a document.
    """

    rows: TokenRows
    batch: int
    start: int = 0

    def take(self, step: int) -> TokenRows:
        """[batch, context], the rows of the step that follows `step` finished ones."""
        rows: TokenRows = self.rows[step * self.batch : (step + 1) * self.batch]
        assert len(rows) == self.batch, "fewer rows were packed than the run has steps for"
        return rows

"""What one forward pass is asked to do besides computing, and what it shows of itself.

The layers of features sit deep inside a Hugging Face model whose forward knows nothing of them. They meet the caller
here: `MFNModel.run(...)` puts a `Run` on the model's `Stage` for as long as a forward lasts, and each layer reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from mfn_core.codes import SparseCodes
from mfn_core.interventions import EditBuffers


class LayerTrace(NamedTuple):
    """What one layer did in one forward pass. Lengths: B rows, T tokens, d channels, F features.

    Attributes:
        codes: [B, T, ≥K] as the model used them, after interventions.
        raw_codes: [B, T, K] before interventions.
        scale: [B, T, 1], s_t, what the stream was divided by.
        x: [B, T, d], the normalised input, without gradient.
        x_hat: [B, T, d], its reconstruction from `codes`, in the same units; None where the layer had nothing to
            reconstruct (α = 0 and not training). In training it belongs to the auxiliary branch, whose gradient
            reaches this layer's own parameters and nothing else.
        pre: [B, T, F], pre-activations of the auxiliary branch; in training only.
    """

    codes: SparseCodes
    raw_codes: SparseCodes
    scale: Tensor
    x: Tensor
    x_hat: Tensor | None
    pre: Tensor | None


@dataclass(slots=True)
class Run:
    """One forward pass's orders and its record.

    Attributes:
        edits: interventions by row, or None.
        record: keep a trace of every layer.
        train: give the traces an auxiliary branch for the losses; excludes edits.
        traces: by block number, those of the latest forward pass.
    """

    edits: EditBuffers | None = None
    record: bool = False
    train: bool = False
    traces: dict[int, LayerTrace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.train and self.edits is not None:
            raise ValueError("a training pass takes no interventions")


class Stage:
    """The one place that all layers of a model look at. Holds the current run; None outside of any."""

    def __init__(self) -> None:
        self.run: Run | None = None

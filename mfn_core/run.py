"""What one forward pass is asked to do besides computing, and what it shows of itself.

The codes sit deep inside a Hugging Face model whose forward knows nothing of them. They meet the caller here:
`MFNModel.run(...)` puts a `Run` on the model's `Stage` for as long as a forward lasts, and each code reads it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from mfn_core.codes import SparseCodes
from mfn_core.interventions import EditBuffers

Branch = Literal["none", "train", "apart", "stability"]
Record = bool | Literal["codes"]
"""Whether traces are kept. `codes`: without reconstructions that are made for the trace alone, as of an SAE."""


class AuxBranch(NamedTuple):
    """What the auxiliary losses read of one layer; its gradient reaches this layer's own parameters and nothing else.

    Attributes:
        pre: [B, T, F], pre-activations.
        codes: [B, T, K], the code's entries with that gradient.
        x_hat: [B, T, d], the reconstruction from `codes`, in normalised units; None in a stability pass.
        revived: [B, T, d], what the dead features among those asked for make of the reconstruction's error (AuxK);
            None where there are none.
    """

    pre: Tensor
    codes: SparseCodes
    x_hat: Tensor | None = None
    revived: Tensor | None = None


class LayerTrace(NamedTuple):
    """What one layer did in one forward pass. Lengths: B rows, T tokens, d channels, F features.

    Attributes:
        codes: [B, T, ≥K] as the model used them, after interventions.
        raw_codes: [B, T, K] before interventions.
        scale: [B, T, 1], s_t, what the stream was divided by.
        x: [B, T, d], the normalised input, without gradient.
        x_hat: [B, T, d], its reconstruction from `codes`, in the same units; None where the layer had nothing to
            reconstruct (α = 0, or a training branch, whose reconstruction stands in `aux`), and where codes alone were
            asked for.
        aux: the auxiliary branch; None outside of training.
        whole: the codes before and after interventions, where `raw_codes` and `codes` keep the strongest entries only
            though others act, too (raw neurons); else None.
    """

    codes: SparseCodes
    raw_codes: SparseCodes
    scale: Tensor
    x: Tensor
    x_hat: Tensor | None
    aux: AuxBranch | None = None
    whole: tuple[SparseCodes, SparseCodes] | None = None


class Revive(NamedTuple):
    """Which features AuxK tries to bring back.

    Attributes:
        dead: bool [F].
        k: how many of them, at most, rebuild one token's error.
    """

    dead: Tensor
    k: int


@dataclass(slots=True)
class Run:
    """One forward pass's orders and its record.

    Attributes:
        edits: interventions by row, or None.
        record: keep a trace of every layer.
        branch: `none`; `train`, the traces get an auxiliary branch for the losses; `apart`, the same, and what follows
            from the model's output reaches no parameter of a layer of features, only what lies before it; `stability`,
            nothing has a gradient but each layer's own code with respect to the layer's own parameters. All but the
            first exclude edits.
        revive: for AuxK, by block number; with `branch="train"` or `"apart"`.
        perturbation: what is done to the token embeddings [B, T, d], or None.
        traces: by block number, those of the latest forward pass.
        positions, tokens: int64 [B or 1, T] and [B, T], of the latest forward pass; see `Stage`.
    """

    edits: EditBuffers | None = None
    record: Record = False
    branch: Branch = "none"
    revive: Mapping[int, Revive] = field(default_factory=dict)
    perturbation: Callable[[Tensor], Tensor] | None = None
    traces: dict[int, LayerTrace] = field(default_factory=dict)
    positions: Tensor | None = None
    tokens: Tensor | None = None

    def __post_init__(self) -> None:
        if self.branch != "none" and self.edits is not None:
            raise ValueError("a training pass takes no interventions")

    @property
    def watched(self) -> bool:
        """Whether the layers leave traces."""
        return bool(self.record) or self.branch != "none"


class Stage:
    """The one place that all codes of a model look at. Holds the current run; None outside of any.

    It also knows, of the forward pass at hand, each token's place in its own text (`positions`, int64 [B or 1, T]) and
    its number (`tokens`, int64 [B, T]; None where the model was given embeddings). A run keeps its own, so that a run
    that is opened again for the backward pass gives gradient checkpointing what the forward pass had.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self._positions: Tensor | None = None
        self._tokens: Tensor | None = None
        self._names: tuple[str, ...] = ()

    def watch(self, backbone: nn.Module, embeddings: nn.Module) -> None:
        """Has every forward pass of a model noted here.

        Args:
            backbone: the part that takes `input_ids`, below the unembedding.
            embeddings: the token embeddings.
        """
        self._names = tuple(inspect.signature(backbone.forward).parameters)
        backbone.register_forward_pre_hook(self._note, with_kwargs=True)
        embeddings.register_forward_hook(self._perturb)

    @property
    def positions(self) -> Tensor:
        """int64 [B or 1, T]. Raises RuntimeError outside of a forward pass."""
        positions = self._positions if self.run is None else self.run.positions
        if positions is None:
            raise RuntimeError("no forward pass of the whole model has said where its tokens stand")
        return positions

    @property
    def tokens(self) -> Tensor | None:
        """int64 [B, T], or None where the model was given embeddings instead of token ids."""
        return self._tokens if self.run is None else self.run.tokens

    @contextmanager
    def use(self, run: Run) -> Iterator[Run]:
        """Makes a run the current one, for a forward pass, or again for its backward pass.

        Raises:
            RuntimeError: a run is open already. Runs do not nest, since each is a state of the whole model.
        """
        if self.run is not None:
            raise RuntimeError("a run of this model is already open")
        self.run = run
        try:
            yield run
        finally:
            self.run = None

    def place(self, positions: Tensor, tokens: Tensor | None = None) -> None:
        """Says where tokens stand, for a layer that is called without its model."""
        if self.run is None:
            self._positions, self._tokens = positions, tokens
        else:
            self.run.positions, self.run.tokens = positions, tokens

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(self._names, args, strict=False)) | kwargs
        tokens: Tensor | None = given.get("input_ids")
        positions: Tensor | None = given.get("position_ids")
        if positions is None:
            inputs = tokens if tokens is not None else given["inputs_embeds"]
            cache = given.get("past_key_values")
            begin = 0 if cache is None else cache.get_seq_length()
            positions = (torch.arange(inputs.shape[1], device=inputs.device) + begin)[None]
        self.place(positions, tokens)

    def _perturb(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self.run is None or self.run.perturbation is None:
            return None
        return self.run.perturbation(output)

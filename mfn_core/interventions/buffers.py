"""The interventions of a batch of requests, in tensors that a running model reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from mfn_core.errors import InterventionError
from mfn_core.interventions.arranging import arrange
from mfn_core.interventions.intervention import Intervention
from mfn_core.interventions.layer_edits import LayerEdits
from mfn_core.interventions.validation import validate


class EditBuffers:
    """Preallocated interventions of a batch: one row a request, written when it starts or changes.

    The layers read these tensors, so that a step is the same graph whoever steers.

    Attributes:
        layers: by equipped block.
        slots: how many interventions on one layer a row can have.
        rounds: how many of them on one feature.
    """

    def __init__(
        self,
        layers: Mapping[int, LayerEdits],
        n_features: Mapping[int, int],
        slots: int,
        rounds: int,
    ) -> None:
        self.layers = dict(layers)
        self.slots = slots
        self.rounds = rounds
        self._n_features = dict(n_features)

    @classmethod
    def allocate(
        cls,
        n_features: Mapping[int, int],
        rows: int,
        slots: int = 16,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        signed: Collection[int] = (),
        rounds: int | None = None,
    ) -> EditBuffers:
        """Room for `slots` interventions a layer in each of `rows` requests.

        Args:
            n_features: number of features by equipped block, as `MFNModel.n_features` gives it.
            rows: requests side by side.
            slots: interventions on one layer, and different conditions that can be asked of one.
            device: where the layers compute.
            dtype: in which values are kept and maps are taken.
            signed: the blocks whose codes may be negative, as `MFNModel.signed` gives them.
            rounds: None: a step looks at as much as is written and no more, and a code is as wide as that asks.
                A number: a step looks at all slots and at so many interventions on one feature, whatever is written,
                so that compiled or captured as a CUDA graph it serves every request.
        """
        layers: dict[int, LayerEdits] = {}
        for layer in sorted(n_features):
            earlier = tuple(layers.values())
            layers[layer] = LayerEdits(rows, slots, rounds, device, dtype, layer in signed, earlier)
        return cls(layers, n_features, slots, slots if rounds is None else rounds)

    def write(self, row: int, interventions: Sequence[Intervention], prompt_length: int) -> None:
        """Replaces what the row has. Nothing is written unless everything is valid.

        Raises:
            InterventionError: see `validate`; also more interventions on one layer, or more different conditions on
                one, than there are slots, or more interventions on one feature than there are rounds.
        """
        validate(interventions, self._n_features, [layer for layer, edits in self.layers.items() if edits.signed])
        arranged = arrange(interventions, prompt_length, list(self.layers), self.slots)
        for layer, here in arranged.items():
            if here.extent.rounds > self.rounds:
                raise InterventionError(
                    f"{here.extent.rounds} interventions on one feature of layer {layer}: at most "
                    f"{self.rounds} can follow one another"
                )
        for layer, edits in self.layers.items():
            edits.put(row, arranged[layer])

    def clear(self, row: int) -> None:
        """Takes every intervention off the row."""
        self.write(row, (), 0)

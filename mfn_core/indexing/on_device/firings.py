"""One layer's codes of a batch, on the device, in the order in which all else is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfn_core.indexing.accumulator import WindowBatch
from mfn_core.indexing.arrays import mix
from mfn_core.indexing.ladder import level_of
from mfn_core.indexing.on_device.copies import upload
from mfn_core.indexing.rows import place_of
from mfn_core.indexing.token_r2 import half_of


@dataclass(frozen=True)
class Places:
    """Where a batch of W windows of L tokens lies, as far as the device must know. All on the device.

    Attributes:
        counted: bool [W · L].
        tokens: int64 [W · L], token ids.
        half: int64 [W], the half of the corpus.
        level: int64 [W · L], see `ladder`.
        hashed: int64 [W], the bits of the hash of each window's place.
        length: L.
    """

    counted: Tensor
    tokens: Tensor
    half: Tensor
    level: Tensor
    hashed: Tensor
    length: int

    @classmethod
    def of(cls, batch: WindowBatch, device: torch.device) -> Places:
        """Puts on the device where a batch lies."""
        return cls(
            counted=upload(batch.counted.reshape(-1), device),
            tokens=upload(batch.tokens.reshape(-1).astype(np.int32), device).long(),
            half=upload(half_of(batch.document), device),
            level=upload(level_of(batch.places()), device),
            hashed=upload(mix(place_of(batch.document, batch.start)).view(np.int64), device),
            length=batch.counted.shape[1],
        )


@dataclass(frozen=True)
class Firings:
    """A layer's entries of a batch, n in all, by feature, window and position; those that do not fire come last.

    Every tensor has the same length whatever fires, so that nothing waits for a count to come to the host.

    Attributes:
        fires: bool [n].
        feature: int64 [n]; F where not firing.
        strength: float32 [n]; 0 where not firing.
        token: int64 [n], which of the batch's W · L tokens.
        window: int64 [n], which of its W windows.
        sound: bool, whether no value of the batch is negative or not finite.
    """

    fires: Tensor
    feature: Tensor
    strength: Tensor
    token: Tensor
    window: Tensor
    sound: Tensor

    def level(self, places: Places, n_levels: int) -> Tensor:
        """int64 [n]: the level of each entry's token, of so many levels."""
        return places.level[self.token].clamp(max=n_levels - 1)

    @classmethod
    def of(cls, indices: Tensor, values: Tensor, places: Places, n_features: int) -> Firings:
        """Sorts codes.

        Args:
            indices: [W, L, K] feature ids, each at most once a token; meaningless where the value is 0.
            values: float32 [W, L, K].
            places: of the same windows.
            n_features: F.
        """
        width = values.shape[-1]
        strength = values.reshape(-1)
        sound = ((strength >= 0) & (strength < torch.inf)).all()
        fires = (values.reshape(-1, width) > 0) & places.counted[:, None]
        number = torch.where(fires, indices.reshape(-1, width), n_features).reshape(-1).to(torch.int32)
        feature, slot = torch.sort(number, stable=True)
        token = slot // width
        fires = feature < n_features
        strength = torch.where(fires, strength[slot], 0.0)
        return cls(fires, feature.long(), strength, token, token // places.length, sound)

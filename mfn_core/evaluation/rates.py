"""How often each feature fires: which are dead, which almost, and how near the others come to the target rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.data.mix import TokenRows
from mfn_core.metrics import firing
from mfn_core.model import MFNModel


@dataclass(frozen=True)
class LayerRates:
    """How often the features of one layer fire.

    Attributes:
        counts: int64 [F], tokens on which a feature fires.
        tokens: of how many.
        target: K / F, the share of tokens on which each would fire if all fired alike.
    """

    counts: NDArray[np.int64]
    tokens: int
    target: float

    @property
    def dead(self) -> float:
        """Share of features that never fire."""
        return firing.dead(self.counts)

    @property
    def ultra_rare(self) -> float:
        """Share of features that fire on fewer than one token in a million, dead ones among them."""
        return firing.ultra_rare(self.counts, self.tokens)

    @property
    def near_target(self) -> float:
        """Share of the live features, those that fire at all, with a rate from half to twice the target."""
        return firing.near_target(self.counts, self.tokens, self.target)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the shares, and quantiles of the rates in units of the target."""
        levels = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
        quantiles = np.quantile(self.counts / self.tokens / self.target, levels)
        return {
            "tokens": self.tokens,
            "features": len(self.counts),
            "target": self.target,
            "dead": self.dead,
            "ultra_rare": self.ultra_rare,
            "near_target": self.near_target,
            "quantiles": {f"{level:g}": round(float(q), 4) for level, q in zip(levels, quantiles, strict=True)},
        }


class RateCount:
    """Counts firings of all layers of features, text after text; stands at any time for what has been read so far."""

    def __init__(self, model: MFNModel, start: int) -> None:
        """
        Args:
            model: with layers of features.
            start: the token that begins a document; its positions do not count.
        """
        self.model, self.start, self.tokens = model, start, 0
        self._counts = {
            number: torch.zeros(layer.n_features, dtype=torch.int64, device=model.device)
            for number, layer in model.mfn_layers.items()
        }

    @torch.no_grad()
    def read(self, rows: TokenRows, batch: int = 16, progress: Callable[[int], None] | None = None) -> None:
        """Counts on rows of tokens [n, T]; `progress` is called with the tokens counted so far, after each batch."""
        for at in range(0, len(rows), batch):
            ids = torch.from_numpy(rows[at : at + batch].astype(np.int64)).to(self.model.device)
            keep = ids != self.start
            for number, trace in self.model(ids, record=True, logits_to_keep=1).traces.items():
                if number in self._counts:
                    fired = trace.codes.indices[trace.codes.fires & keep[..., None]]
                    self._counts[number] += torch.bincount(fired, minlength=len(self._counts[number]))
            self.tokens += int(keep.sum())
            if progress is not None:
                progress(self.tokens)

    def rates(self) -> dict[int, LayerRates]:
        """By layer, of all tokens read."""
        return {
            number: LayerRates(self._counts[number].cpu().numpy(), self.tokens, layer.k / layer.n_features)
            for number, layer in self.model.mfn_layers.items()
        }

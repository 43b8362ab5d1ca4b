"""What an equipped model is made of, as plain frozen data that goes to and from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from mfn_core.errors import ConfigError

FORMAT_VERSION = 1

Norm = Literal["rms", "layer", "scalar", "none"]
BlendInto = Literal["residual", "mlp"]


@dataclass(frozen=True)
class MFNLayerConfig:
    """One layer of features.

    Attributes:
        n_features: F, how many features there are.
        k: K, how many of them may fire on one token.
        norm: what divides the stream before it is encoded. `rms` (ours; the paper asks for LayerNorm) keeps
            the direction; `layer` also takes out the mean over channels; `scalar` divides by one fixed number
            (`norm_scale`); `none` does nothing.
        norm_scale: the divisor of `norm="scalar"`, in units of the stream.
        blend_into: `residual`, the blended stream is what the MLP reads and what the skip connection carries on;
            `mlp`, only the MLP reads it.
        alpha: how much of the stream is replaced by its reconstruction, from 0 (nothing) to 1 (all).
    """

    n_features: int
    k: int
    norm: Norm = "rms"
    norm_scale: float = 1.0
    blend_into: BlendInto = "residual"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.n_features < 1:
            raise ConfigError(f"n_features must be at least 1, not {self.n_features}")
        if not 1 <= self.k <= self.n_features:
            raise ConfigError(f"k must lie between 1 and n_features ({self.n_features}), not {self.k}")
        if self.norm not in get_args(Norm):
            raise ConfigError(f"norm must be one of {', '.join(get_args(Norm))}, not {self.norm!r}")
        if self.blend_into not in get_args(BlendInto):
            raise ConfigError(f"blend_into must be residual or mlp, not {self.blend_into!r}")
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"alpha must lie between 0 and 1, not {self.alpha}")
        if not self.norm_scale > 0.0:
            raise ConfigError(f"norm_scale must be positive, not {self.norm_scale}")


@dataclass(frozen=True)
class MFNConfig:
    """Which blocks of a model are equipped, and how.

    Attributes:
        layers: block number → configuration of the layer of features in that block, at site `resid_mid`.
    """

    layers: Mapping[int, MFNLayerConfig] = field(default_factory=dict)

    @classmethod
    def uniform(cls, blocks: int | list[int], layer: MFNLayerConfig) -> MFNConfig:
        """The same layer in the first `blocks` blocks, or in those listed."""
        numbers = range(blocks) if isinstance(blocks, int) else blocks
        return cls(dict.fromkeys(numbers, layer))

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {"layers": {str(number): asdict(layer) for number, layer in sorted(self.layers.items())}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MFNConfig:
        """Reads what `to_json` wrote. Raises ConfigError on unknown or impossible settings."""
        known = {f.name for f in fields(MFNLayerConfig)}
        layers: dict[int, MFNLayerConfig] = {}
        for number, layer in data.get("layers", {}).items():
            unknown = set(layer) - known
            if unknown:
                raise ConfigError(f"layer {number} has unknown settings: {', '.join(sorted(unknown))}")
            layers[int(number)] = MFNLayerConfig(**layer)
        return cls(layers)

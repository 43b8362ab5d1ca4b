"""What an equipped model is made of, as plain frozen data that goes to and from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, get_args

from mfn_core.errors import ConfigError

if TYPE_CHECKING:
    from mfn_core.coder import SparseCoder
    from mfn_core.run import Stage

FORMAT_VERSION = 1
MODEL_TYPE = "mfn"  # what config.json says of an equipped model

Norm = Literal["rms", "layer", "scalar", "none"]
BlendInto = Literal["residual", "mlp"]
Site = Literal["resid_pre", "resid_mid", "resid_post", "mlp_out", "mlp_hidden", "resid_final"]


@dataclass(frozen=True)
class CoderConfig:
    """One sparse code in one block: what all kinds have in common.

    Attributes:
        n_features: F, how many features there are.
        site: where in the block the code is read, and written: `resid_pre`, before the block; `resid_mid`, after
            attention has been added; `resid_post`, after the block; `mlp_out`, what the MLP adds; `mlp_hidden`, the
            MLP's neurons; `resid_final`, after the last block, before the final norm.
    """

    kind: ClassVar[str]
    n_features: int
    site: Site = field(default="resid_mid", kw_only=True)

    def __post_init__(self) -> None:
        if self.n_features < 1:
            raise ConfigError(f"n_features must be at least 1, not {self.n_features}")
        if self.site not in get_args(Site):
            raise ConfigError(f"site must be one of {', '.join(get_args(Site))}, not {self.site!r}")

    def build(self, width: int, number: int, stage: Stage, vocab_size: int) -> SparseCoder:
        """A fresh module.

        Args:
            width: channels at the site.
            number: of the block.
            stage: the model's.
            vocab_size: number of token ids.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class MFNLayerConfig(CoderConfig):
    """One layer of monosemantic feature neurons.

    Attributes:
        k: K, how many of the features may fire on one token.
        norm: what divides the stream before it is encoded. `rms` (ours; the paper asks for LayerNorm) keeps
            the direction; `layer` also takes out the mean over channels; `scalar` divides by one fixed number
            (`norm_scale`); `none` does nothing.
        norm_scale: the divisor of `norm="scalar"`, in units of the stream.
        blend_into: `residual`, the blended stream is what the MLP reads and what the skip connection carries on;
            `mlp`, only the MLP reads it (at `resid_mid` alone).
        alpha: how much of the stream is replaced by its reconstruction, from 0 (nothing) to 1 (all).
        token_lookup: whether b_d becomes b_d + T[token], T a learned table, so that features need not restate the
            token (ours).
    """

    kind: ClassVar[str] = "mfn"
    k: int
    norm: Norm = "rms"
    norm_scale: float = 1.0
    blend_into: BlendInto = "residual"
    alpha: float = 1.0
    token_lookup: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.k <= self.n_features:
            raise ConfigError(f"k must lie between 1 and n_features ({self.n_features}), not {self.k}")
        if self.norm not in get_args(Norm):
            raise ConfigError(f"norm must be one of {', '.join(get_args(Norm))}, not {self.norm!r}")
        if self.blend_into not in get_args(BlendInto):
            raise ConfigError(f"blend_into must be residual or mlp, not {self.blend_into!r}")
        if self.blend_into == "mlp" and self.site != "resid_mid":
            raise ConfigError(f"blend_into mlp goes with site resid_mid, not with {self.site}")
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"alpha must lie between 0 and 1, not {self.alpha}")
        if not self.norm_scale > 0.0:
            raise ConfigError(f"norm_scale must be positive, not {self.norm_scale}")

    def build(self, width: int, number: int, stage: Stage, vocab_size: int) -> SparseCoder:
        """An untrained layer; the arguments are those of `CoderConfig.build`."""
        from mfn_core.layer import MFNLayer

        return MFNLayer(width, self, number, stage, vocab_size)


# By kind: module and name of its configuration. Modules are imported when a configuration names the kind.
KINDS: dict[str, tuple[str, str]] = {
    "mfn": ("mfn_core.config", "MFNLayerConfig"),
    "neurons": ("mfn_core.baselines.config", "NeuronConfig"),
    "sae": ("mfn_core.baselines.config", "SAEConfig"),
    "token_table": ("mfn_core.baselines.config", "TokenTableConfig"),
}

# Settings that came after the first format. At their default they are left out of JSON, so that a setting that a
# model does not use changes neither its file nor its fingerprint.
_LATER: dict[str, dict[str, Any]] = {
    "mfn": {"site": "resid_mid", "token_lookup": False},
    "sae": {"replaces": False},
}


@dataclass(frozen=True)
class MFNConfig:
    """Which blocks of a model are equipped, and how.

    Attributes:
        layers: block number → configuration of the sparse code in that block; the number of blocks itself stands for
            `resid_final`.
    """

    layers: Mapping[int, CoderConfig] = field(default_factory=dict)

    @classmethod
    def uniform(cls, blocks: int | list[int], layer: CoderConfig) -> MFNConfig:
        """The same layer in the first `blocks` blocks, or in those listed."""
        numbers = range(blocks) if isinstance(blocks, int) else blocks
        return cls(dict.fromkeys(numbers, layer))

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {"layers": {str(number): _to_json(layer) for number, layer in sorted(self.layers.items())}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MFNConfig:
        """Reads what `to_json` wrote. Raises ConfigError on unknown or impossible settings."""
        return cls({int(number): _from_json(number, layer) for number, layer in data.get("layers", {}).items()})


def _to_json(layer: CoderConfig) -> dict[str, Any]:
    later = _LATER.get(layer.kind, {})
    settings = {f.name: getattr(layer, f.name) for f in fields(layer)}
    kept = {name: value for name, value in settings.items() if name not in later or value != later[name]}
    return kept if layer.kind == "mfn" else {"kind": layer.kind, **kept}


def _from_json(number: str, layer: Mapping[str, Any]) -> CoderConfig:
    settings = dict(layer)
    kind = settings.pop("kind", "mfn")
    if kind not in KINDS:
        raise ConfigError(f"layer {number} is of kind {kind!r}; known kinds: {', '.join(sorted(KINDS))}")
    module, name = KINDS[kind]
    config_type = cast("type[CoderConfig]", getattr(import_module(module), name))
    unknown = set(settings) - {f.name for f in fields(config_type)}
    if unknown:
        raise ConfigError(f"layer {number} has unknown settings: {', '.join(sorted(unknown))}")
    return config_type(**settings)

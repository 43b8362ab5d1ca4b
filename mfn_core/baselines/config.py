"""The settings of the codes that layers of features are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from mfn_core.config import CoderConfig, Norm
from mfn_core.errors import ConfigError

if TYPE_CHECKING:
    from mfn_core.coder import SparseCoder
    from mfn_core.run import Stage

Architecture = Literal["standard", "topk", "batchtopk", "jumprelu"]


@dataclass(frozen=True)
class SAEConfig(CoderConfig):
    """A sparse autoencoder that reads a model from outside, or takes its stream's place.

    Attributes:
        architecture: what makes the code sparse. `standard`: ReLU, with an L1 penalty in training. `topk`: the K
            largest of each token. `batchtopk`: the K·N largest of a batch of N tokens in training, all above one
            learned threshold afterwards. `jumprelu`: all above a threshold of their own, which is trained.
        k: K of `topk` and `batchtopk`; None with the others.
        norm: what divides the stream before it is encoded, as SAELens defines it. `rms`: its root mean square (there:
            constant_norm_rescale). `layer`: centred, then its standard deviation over channels plus 1e-5 (there:
            layer_norm). `scalar`: `norm_scale` (there: folded into the weights). `none`: nothing.
        norm_scale: the divisor of `norm="scalar"`, in units of the stream.
        apply_b_dec_to_input: whether b_d is subtracted before encoding.
        bandwidth: ε, how far from its threshold a pre-activation may lie to count in the threshold's gradient
            (`jumprelu`, in training). In units of p: the default suits an input of unit root mean square.
        threshold: what the thresholds of `jumprelu` start at, in units of p.
        replaces: whether the model goes on with what the SAE makes of the stream, and what it cannot rebuild does not
            pass. A model that was trained on with it copes with that (a *fine-tuned SAE*); any other loses much.
    """

    kind: ClassVar[str] = "sae"
    architecture: Architecture
    k: int | None = None
    norm: Norm = "rms"
    norm_scale: float = 1.0
    apply_b_dec_to_input: bool = True
    bandwidth: float = 0.1
    threshold: float = 0.1
    replaces: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in get_args(Architecture):
            raise ConfigError(
                f"architecture must be one of {', '.join(get_args(Architecture))}, not {self.architecture!r}"
            )
        if self.architecture in ("topk", "batchtopk"):
            if self.k is None or not 1 <= self.k <= self.n_features:
                raise ConfigError(
                    f"{self.architecture} needs a k between 1 and n_features ({self.n_features}), not {self.k}"
                )
        elif self.k is not None:
            raise ConfigError(f"k goes with topk and batchtopk, not with {self.architecture}")
        if self.norm not in get_args(Norm):
            raise ConfigError(f"norm must be one of {', '.join(get_args(Norm))}, not {self.norm!r}")
        if not self.norm_scale > 0.0:
            raise ConfigError(f"norm_scale must be positive, not {self.norm_scale}")
        if not (self.bandwidth > 0.0 and self.threshold >= 0.0):
            raise ConfigError("bandwidth must be positive, and threshold not negative")

    def build(self, width: int, number: int, stage: Stage, vocab_size: int) -> SparseCoder:
        """An untrained SAE; the arguments are those of `CoderConfig.build`."""
        from mfn_core.baselines.sae import SAE

        return SAE(width, self, number, stage)


@dataclass(frozen=True)
class NeuronConfig(CoderConfig):
    """The MLP's own neurons, read as a code.

    Attributes:
        n_features: m, the number of neurons at the site; 2 m where `signed` is off.
        k: keep only the K neurons of largest magnitude in what is recorded. None keeps all: tokens × m numbers.
            Interventions and their conditions always see all.
        signed: one feature a neuron, of either sign. Otherwise two, neuron j's positive part being feature j and its
            negative part feature m + j, so that no value is below 0; the index asks for that.
    """

    kind: ClassVar[str] = "neurons"
    k: int | None = None
    signed: bool = True
    site: Literal["mlp_hidden"] = field(default="mlp_hidden", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.site != "mlp_hidden":
            raise ConfigError(f"neurons are at site mlp_hidden, not at {self.site}")
        if not self.signed and self.n_features % 2:
            raise ConfigError(f"with signed off there are two features a neuron, hence not {self.n_features}")
        if self.k is not None and not 1 <= self.k <= self.n_features:
            raise ConfigError(f"k must lie between 1 and n_features ({self.n_features}), not {self.k}")

    def build(self, width: int, number: int, stage: Stage, vocab_size: int) -> SparseCoder:
        """The neurons of one block; the arguments are those of `CoderConfig.build`.

        Raises:
            ConfigError: `n_features` does not fit the MLP's width.
        """
        from mfn_core.baselines.neurons import NeuronCoder

        return NeuronCoder(width, self, number, stage)


@dataclass(frozen=True)
class TokenTableConfig(CoderConfig):
    """A learned vector for each token, added at the site; `n_features` is the size of the vocabulary."""

    kind: ClassVar[str] = "token_table"

    def build(self, width: int, number: int, stage: Stage, vocab_size: int) -> SparseCoder:
        """A table of zeros; the arguments are those of `CoderConfig.build`.

        Raises:
            ConfigError: `n_features` is not the size of the vocabulary.
        """
        from mfn_core.baselines.token_table import TokenTable

        return TokenTable(width, self, number, stage, vocab_size)

"""Post-hoc SAEs, trained by the same loop on a model that stays as it is; or a model, trained on with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mfn_core.baselines.config import SAEConfig
from mfn_core.config import MFNConfig
from mfn_core.training.config.checks import require_positive


@dataclass(frozen=True)
class SAETraining:
    """The SAEs of a run.

    Attributes:
        layers: the blocks that have one; empty for a run of layers of features.
        architecture, n_features, site, norm, apply_b_dec_to_input: as `SAEConfig` says.
        k: K of `topk` and `batchtopk`; not used by the others.
        objective: what is to differ from the defaults of the architecture's objective, such as `l1` (see
            `mfn_core.baselines.objectives`).
        horizon: tokens over which firing rates are averaged.
        dead_after: tokens without firing after which a feature is dead.
        replace: whether the model goes on with what the SAEs of `base.path` make of its stream, and is trained on with
            that by the next-token loss, while the SAEs stay as they are: a *fine-tuned SAE*. The other way round
            (off), the SAEs learn, and the model stays as it is.
    """

    layers: tuple[int, ...] = ()
    architecture: str = "topk"
    n_features: int = 2048
    k: int = 32
    site: str = "resid_post"
    norm: str = "rms"
    apply_b_dec_to_input: bool = True
    objective: Mapping[str, Any] = field(default_factory=dict)
    horizon: int = 50_000
    dead_after: int = 100_000
    replace: bool = False

    def __post_init__(self) -> None:
        require_positive(self, "horizon", "dead_after")
        self.layer()

    def equipment(self) -> MFNConfig:
        """The configuration of all SAEs."""
        return MFNConfig(dict.fromkeys(self.layers, self.layer()))

    def layer(self) -> SAEConfig:
        """The configuration of one SAE."""
        return SAEConfig(
            self.n_features,
            cast(Any, self.architecture),
            k=self.k if self.architecture in ("topk", "batchtopk") else None,
            norm=cast(Any, self.norm),
            apply_b_dec_to_input=self.apply_b_dec_to_input,
            site=cast(Any, self.site),
            replaces=self.replace,
        )

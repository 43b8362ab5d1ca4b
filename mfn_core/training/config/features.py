"""The layers of features of a run: what they are, what presses on them, and how they get there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from mfn_core.config import MFNConfig, MFNLayerConfig
from mfn_core.losses import Perturbation
from mfn_core.training.config.checks import require, require_positive

UTILITY = ("all", "transformer", "none")


@dataclass(frozen=True)
class MFNTraining:
    """The layers of features, the pressures on them, and the schedules that lead to them.

    The weights and settings of the losses are ours: the paper names the pressures and gives no numbers.

    Attributes:
        layers: the blocks to equip; empty for a dense twin.
        tables: blocks of a dense model that add a learned vector for each token to the stream (`TokenTable`): the dense
            twin of a model with `token_lookup`. They take part from `enter` on, as layers do.
        resid_final: whether there is one more layer before the final norm, so that the logits are read from a code.
        calibrate: whether new layers begin at the mean and the length of what passes through them (see `calibrate`).
        n_features, k, site, norm, blend_into, token_lookup: as `MFNLayerConfig` says, k being the final K.
        lookup_from: with `token_lookup`, the first block whose layer has a table; below it features tell tokens, too.
        enter: share of the run's steps before which there are no layers: the Transformer trains alone, just as its
            dense twin does, and is kept for the twin to go on from. The shares below are of the steps that are left.
        k_first, k_until: K starts at `k_first` and reaches `k` at this share of the steps.
        alpha_from, alpha_until, alpha_last: α is 0 up to the first share of the steps, `alpha_last` from the second on.
        recon, rate, comp, stab, auxk: weights of the losses beside the next-token loss; each is a mean over layers, and
            one of weight 0 is not computed.
        utility: what the next-token loss moves once layers are in. `all`: Transformer and features. `transformer`: the
            Transformer alone, through features that stand still for it. `none`: nothing, so that the Transformer stays
            what it was when they entered, and the features are what their own losses make of them. For ablations.
        rate_slack: a layer feels only by how much its rate loss exceeds this. Layers need the pressure to very
            different degrees, and all pay for it in reconstruction.
        pressures_from, pressures_last: from that share on these weights fall geometrically, all by the same factor,
            `pressures_last` at the end: features that rebuild well are then made useful.
        rate_tau: τ of the soft rate (see `losses.Rate`).
        rate_every, comp_every: every how many-th position of a text takes part in the rate and in the competition;
            where it begins moves with the step. The competition's cost grows with the square of what takes part.
        stab_every: every how many-th text goes through the perturbed pass, too; at least one of those that a process
            takes at once.
        perturb, perturb_amount: what is done to it (see `losses.Perturbation`).
        horizon: tokens over which firing rates and strengths are averaged.
        dead_after: tokens without firing after which a feature is dead.
        floor: a feature that fires at less than this share of the target rate counts as dead for AuxK. 0 for none.
        auxk_k: dead features that take part in a token's auxiliary reconstruction.
        resample_after: tokens without firing after which a feature is started anew, towards what the code explains
            worst. 0 for never.
    """

    layers: tuple[int, ...] = ()
    tables: tuple[int, ...] = ()
    resid_final: bool = False
    calibrate: bool = True
    n_features: int = 2048
    k: int = 32
    site: str = "resid_mid"
    norm: str = "rms"
    blend_into: str = "residual"
    token_lookup: bool = False
    lookup_from: int = 0
    enter: float = 0.0
    k_first: int = 64
    k_until: float = 0.25
    alpha_from: float = 0.15
    alpha_until: float = 0.55
    alpha_last: float = 1.0
    recon: float = 0.5
    rate: float = 0.01
    rate_slack: float = 0.0
    comp: float = 0.01
    stab: float = 0.05
    auxk: float = 0.03125
    utility: str = "all"
    pressures_from: float = 0.0
    pressures_last: float = 1.0
    rate_tau: float = 0.1
    rate_every: int = 4
    comp_every: int = 8
    stab_every: int = 4
    perturb: str = "noise"
    perturb_amount: float = 0.1
    horizon: int = 50_000
    dead_after: int = 100_000
    floor: float = 0.1
    auxk_k: int = 64
    resample_after: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "auxk_k", "dead_after", "horizon", "rate_tau", "rate_every", "comp_every", "stab_every")
        weights = ("recon", "rate", "comp", "stab", "auxk")
        require(
            all(getattr(self, name) >= 0 for name in weights),
            f"the weights mfn.{', '.join(weights)} must not be negative",
        )
        require(self.utility in UTILITY, f"mfn.utility is one of {', '.join(UTILITY)}, not {self.utility!r}")
        require(
            self.utility == "all" or any(getattr(self, name) for name in weights),
            f"with mfn.utility = {self.utility!r} features need another loss: one of {', '.join(weights)} above 0",
        )
        require(0 < self.alpha_last <= 1, f"mfn.alpha_last lies above 0, at most at 1, not {self.alpha_last}")
        require(self.rate_slack >= 0, f"mfn.rate_slack must not be negative, not {self.rate_slack}")
        require(
            0 < self.pressures_last <= 1 and 0 <= self.pressures_from < 1,
            "mfn.pressures_last is a factor above 0, at most 1; pressures_from is a share of the run, 0 to below 1",
        )
        require(
            self.k <= self.k_first <= self.n_features,
            f"mfn.k_first must lie between k ({self.k}) and n_features ({self.n_features}), not {self.k_first}",
        )
        require(
            0 <= self.alpha_from <= self.alpha_until <= 1 and 0 <= self.k_until <= 1,
            "mfn.alpha_from ≤ alpha_until and k_until are shares of the run, between 0 and 1",
        )
        require(self.lookup_from >= 0, f"mfn.lookup_from is the number of a block, not {self.lookup_from}")
        require(0 <= self.enter < 1, f"mfn.enter is a share of the run, from 0 to below 1, not {self.enter}")
        require(0 <= self.floor < 1, f"mfn.floor is a share of the target rate, from 0 to below 1, not {self.floor}")
        require(
            self.resample_after == 0 or self.resample_after > self.dead_after,
            f"mfn.resample_after must be 0 (never) or more than dead_after ({self.dead_after})",
        )
        self.layer()
        self.perturbation(0)

    @property
    def equips(self) -> bool:
        """Whether anything is put into the Transformer."""
        return bool(self.layers or self.tables or self.resid_final)

    def equipment(self, n_blocks: int) -> MFNConfig:
        """The configuration of the layers as they are at the end of the run, for a model of so many blocks."""
        plain = replace(self.layer(), token_lookup=False)
        layers = {block: self.layer() if block >= self.lookup_from else plain for block in self.layers}
        if self.resid_final:
            layers[n_blocks] = self.layer(final=True)
        return MFNConfig(layers)

    def layer(self, final: bool = False) -> MFNLayerConfig:
        """The configuration of one layer as it is at the end of the run; `final`: of the one before the final norm."""
        return MFNLayerConfig(
            self.n_features,
            self.k,
            norm=cast(Any, self.norm),
            blend_into="residual" if final else cast(Any, self.blend_into),
            alpha=self.alpha_last,
            token_lookup=self.token_lookup,
            site="resid_final" if final else cast(Any, self.site),
        )

    def perturbation(self, seed: int) -> Perturbation:
        """What is done to the texts of the perturbed pass."""
        return Perturbation(cast(Any, self.perturb), self.perturb_amount, seed)

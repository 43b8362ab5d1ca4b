"""The five pressures on a model, and AuxK, one small frozen class each.

All are means over tokens and scale-free, so that their weights mean the same at every width (design: "The five
pressures"). The auxiliary losses read a layer's trace, whose auxiliary branch reaches that layer's parameters alone.
Where several processes share a batch, each gets the value of the whole (see `shared.quotient`).
"""

from mfn_core.losses.competition import Competition
from mfn_core.losses.rate import Rate
from mfn_core.losses.reconstruction import DeadFeatures, Reconstruction
from mfn_core.losses.stability import Perturbation, Stability
from mfn_core.losses.statistics import FeatureStatistics
from mfn_core.losses.utility import Utility

__all__ = [
    "Competition",
    "DeadFeatures",
    "FeatureStatistics",
    "Perturbation",
    "Rate",
    "Reconstruction",
    "Stability",
    "Utility",
]

"""What interventions will do and what they did: predicted and measured effects, doses, side effects, good strengths.

Functions on a model and token ids, for one text or a few; nothing of it knows of servers or of streams.
"""

from mfn_core.steering.agreement import Agreement, agreement
from mfn_core.steering.concepts import Concept, FiringConcept, TokensConcept
from mfn_core.steering.doses import at_dose, most_dose
from mfn_core.steering.first_order import FirstOrder, first_order
from mfn_core.steering.prediction import Prediction, TokenChange, predict
from mfn_core.steering.side_effects import SideEffect, SideEffects, Turnover, side_effects
from mfn_core.steering.spots import Ask, Budget, Plain, Spot, Trial
from mfn_core.steering.sweep import DosePoint, Sweep, sweep
from mfn_core.steering.sweet_spot import SpotOrder, prepared, sweet_spot, tried
from mfn_core.steering.texts import Texts

__all__ = [
    "Agreement",
    "Ask",
    "Budget",
    "Concept",
    "DosePoint",
    "FiringConcept",
    "FirstOrder",
    "Plain",
    "Prediction",
    "SideEffect",
    "SideEffects",
    "Spot",
    "SpotOrder",
    "Sweep",
    "Texts",
    "TokenChange",
    "TokensConcept",
    "Trial",
    "Turnover",
    "agreement",
    "at_dose",
    "first_order",
    "most_dose",
    "predict",
    "prepared",
    "side_effects",
    "sweep",
    "sweet_spot",
    "tried",
]

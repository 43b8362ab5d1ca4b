"""What interventions will do and what they did: predicted and measured effects, doses, side effects, good strengths.

Functions on a model, for one text or a few; nothing of it knows of servers or of streams. Names are loaded
when they are first used: who only plans a search or passes results on (`spots`, `results`) does without torch.
"""

from typing import TYPE_CHECKING

from mfn_core.lazy import names_of

if TYPE_CHECKING:
    from mfn_core.steering.agreeing import agreement
    from mfn_core.steering.bystanders import side_effects
    from mfn_core.steering.concepts import Concept, FiringConcept, TokensConcept
    from mfn_core.steering.doses import at_dose, most_dose
    from mfn_core.steering.linear import FirstOrder, first_order
    from mfn_core.steering.prediction import Prediction, predict
    from mfn_core.steering.results import (
        Agreement,
        DosePoint,
        PredictionReport,
        SideEffect,
        SideEffects,
        Sweep,
        Texts,
        TokenChange,
        Turnover,
    )
    from mfn_core.steering.spots import Answer, Ask, Budget, Plain, Spot, Trial
    from mfn_core.steering.sweep import dose_response, write_doses
    from mfn_core.steering.sweet_spot import SpotOrder, prepared, search_spot, tried

__all__ = [
    "Agreement",
    "Answer",
    "Ask",
    "Budget",
    "Concept",
    "DosePoint",
    "FiringConcept",
    "FirstOrder",
    "Plain",
    "Prediction",
    "PredictionReport",
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
    "dose_response",
    "first_order",
    "most_dose",
    "predict",
    "prepared",
    "search_spot",
    "side_effects",
    "tried",
    "write_doses",
]

_MODULES = {
    "agreeing": "agreement",
    "concepts": "Concept FiringConcept TokensConcept",
    "doses": "at_dose most_dose",
    "linear": "FirstOrder first_order",
    "prediction": "Prediction predict",
    "results": "Agreement DosePoint PredictionReport SideEffect SideEffects Sweep Texts TokenChange Turnover",
    "bystanders": "side_effects",
    "spots": "Answer Ask Budget Plain Spot Trial",
    "sweep": "dose_response write_doses",
    "sweet_spot": "SpotOrder prepared search_spot tried",
}
__getattr__ = names_of(__name__, _MODULES)

"""What stands beside the verdicts of a report: what the codes are like, and what the model costs."""

from __future__ import annotations

from typing import Any

from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.qualities import beside_twin, layer_qualities
from mfn_core.experiments.material import Material, Progress, share
from mfn_core.model import MFNModel

MOST_ROWS = 120  # windows of held-out text that are read for it
COSTS = {
    "cross_entropy": "cross-entropy of the model",
    "twin": "cross-entropy of its dense twin",
    "above": "the model's above the twin's",
    "kl": "KL of the twin's predictions to the model's",
}


def measures(
    material: Material, journal: Journal, seed: int = 0, progress: Progress = lambda what, share: None
) -> dict[str, Any]:
    """Plain data by table: `layers` of the model, `saes` where there are some, `cost` where there is a twin.

    Args:
        material: what is read; of its held-out text at most `MOST_ROWS` windows, spread evenly over it.
        journal: as for `verdicts`.
        seed: of perturbations, and of which features are ablated.
        progress: told what is being done, and which share of it is.
    """
    every = -(-len(material.rows) // MOST_ROWS)
    rows = material.rows[::every]

    def layers(model: MFNModel, name: str) -> list[dict[str, Any]]:
        tell = share(progress, f"what the codes of the {name} are like")
        found = layer_qualities(model, rows, seed=seed, progress=tell)
        return [{key: value for key, value in layer.to_json().items() if value is not None} for layer in found]

    found: dict[str, Any] = {"layers": journal.once("measures/layers", lambda: layers(material.model, "model"))}
    if (sae := material.sae) is not None:
        found["saes"] = journal.once("measures/saes", lambda: layers(sae, "SAEs"))
    if (twin := material.twin) is not None:
        tell = share(progress, "what the model costs beside its twin")
        cost = journal.once("measures/cost", lambda: beside_twin(material.model, twin, rows, progress=tell))
        found["cost"] = [{"measure": COSTS[name], "nats": value} for name, value in cost.items()]
    return found

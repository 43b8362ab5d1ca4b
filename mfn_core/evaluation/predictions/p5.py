"""P5: features transfer to domains that were never trained on.

What a model with layers of features loses to its dense twin on a text of such a domain, as a share of the twin's
perplexity, exp(ΔCE) − 1; beside it the same in the domain that both were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_core.evaluation.verdicts import Condition, Verdict
from mfn_core.metrics.bootstrap import RESAMPLES, Estimate, bootstrap, holm

CLAIM = "On a domain never trained on, a model with MFNs loses at most 5 % of perplexity to its dense twin."
MOST_LOST = 0.05


class Costs(NamedTuple):
    """What texts of one domain cost two models.

    Attributes:
        ours, twin: float64 [texts], nats, summed over a text's tokens.
        tokens: int64 [texts].
    """

    ours: NDArray[np.float64]
    twin: NDArray[np.float64]
    tokens: NDArray[np.int64]


def lost(costs: Costs) -> Estimate:
    """exp(ΔCE) − 1 over all tokens; the interval over texts."""

    def measure(drawn: NDArray[np.int64]) -> float:
        tokens = costs.tokens[drawn].sum()
        return float(np.expm1((costs.ours[drawn].sum() - costs.twin[drawn].sum()) / tokens))

    return bootstrap(costs.tokens, measure)


def not_measured(why: str) -> Verdict:
    """P5 where there is nothing to measure it on."""
    missing = Condition("perplexity lost to the dense twin", "at most", MOST_LOST, None, why_not=why)
    return Verdict("P5", CLAIM, [missing])


def p_value(costs: Costs) -> float:
    """How likely resampled texts are to show a loss above the bound: the one-sided bootstrap test of losing at most so
    much, (1 + times it was above) / (1 + resamples)."""
    rng = np.random.default_rng(0)
    more = costs.ours - costs.twin
    drawn = rng.integers(0, len(more), (RESAMPLES, len(more)))
    above = np.expm1(more[drawn].sum(1) / costs.tokens[drawn].sum(1)) > MOST_LOST
    return float((1 + above.sum()) / (1 + RESAMPLES))


def verdict(
    domains: Mapping[str, Costs],
    home: Mapping[str, Costs],
    tuned_sae: Mapping[str, Costs] | None,
    spliced_sae: Mapping[str, Costs] | None = None,
) -> Verdict:
    """P5 from the costs of texts, by domain.

    Args:
        domains: never trained on, each of which must hold.
        home: held-out text of the domains that were trained on.
        tuned_sae: the same texts with SAEs in place of the MFNs, the Transformer fine-tuned with them; None where there
            is none.
        spliced_sae: the same with SAEs put in without any tuning; None where there are none.

    Each domain has to hold for the prediction to hold: a conjunction of tests needs no correction (Berger 1982). Where
    one asks instead in which domains it holds, the table has p values corrected for their number, by Holm's procedure.
    """
    conditions = [
        Condition(f"perplexity lost to the dense twin on {name}", "at most", MOST_LOST, lost(costs), "share")
        for name, costs in domains.items()
    ]
    corrected = dict(zip(domains, holm([p_value(costs) for costs in domains.values()]), strict=True))
    tables: dict[str, Any] = {
        kind: {
            name: {
                "lost": lost(costs).to_json(),
                "loss": float(costs.ours.sum() / costs.tokens.sum()),
                "twin": float(costs.twin.sum() / costs.tokens.sum()),
                "texts": len(costs.tokens),
                "tokens": int(costs.tokens.sum()),
            }
            for name, costs in found.items()
        }
        for kind, found in (
            ("domains", domains),
            ("home", home),
            ("fine-tuned SAE", tuned_sae or {}),
            ("spliced SAE", spliced_sae or {}),
        )
    }
    for name, p in corrected.items():
        tables["domains"][name]["p_holm"] = p
    missing = [("fine-tuned SAE", tuned_sae), ("spliced SAE", spliced_sae)]
    tables["baselines"] = [
        {"baseline": name, "status": "measured" if found else "not measured", "why": "" if found else "none was given"}
        for name, found in missing
    ]
    return Verdict("P5", CLAIM, conditions, tables)

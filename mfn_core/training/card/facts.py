"""What a model card says of a run, as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfn_core.config import CoderConfig
from mfn_core.intervals import ratio
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import Score
from mfn_core.training.metrics import Metrics

CURVE_POINTS = 40  # a curve is thinned to so many points, each the mean of the lines that it stands for


@dataclass(frozen=True)
class Twin:
    """A dense model on the same held-out text.

    Attributes:
        score: its figures.
        parameters: how many it has.
    """

    score: Score
    parameters: int


@dataclass(frozen=True)
class Facts:
    """What a card is made of.

    Attributes:
        config: of the run.
        step: steps done.
        fingerprint: of the shipped weights.
        parameters: counts, `transformer` and `features`.
        score: of the shipped weights on held-out text.
        twin: the dense twin's, on the same text.
        large_twin: that of a dense model with about as many parameters as Transformer and layers have together.
        layers: by block, the configuration of its sparse code.
        dead_in_training: by block, share of features silent over the last `dead_after` training tokens.
        recipe: what went into training and held-out text.
        environment: versions and commit.
        metrics: lines of the training log.
    """

    config: TrainConfig
    step: int
    fingerprint: str
    parameters: dict[str, int]
    score: Score
    twin: Twin | None
    large_twin: Twin | None
    layers: dict[int, CoderConfig]
    dead_in_training: dict[int, float]
    recipe: dict[str, Any]
    environment: dict[str, str]
    metrics: list[Metrics]


def as_data(facts: Facts) -> dict[str, Any]:
    """The card as plain data. `layers` is a list, one object with a `layer` each; losses are in nats a token."""
    config = facts.config
    return {
        "name": config.name,
        "description": config.description,
        "fingerprint": facts.fingerprint,
        "parameters": facts.parameters,
        "held_out": _held_out(facts),
        "layers": [
            {
                "layer": number,
                **_about(facts.layers[number]),
                "fvu": _round(score.fvu),
                "fvu_stream": _round(score.fvu_stream),
                "l0": _round(score.l0),
                "dead": _round(score.dead),
                "dead_in_training": _round(facts.dead_in_training[number]),
            }
            for number, score in sorted(facts.score.layers.items())
        ],
        "training": {
            "steps": facts.step,
            "steps_planned": config.steps,
            "tokens": facts.step * config.tokens_per_step,
            "seed": config.seed,
            **facts.environment,
            "losses": _weights(config) if facts.layers else {},
        },
        "data": {
            name: {
                "about": config.data.sources[name].about,
                **{key: part[key] for key in ("documents", "tokens", "epochs")},
                "share": _round(part["share"]),
                "held_out_tokens": facts.recipe["valid"][name]["tokens"],
            }
            for name, part in facts.recipe["train"].items()
        },
        "curves": _curves(facts.metrics),
        "config": config.to_json(),
    }


def _about(layer: CoderConfig) -> dict[str, Any]:
    """What a code is. `k` and `alpha` are None where it has none: some SAEs fix no K, and none replaces the stream."""
    out: dict[str, Any] = {"kind": layer.kind, "site": layer.site, "n_features": layer.n_features}
    return out | {name: getattr(layer, name, None) for name in ("k", "alpha")}


def _weights(config: TrainConfig) -> dict[str, Any]:
    """Of the losses; `utility` is the unit."""
    if config.sae.layers:
        return dict(config.sae.objective)
    return {"utility": 1.0, **{name: getattr(config.mfn, name) for name in ("recon", "rate", "comp", "stab", "auxk")}}


def _held_out(facts: Facts) -> dict[str, Any]:
    loss = facts.score.loss
    out: dict[str, Any] = {
        "tokens": facts.score.n_tokens,
        "cross_entropy": _round(loss, 5),
        "perplexity": _round(math.exp(loss)),
    }
    base = [line["valid"]["loss"] for line in facts.metrics if "valid" in line and line["step"] == 0]
    if base:
        out["base_cross_entropy"] = _round(base[0], 5)
    if facts.twin is not None:
        out["dense_twin_cross_entropy"] = _round(facts.twin.score.loss, 5)
        out["above_dense_twin"] = _round(loss - facts.twin.score.loss, 5)
        out["above_dense_twin_interval"] = _interval(facts.score, facts.twin.score)
        out["above_dense_twin_percent"] = _round(100.0 * (loss / facts.twin.score.loss - 1.0))
    if facts.large_twin is not None:
        out["large_twin_cross_entropy"] = _round(facts.large_twin.score.loss, 5)
        out["above_large_twin"] = _round(loss - facts.large_twin.score.loss, 5)
        out["above_large_twin_interval"] = _interval(facts.score, facts.large_twin.score)
        out["large_twin_parameters"] = facts.large_twin.parameters
    return out


def _interval(one: Score, other: Score) -> list[float] | None:
    """Ends of the 95 % interval of the difference of two losses, row by row of the same text; None of a single row."""
    above = np.array(one.rows) - np.array(other.rows)
    ends = ratio(above, np.ones(len(above))).interval() if len(above) > 1 else None
    return None if ends is None else [_round(end, 5) for end in ends]


def _curves(metrics: Iterable[Metrics]) -> dict[str, Any]:
    """Columns of numbers: `training` over its own steps, `held_out` over the steps at which it was measured.

    None stands where a figure was not there yet: those of layers of features begin when these enter.
    """
    lines = list(metrics)
    steps = [line for line in lines if "loss" in line]
    size = max(1, math.ceil(len(steps) / CURVE_POINTS))
    chunks = [steps[start : start + size] for start in range(0, len(steps), size)]
    training: dict[str, Any] = {"step": [chunk[-1]["step"] for chunk in chunks]}
    for key, value in {key: value for line in steps for key, value in line.items()}.items():
        if key in ("alpha", "k"):
            training[key] = [chunk[-1].get(key) for chunk in chunks]
        elif isinstance(value, dict):
            training[key] = {
                n: [_mean(line[key][n] for line in chunk if n in line.get(key, ())) for chunk in chunks] for n in value
            }
        elif key not in ("step", "tokens", "tokens_per_second"):
            training[key] = [_mean(line[key] for line in chunk if key in line) for chunk in chunks]
    measured = [line for line in lines if "valid" in line]
    held_out = {
        "step": [line["step"] for line in measured],
        "cross_entropy": [_round(line["valid"]["loss"]) for line in measured],
    }
    return {"training": training, "held_out": held_out}


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return _round(sum(numbers) / len(numbers)) if numbers else None


def _round(value: float, digits: int = 4) -> float:
    return round(float(value), digits)

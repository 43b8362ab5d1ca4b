"""The model card: one set of facts, written as numbers (`card.json`) and as a text for readers (`README.md`)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mfn_core.config import CoderConfig
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import Score
from mfn_core.training.log import Metrics

CURVE_POINTS = 40  # a curve is thinned to so many points, each the mean of the lines that it stands for
TABLE_ROWS = 12


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
    twin: Score | None
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
        out["dense_twin_cross_entropy"] = _round(facts.twin.loss, 5)
        out["above_dense_twin_percent"] = _round(100.0 * (loss / facts.twin.loss - 1.0))
    return out


def _curves(metrics: Iterable[Metrics]) -> dict[str, Any]:
    """Columns of numbers: `training` over its own steps, `held_out` over the steps at which it was measured."""
    lines = list(metrics)
    steps = [line for line in lines if "loss" in line]
    size = max(1, math.ceil(len(steps) / CURVE_POINTS))
    chunks = [steps[start : start + size] for start in range(0, len(steps), size)]
    training: dict[str, Any] = {"step": [chunk[-1]["step"] for chunk in chunks]}
    for key, value in steps[0].items() if steps else ():
        if key in ("alpha", "k"):
            training[key] = [chunk[-1][key] for chunk in chunks]
        elif isinstance(value, dict):
            training[key] = {n: [_mean(line[key][n] for line in chunk) for chunk in chunks] for n in value}
        elif key not in ("step", "tokens", "tokens_per_second"):
            training[key] = [_mean(line[key] for line in chunk) for chunk in chunks]
    measured = [line for line in lines if "valid" in line]
    held_out = {
        "step": [line["step"] for line in measured],
        "cross_entropy": [_round(line["valid"]["loss"]) for line in measured],
    }
    return {"training": training, "held_out": held_out}


def as_markdown(card: dict[str, Any]) -> str:
    """The card as a README."""
    training, held_out, counts = card["training"], card["held_out"], card["parameters"]
    parts = [f"# {card['name']}"]
    if card["description"]:
        parts.append(card["description"])
    if training["steps"] < training["steps_planned"]:
        parts.append(f"**Unfinished**: step {training['steps']:,} of {training['steps_planned']:,}.")
    parts += ["## Held-out text", *_held_out_text(held_out)]
    if card["layers"]:
        parts += ["## Layers of features", _layer_table(card["layers"]), LAYER_NOTE]
    parts += [
        "## Training",
        _table(
            ["setting", "value"],
            [
                ["parameters of the Transformer", f"{counts['transformer']:,}"],
                ["parameters of the layers of features", f"{counts['features']:,}"],
                ["tokens", f"{training['tokens']:,}"],
                ["steps", f"{training['steps']:,}"],
                ["seed", training["seed"]],
                *[[f"weight of {name}", value] for name, value in training["losses"].items()],
                ["commit", f"`{training['commit']}`"],
                ["torch, transformers", f"{training['torch']}, {training['transformers']}"],
                ["fingerprint", f"`{card['fingerprint']}`"],
            ],
        ),
        _curve_table(card["curves"]),
        "## Data",
        _table(
            ["part", "what it is", "share", "tokens", "documents", "epochs"],
            [
                [
                    name,
                    part["about"],
                    f"{part['share']:.0%}",
                    f"{part['tokens']:,}",
                    f"{part['documents']:,}",
                    part["epochs"],
                ]
                for name, part in card["data"].items()
            ],
        ),
        DATA_NOTE,
        "## Limits",
        LIMITS,
        "## Configuration",
        f"```json\n{json.dumps(card['config'], indent=1, ensure_ascii=False)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


LAYER_NOTE = (
    "FVU is the fraction of variance that the code leaves unexplained (predicting the mean gives 1), in the normalised "
    "units in which the code works and for the residual stream itself; the first position of a document is left out. "
    "L0 is how many features fire on a token. A feature is dead if it fires on no held-out token; in training, if it "
    "was silent over the last stretch that the configuration calls `dead_after`. All figures are measured on the "
    "weights as shipped, in half precision."
)
DATA_NOTE = (
    "Held-out text is of the same parts in the same shares, from documents that were not trained on; generated text "
    "comes from another seed."
)
LIMITS = (
    "A model to show how features can be seen and turned. It may write fluent nonsense, state falsehoods, and repeat "
    "what is offensive in its sources. It is not fit for any other use."
)


def _held_out_text(held_out: dict[str, Any]) -> list[str]:
    rows = [["this model", f"{held_out['cross_entropy']:.4f}"]]
    out = [f"{held_out['tokens']:,} tokens of text that was not trained on."]
    if "base_cross_entropy" in held_out:
        rows.append(["the base before training", f"{held_out['base_cross_entropy']:.4f}"])
    if "dense_twin_cross_entropy" in held_out:
        rows.append(["dense twin", f"{held_out['dense_twin_cross_entropy']:.4f}"])
        out.append(
            f"The twin is the same Transformer without layers of features, trained on the same text in the same order, "
            f"from the same seed, for as many steps. The model's cross-entropy lies "
            f"{held_out['above_dense_twin_percent']:.1f} % above it."
        )
    return [*out, _table(["", "cross-entropy, nats a token"], rows)]


def _layer_table(layers: Sequence[dict[str, Any]]) -> str:
    heads = ["block", "features", "K", "α", "FVU", "FVU of the stream", "L0", "dead", "dead in training"]
    rows = [
        [
            f"{layer['layer']}, {layer['site']}",
            layer["n_features"],
            "–" if layer["k"] is None else layer["k"],
            "–" if layer["alpha"] is None else f"{layer['alpha']:g}",
            f"{layer['fvu']:.3f}",
            f"{layer['fvu_stream']:.3f}",
            f"{layer['l0']:.1f}",
            f"{layer['dead']:.1%}",
            f"{layer['dead_in_training']:.1%}",
        ]
        for layer in layers
    ]
    return _table(heads, rows)


def _curve_table(curves: dict[str, Any]) -> str:
    """A dozen points of the training curve; all of them are in card.json."""
    training = curves["training"]
    stride = max(1, math.ceil(len(training["step"]) / TABLE_ROWS))
    places = range(len(training["step"]) - 1, -1, -stride)
    heads, columns = ["step"], [training["step"]]
    if "utility" in training:
        heads, columns = [*heads, "training cross-entropy"], [*columns, training["utility"]]
    if "alpha" in training:
        heads += ["α", "K"]
        columns += [training["alpha"], training["k"]]
    if "fvu" in training:
        heads += [f"FVU {n}" for n in training["fvu"]]
        columns += list(training["fvu"].values())
    return _table(heads, [[column[place] for column in columns] for place in reversed(places)])


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return _round(sum(numbers) / len(numbers))


def _round(value: float, digits: int = 4) -> float:
    return round(float(value), digits)

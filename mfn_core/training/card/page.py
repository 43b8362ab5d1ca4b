"""A model card as a text for readers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from mfn_core.training.card.measured import sections
from mfn_core.training.card.tables import table
from mfn_core.training.card.targets import targets

TABLE_ROWS = 12


def as_markdown(card: dict[str, Any]) -> str:
    """The card as a README."""
    training, held_out, counts = card["training"], card["held_out"], card["parameters"]
    base = card["config"]["base"]["path"]
    parts = [f"# {card['name']}"]
    if card["description"]:
        parts.append(card["description"])
    if training["steps"] < training["steps_planned"]:
        parts.append(f"**Unfinished**: step {training['steps']:,} of {training['steps_planned']:,}.")
    parts += targets(card)
    parts += ["## Held-out text", *_held_out_text(held_out)]
    if card["layers"]:
        parts += ["## Layers of features", _layer_table(card["layers"]), LAYER_NOTE]
    parts += sections(card.get("measured", {}))
    parts += [
        "## Training",
        table(
            ["setting", "value"],
            [
                ["parameters of the Transformer", f"{counts['transformer']:,}"],
                ["parameters of the layers of features", f"{counts['features']:,}"],
                *([["went on from", f"`{base}`"]] if base else []),
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
        table(
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
    out = [
        f"{held_out['tokens']:,} tokens of text that was not trained on. These figures, and those of the layers, are "
        "measured when a run becomes a bundle (`python -m mfn_core.training.export RUN MODEL --twin TWIN`)."
    ]
    if "base_cross_entropy" in held_out:
        rows.append(["the base before training", f"{held_out['base_cross_entropy']:.4f}"])
    if "dense_twin_cross_entropy" in held_out:
        rows.append(["dense twin", f"{held_out['dense_twin_cross_entropy']:.4f}"])
        out.append(
            f"The twin is the same Transformer without layers of features, trained on the same text in the same order, "
            f"from the same seed, for as many steps. The model's cross-entropy lies "
            f"{_nats(held_out, 'above_dense_twin')}, {held_out['above_dense_twin_percent']:.1f} %, above it."
        )
    if "large_twin_cross_entropy" in held_out:
        rows.append(["dense, of equal total size", f"{held_out['large_twin_cross_entropy']:.4f}"])
        out.append(
            f"The dense model of equal total size has {held_out['large_twin_parameters']:,} parameters, about as many "
            "as this one's Transformer and layers of features together, and saw the same text in the same order. The "
            f"model's cross-entropy lies {_nats(held_out, 'above_large_twin')} above it."
        )
    return [*out, table(["", "cross-entropy, nats a token"], rows)]


def _nats(held_out: dict[str, Any], name: str) -> str:
    """A difference, with its interval if the card has one."""
    said, interval = f"{held_out[name]:.3f} nats", held_out.get(f"{name}_interval")
    return said if interval is None else f"{said} (95 %, over rows of the text: {interval[0]:.3f} to {interval[1]:.3f})"


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
    return table(heads, rows)


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
    rows = [["–" if column[place] is None else column[place] for column in columns] for place in reversed(places)]
    return table(heads, rows)

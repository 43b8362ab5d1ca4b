"""What the project asks of a demo model, and what came out: the figures of a card that have a target, in one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mfn_core.training.card.tables import table

ABOVE_TWIN, FVU, DEAD, ULTRA_RARE, NEAR_TARGET = 0.04, 0.1, 0.02, 0.05, 0.8
CONCEPTS, GOALS, LABELS, BEYOND = 44, 20, 400, 0.5
EXPORT = "python -m mfn_core.training.export RUN MODEL --twin TWIN"


class Target(NamedTuple):
    """One figure.

    Attributes:
        what: is measured.
        asked: of it.
        found: what came out.
        met: whether that is what was asked; None where nothing was.
        command: that prints it.
    """

    what: str
    asked: str
    found: str
    met: bool | None
    command: str


def targets(card: dict[str, Any]) -> list[str]:
    """A section of the card; nothing where a model has no layers of features."""
    rows = list(_targets(card))
    if not rows:
        return []
    met = {True: "yes", False: "no", None: ""}
    note = "Of shares by layer the worst layer's is given. The sections below have each layer, and intervals."
    heads = ["", "asked", "found", "met", "command"]
    lines = [[row.what, row.asked, row.found, met[row.met], f"`{row.command}`"] for row in rows]
    return ["## What was asked for", note, table(heads, lines)]


def _targets(card: dict[str, Any]) -> Iterator[Target]:
    layers, held_out, measured = card["layers"], card["held_out"], card.get("measured", {})
    if not layers or any(layer["alpha"] is None for layer in layers):
        return  # dense, or read from outside: the targets are those of a model that thinks in features
    if "above_dense_twin" in held_out:
        above = held_out["above_dense_twin"]
        asked = f"at most {ABOVE_TWIN:.2f}"
        yield Target("nats above the dense twin", asked, f"{above:.3f}", above <= ABOVE_TWIN, EXPORT)
    if "above_large_twin" in held_out:
        above = held_out["above_large_twin"]
        command = EXPORT.replace("--twin TWIN", "--large-twin TWIN")
        yield Target("nats above a dense model of equal total size", "measured", f"{above:.3f}", None, command)
    fvu, alpha = max(layer["fvu"] for layer in layers), min(layer["alpha"] for layer in layers)
    yield Target("FVU of a layer", f"at most {FVU:.1f}", f"{fvu:.3f}", fvu <= FVU, EXPORT)
    yield Target("α", "1, no bypass", f"{alpha:g}", alpha == 1.0, EXPORT)
    if "rates" in measured:
        yield from _rates(measured["rates"])
    if "concepts" in measured:
        yield from _concepts(measured["concepts"])
    if "presets" in measured:
        works = sum(row["works"] for row in measured["presets"]["found"])
        command = "mfn find-presets MODEL --judge TWIN"
        yield Target("goals that steering reaches", f"at least {GOALS}", str(works), works >= GOALS, command)
    if "atlas" in measured:
        atlas = measured["atlas"]
        found = f"{atlas['features']} ({atlas['unclear']} more unclear)"
        command = "python -m scripts.atlas merge"
        yield Target("features with a label", f"at least {LABELS}", found, atlas["features"] >= LABELS, command)
        held = f"{atlas['held']['part']} of {atlas['held']['whole']}"
        yield Target("labels that held on other text", "measured", held, None, "python -m scripts.atlas tally")
    if "beyond" in measured:
        share = measured["beyond"]["upper"]["share"]["value"]
        what = "live features of the upper half that see beyond their token and are nameable"
        met = share >= BEYOND
        yield Target(what, f"at least {BEYOND:.0%}", f"{share:.0%}", met, "python -m scripts.atlas beyond")


def _rates(report: dict[str, Any]) -> Iterator[Target]:
    layers, command = report["layers"].values(), "mfn rates MODEL RUN"
    dead, rare = (max(layer[name] for layer in layers) for name in ("dead", "ultra_rare"))
    yield Target("dead features", f"under {DEAD:.0%}", f"{dead:.2%}", dead < DEAD, command)
    what = "features that fire on fewer than 1 token in 10⁶"
    yield Target(what, f"under {ULTRA_RARE:.0%}", f"{rare:.2%}", rare < ULTRA_RARE, command)
    near = min(layer["near_target"] for layer in layers)
    what = "live features within 2 × of the target rate"
    yield Target(what, f"at least {NEAR_TARGET:.0%}", f"{near:.0%}", near >= NEAR_TARGET, command)


def _concepts(report: dict[str, Any]) -> Iterator[Target]:
    rows, command = [row for row in report["concepts"] if row["found"]], "mfn concepts MODEL"
    found = f"{len(rows)} of {len(report['concepts'])}"
    yield Target("concepts found", f"at least {CONCEPTS}", found, len(rows) >= CONCEPTS, command)
    if rows and all("ablated" in row for row in rows):
        changes = sum(row["ablated"]["changes"] for row in rows)
        what = "of these, change what they should when ablated"
        yield Target(what, "all", str(changes), changes == len(rows), f"{command} --ablate")

"""The numbers behind verdicts as tables of an evidence document, whatever shape an experiment gave them.

A verdict's tables are lists of rows, or nested mappings: of sources, of layers, of names. Here all become rows of plain
cells: what a mapping had as keys is a column, an estimate is a number with its interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mfn_core.evidence.document import CellKind, Column, Table

LONGEST = 8  # lists in a cell; longer ones are for figures
Row = dict[str, Any]

TITLES = {
    "p1/layers": "Layer by layer",
    "p1/farthest": "Features farthest from their target",
    "p2/means": "Mean AUC of probes on k dimensions",
    "p2/gains": "How much more z tells than another source, by mean AUC − ½",
    "p2/tests": "Concept by concept: is z read better, corrected for how many concepts there are (Holm)",
    "p2/concepts": "Every probe",
    "p3/means": "Alignment, mean over pairs and layers",
    "p3/aligned": "Alignment of each pair in each layer",
    "p3/best": "Features that are most alike",
    "p3/quantiles": "Quantiles of the correlations of matched features",
    "p4/sources": "How well effects of clamping are told: median Spearman's ρ over features",
    "p4/layers": "The same by layer",
    "p4/doses": "The same by dose, in times a feature's greatest strength",
    "p4/inside": "How far the blocks move where a feature is clamped to its greatest strength",
    "p4/side_effects": "KL in texts where the feature is silent: off, on, and a random direction",
    "p4/features": "Every feature that was clamped",
    "p4/interpretability": "How well a short pattern tells where a feature fires, on the other half of the text",
    "p4/explanations": "What was learned of each feature",
    "p4/erasure": "Concepts erased: nats a token more where their detector is ablated",
    "p4/steering": "Concepts steered: share of continuations that have a concept while its detector is turned",
    "p4/steered_concepts": "Concept by concept: share of continuations that have it",
    "p5/baselines": "Baselines",
    "p5/spliced SAE": "The same with SAEs put in without any tuning",
    "p5/domains": "Domains never trained on",
    "p5/home": "Text of the kind that was trained on",
    "p5/fine-tuned SAE": "The same with a fine-tuned SAE",
    "beside/layers": "The model's layers of features on held-out text",
    "beside/saes": "The SAEs on the dense twin, on the same text",
    "beside/cost": "What the model costs, in nats a token, mean over windows of held-out text",
}
CAPTIONS = {
    "p4/steering": "Means over concepts. Dose: what the detector is set to, in times its greatest strength; the other "
    "feature, of the same layer, fires as often and is set to the same values. A probe on tokens tells whether a text "
    "has the concept; concepts that it tells with an AUC below 0.9 are left out. Times as strange: perplexity for the "
    "dense twin, over that of texts with nothing turned; median. Steers: share of concepts that a text has more often "
    "than with nothing turned and than with the other feature, each beyond chance.",
    "p4/steered_concepts": "Over all doses, and at each. Times as strange: as above, over all doses.",
    "beside/layers": "Instability: ‖z − z̃‖² / ‖z‖² under noise of a tenth of each embedding. Reach: over which share "
    "of all logits of a text the ablation of a feature is spread, median of 24 features.",
    "beside/saes": "Added: nats a token with the code in the place of the stream; recovered: of what ablating the "
    "stream to zero, or to its mean, costs.",
}
NAMES = {
    "near_target": "near target",
    "times_target": "times the target",
    "dead": "dead",
    "ultra_rare": "ultra-rare",
    "gini": "Gini",
    "overlap": "overlap, 99th percentile",
    "overlap_max": "overlap, largest",
    "auc 1": "AUC, k = 1",
    "auc 2": "k = 2",
    "auc 5": "k = 5",
    "auc 20": "k = 20",
    "auc full": "all",
    "1": "k = 1",
    "2": "k = 2",
    "5": "k = 5",
    "20": "k = 20",
    "full": "all",
    "lost": "perplexity lost",
    "loss": "cross-entropy",
    "twin": "of the dense twin",
    "cka": "CKA",
    "matched": "matched correlation",
    "matched_live": "of those that fire",
    "strong": "matched strongly",
    "fvu": "FVU",
    "fvu_stream": "FVU of the stream",
    "l0": "L0",
    "spread": "Gini of rates",
    "agreement": "encoder–decoder cosine",
    "moved": "instability",
    "recovered_mean": "recovered, of the mean",
    "first_order": "first order",
    "secant": "secants",
    "random": "random direction",
    "good": "at least 0.8",
    "rho": "ρ",
    "kl": "KL",
    "random_kl": "KL, random",
    "f1": "F1",
    "p_holm": "p, Holm",
    "held_out": "held out",
    "left_out": "left out",
    "with_nothing": "nothing turned",
    "with_other": "another feature turned",
    "with_detector": "detector turned",
    "with_detector_1": "at dose 1",
    "with_detector_2": "at dose 2",
    "with_detector_4": "at dose 4",
    "above_other": "more than the other",
    "stranger": "times as strange",
    "stranger_other": "times as strange, the other",
    "judge": "AUC of the probe",
    "name": "",
}
SHARES = {
    *("rate", "near_target", "dead", "ultra_rare", "dense", "lost", "strong", "good", "monotone", "random_monotone"),
    *("with_nothing", "with_other", "with_detector", "with_detector_1", "with_detector_2", "with_detector_4"),
    *("above_other", "steers"),
}
UNITS = {"loss": "nats", "twin": "nats", "kl": "nats", "random_kl": "nats", "inside": "nats", "outside": "nats"}


def table(key: str, value: Any, title: str = "", caption: str = "") -> Table | None:
    """One table of a verdict.

    Args:
        key: of the table in the document, such as "p1/layers".
        value: as the verdict has it.
        title, caption: in words; the title is looked up, or made of the key, where it is left out.

    Returns:
        None where there is nothing to show.
    """
    rows = [_with_feature(row) for row in rows_of(value)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    ends = {f"{name}{end}" for name in names for end in ("_low", "_high") if f"{name}{end}" in names}
    columns = [_column(name, rows) for name in names if name not in ends]
    if not columns:
        return None
    return Table(
        key,
        title or TITLES.get(key) or key.rpartition("/")[2].replace("_", " "),
        columns,
        rows,
        caption or CAPTIONS.get(key, ""),
    )


def rows_of(value: Any) -> list[Row]:
    """Rows of plain cells. An estimate in `x` gives `x`, `x_low` and `x_high`."""
    if isinstance(value, list | tuple):
        return [dict(_cells(row)) for row in value if isinstance(row, Mapping)]
    if not isinstance(value, Mapping) or not value:
        return []
    if any(not isinstance(each, Mapping | list | tuple) or is_estimate(each) for each in value.values()):
        return [{"name": key} | dict(_cells({"value": each})) for key, each in value.items()]
    rows: list[Row] = []
    for key, each in value.items():
        if isinstance(each, Mapping) and each and _is_row(each):
            rows.append(_named(key) | dict(_cells(each)))
        else:
            rows += [{"source": key} | row for row in rows_of(each)]
    return rows


def is_estimate(value: Any) -> bool:
    """Whether it is what `Estimate.to_json` gives."""
    return isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys()


def _is_row(value: Mapping[str, Any]) -> bool:
    return any(not isinstance(each, Mapping | list | tuple) or is_estimate(each) for each in value.values())


def _named(key: str) -> Row:
    return {"layer": int(key)} if str(key).isdecimal() else {"name": key}


def _cells(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        name = f"{before}{key}"
        if is_estimate(value):
            yield from ((name, value["value"]), (f"{name}_low", value["low"]), (f"{name}_high", value["high"]))
        elif isinstance(value, Mapping):
            yield from _cells(value, f"{name} ")
        elif isinstance(value, list | tuple):
            if len(value) <= LONGEST and not any(isinstance(each, list | tuple | Mapping) for each in value):
                yield name, list(value)
        else:
            yield name, value


def _with_feature(row: Row) -> Row:
    """`feature` becomes one that a page links to, where the row says its layer."""
    layer, feature = row.get("layer"), row.get("feature")
    return row | {"feature": [layer, feature]} if isinstance(layer, int) and isinstance(feature, int) else row


def _column(name: str, rows: Sequence[Row]) -> Column:
    held = [row[name] for row in rows if row.get(name) is not None]
    kind: CellKind = "text" if any(isinstance(each, str | list) for each in held) else "number"
    if name == "feature" and held and all(isinstance(each, list) and len(each) == 2 for each in held):
        kind = "feature"
    elif name in SHARES and kind == "number":
        kind = "share"
    elif name == "status":
        kind = "status"
    return Column(name, NAMES.get(name, name.replace("_", " ")), kind, UNITS.get(name, ""))

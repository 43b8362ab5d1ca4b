"""Reports of later measurements on a model, added to its card: how often features fire, concepts, presets, and so on.

    python -m mfn_core.training.card demo/model rates.json concepts.json

A report is what a command wrote with `--json`. It says of what kind it is, and on which weights it was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mfn_core.errors import MFNError
from mfn_core.intervals import Share
from mfn_core.training.card.readers import atlas, beyond, detection
from mfn_core.training.card.tables import share, table


def add_reports(folder: Path, reports: Sequence[Path]) -> dict[str, Any]:
    """Puts reports into the `card.json` of a bundle; one of a kind that is there already takes its place.

    Returns:
        The card.

    Raises:
        MFNError: there is no card; a report cannot be read, is of no known kind, or of other weights.
    """
    card = _read(folder / "card.json")
    measured = card.setdefault("measured", {})
    for path in reports:
        report = _read(path)
        kind = report.get("kind")
        if kind not in SECTIONS:
            raise MFNError(f"{path} is no report of a known kind: {', '.join(SECTIONS)}")
        if report.get("model") != card["fingerprint"]:
            raise MFNError(f"{path} was measured on other weights than those in {folder}")
        measured[kind] = report
    card["measured"] = {kind: measured[kind] for kind in SECTIONS if kind in measured}
    return card


def sections(measured: Mapping[str, Any]) -> Iterable[str]:
    """What a card for readers says of each report, in a fixed order."""
    for kind, write in SECTIONS.items():
        if kind in measured:
            yield from write(measured[kind])


def _rates(report: dict[str, Any]) -> list[str]:
    heads = ["block", "dead", "under 1 in 10⁶", "of the live, within 2 × of the target rate", "median rate / target"]
    rows = [
        [
            number,
            f"{layer['dead']:.2%}",
            f"{layer['ultra_rare']:.2%}",
            f"{layer['near_target']:.1%}",
            f"{layer['quantiles']['0.5']:.2f}",
        ]
        for number, layer in report["layers"].items()
    ]
    note = (
        f"Counted over {report['tokens']:,} tokens of training text (`mfn rates MODEL RUN`). Features that fire on "
        "fewer than one token in a million include those that never fire; the target rate is K / F."
    )
    return ["## How often features fire", note, table(heads, rows)]


def _concepts(report: dict[str, Any]) -> list[str]:
    found = [row for row in report["concepts"] if row["found"]]
    ablated = [row["ablated"] for row in found if "ablated" in row]
    note = (
        f"{len(found)} of {len(report['concepts'])} concepts are found "
        f"(`mfn concepts MODEL{' --ablate' if ablated else ''}`): a feature, "
        "chosen with a threshold on one half of labelled text, has precision of at least 0.9 at a recall of at least "
        "0.3 on the other half. In brackets: 95 % intervals."
    )
    heads = ["concept", "feature", "precision", "recall", "base rate", ""]
    if ablated:
        specific, changes = (sum(each[what] for each in ablated) for what in ("specific", "changes"))
        note += (
            " Ablated: what the next token then costs more, in nats, inside and outside of the concept; and inside "
            "where another feature of the layer that fires as often is ablated instead. "
            f"{specific} of those found cost more inside than outside beyond chance, and {changes} of these more than "
            "the other feature, too: they change what they should."
        )
        heads[-1:] = ["ablated: inside", "outside", "another: inside", "changes", ""]
    rows = [
        [
            row["concept"],
            f"L{row['layer']}/{row['feature']}",
            share(row["precision"]),
            share(row["recall"]),
            f"{row['base']['value']:.3f}",
            *(_ablated(row.get("ablated")) if ablated else ()),
            "found" if row["found"] else "",
        ]
        for row in report["concepts"]
    ]
    return ["## Concepts", note, table(heads, rows)]


def _ablated(effect: dict[str, Any] | None) -> list[str]:
    if effect is None:
        return ["–", "–", "–", ""]
    means = (effect["inside"], effect["outside"], effect["control"]["inside"])
    return [*map(_nats, means), "yes" if effect["changes"] else "no"]


def _nats(mean: dict[str, Any]) -> str:
    ends = mean["interval"]
    return f"{mean['value']:+.3f}" + (f" ({ends[0]:+.2f} to {ends[1]:+.2f})" if ends else "")


def _index(report: dict[str, Any]) -> list[str]:
    shares = ("0.1", "0.25", "0.5", "0.75", "0.9")
    heads = ["block", "features that fire", "counted", *(f"{float(s):.0%}" for s in shares), "under 0.3"]
    rows = []
    for number, layer in report["layers"].items():
        r2 = layer["token_r2"]
        figures = [f"{r2['quantiles'][s]:.2f}" for s in shares] if r2["quantiles"] else ["–"] * len(shares)
        under = "–" if r2["under_0.3"] is None else f"{r2['under_0.3']:.0%}"
        rows.append([number, f"{layer['alive']:,}", f"{r2['features']:,}", *figures, under])
    note = (
        f"Token R² is the share of a feature's variance that a look-up by the current token explains: 1 for a feature "
        f"that only restates its token, under 0.3 for one that fires by context. Measured when the features were "
        f"indexed on {report['tokens']:,} tokens (`mfn info DB`); counted are features that fire at least 200 times in "
        "each half of the text. The columns are quantiles over these."
    )
    return ["## More than the current token", note, table(heads, rows)]


def _turned(layer: int, feature: int, value: float, stop: int | None = None) -> str:
    """One feature, what it is set to, and for how many new tokens if not for all."""
    return f"L{layer}/{feature} = {value:g}" + (f" for {stop} tokens" if stop else "")


def _presets(report: dict[str, Any]) -> list[str]:
    works = [row for row in report["found"] if row["works"]]
    prompts = len(report["prompts"])
    note = (
        f"{len(works)} of {len(report['found'])} goals work (`mfn find-presets MODEL --judge DENSE-TWIN`): over "
        f"{prompts} prompts that played no part in the choice, at least half of the texts pass the goal's test, greedy "
        f"and at a temperature of {report['temperature']:g} alike, five times as many as under other features turned "
        "as strongly, at a perplexity under the judge of at most twice that of untouched texts. Words that the turned "
        "features promote, ten tokens each, do not count. In brackets: 95 % intervals. Ready-made ones are measured "
        "again by `mfn presets MODEL --judge DENSE-TWIN`."
    )
    heads = ["goal", "turned", "greedy", "others", "perplexity", "sampled", "others", "perplexity"]
    rows = []
    for row in sorted(works, key=lambda row: -float(row["greedy"]["steered"])):
        cells = [row["name"], ", ".join(_turned(*turn) for turn in row["turned"])]
        for how in (row["greedy"], row["sampled"]):
            strange = how["perplexity"] / how["plain_perplexity"]
            cells += [_of_prompts(how, "steered"), _of_prompts(how, "others"), f"{strange:.2f} ×"]
        rows.append(cells)
    return ["## Steering", note, table(heads, rows)]


def _of_prompts(how: dict[str, Any], whose: str) -> str:
    passed = Share(round(how[whose] * how["prompts"]), how["prompts"])
    low, high = passed.interval()
    return f"{passed.value:.0%} ({low:.0%}–{high:.0%})"


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "rates": _rates,
    "concepts": _concepts,
    "index": _index,
    "presets": _presets,
    "atlas": atlas,
    "detection": detection,
    "beyond": beyond,
}


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MFNError(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise MFNError(f"{path} is no report")
    return cast("dict[str, Any]", data)

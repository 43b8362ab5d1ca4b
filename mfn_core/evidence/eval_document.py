"""The verdicts of `mfn eval` as an evidence document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfn_core.evidence.document import Document, Table
from mfn_core.evidence.eval_figures import concept_table, figures_of
from mfn_core.evidence.verdict_tables import table

SECTIONS = {
    "p1": "P1: firing rates and overlap",
    "p2": "P2: concepts read from few features",
    "p3": "P3: alignment across seeds",
    "p4": "P4: interventions do what was predicted",
    "p5": "P5: transfer to other domains",
    "beside": "What the codes are like, and what the model costs",
}


def eval_document(
    name: str,
    verdicts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    made: Mapping[str, Any],
    beside: Mapping[str, Any] | None = None,
) -> Document:
    """What `mfn eval` writes.

    Args:
        name: what the model is called.
        verdicts: what `Verdict.to_json` gives, each. Tables that are not known here are shown as they are.
        settings: what the numbers depend on; `model` is the fingerprint by which a page knows whose report it is.
        made: `mfn_core.provenance.provenance()`.
        beside: what `measures` of `mfn_core.experiments` gives, if anything.
    """
    tables: list[Table | None] = []
    figures = []
    for verdict in verdicts:
        section = str(verdict["name"]).lower()
        found = verdict.get("tables") or {}
        figures += figures_of(verdict)
        if section == "p2":
            tables.append(concept_table(found))
        tables += [table(f"{section}/{key}", value) for key, value in found.items()]
    tables += [table(f"beside/{key}", value) for key, value in (beside or {}).items()]
    return Document(
        "eval",
        name,
        f"{name}: five predictions",
        summary(verdicts),
        settings,
        made,
        verdicts,
        tables=[each for each in tables if each is not None],
        figures=figures,
        sections=SECTIONS,
    )


def summary(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """How many stand how, in a sentence: "P1 fails; P2 is undecided; P3, P4 and P5 are not measured."."""
    said = {"holds": ("holds", "hold"), "fails": ("fails", "fail")}
    parts = []
    for status in ("holds", "fails", "undecided", "not measured"):
        names = [str(verdict["name"]) for verdict in verdicts if verdict["status"] == status]
        if names:
            one, many = said.get(status, (f"is {status}", f"are {status}"))
            listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
            parts.append(f"{listed} {one if len(names) == 1 else many}")
    return f"{'; '.join(parts)}." if parts else "Nothing was measured."

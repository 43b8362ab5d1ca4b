"""What readers made of the features: sections of a card on labels, and on what can be told from them."""

from __future__ import annotations

from typing import Any

from mfn_core.training.card.tables import share, table


def atlas(report: dict[str, Any]) -> list[str]:
    """Labels, and how many held."""
    confidence = ", ".join(f"{n:,} {kind}" for kind, n in report["confidence"].items())
    how = report["how"].rstrip(".")
    note = (
        f"{report['features']:,} features have an automatic label; {report['unclear']:,} more were read and found "
        f"unclear. Confidence: {confidence}.{f' How they were written: {how}.' if how else ''} Then "
        f"{report['checked']:,} labels, drawn at random, were judged beside contexts from text that none was read from "
        "(`python -m scripts.atlas check`, `tally`). In brackets: 95 % intervals."
    )
    rows = [[kind, f"{report[kind]['part']:,}", share(report[kind])] for kind in ("held", "partly", "not")]
    return ["## Labels", note, table(["verdict", "labels", "share"], rows)]


def detection(report: dict[str, Any]) -> list[str]:
    """Whether a label tells where its feature fires."""
    left = f" {report['unanswered']:,} more were asked about and not answered." if report["unanswered"] else ""
    strong = f", at {report['strong']:.0%} of its maximum or above," if report["strong"] else ""
    note = (
        f"From a feature's label alone, a reader says in which of ten snippets of {report['corpus']} it fires{strong} "
        "(`python -m scripts.atlas quiz`, `score`). The score is balanced accuracy: 0.5 by guessing, 1 without a "
        f"mistake. In brackets: 95 % intervals. Features that fire by context have a token R² under 0.3.{left}"
    )
    parts = [("all", report), ("fire by context", report["context"])]
    rows = [[name, *_detected(part)] for name, part in parts if part is not None]
    told = ["asked about", "mean score", "share at 0.7 or more"]
    written = ["## Detection", note, table(["features", *told], rows)]
    by_layer = [
        [number, *_detected(layer), *(_detected(layer["context"])[::2] if layer["context"] else ["0", ""])]
        for number, layer in report.get("layers", {}).items()
    ]
    if by_layer:
        written.append(table(["block", *told, "by context: asked about", "share at 0.7 or more"], by_layer))
    return written


def _detected(summary: dict[str, Any]) -> list[str]:
    return [f"{summary['features']:,}", share(summary["mean"]), share(summary["at_least_0.7"])]


def beyond(report: dict[str, Any]) -> list[str]:
    """How many features see beyond their token and can be named."""
    strong = f" at {report['strong']:.0%} of its maximum or above" if report["strong"] else ""
    note = (
        "How many features see beyond their token and can be named (`python -m scripts.atlas beyond`): of all that "
        "fire, the share with at least 200 firings in each half of the text and a token R² under 0.3, times the share "
        "of those read that got a label, times the share of labelled ones that are told from the label alone, at a "
        f"score of 0.7 or more, where the feature fires{strong}. In brackets: 95 % intervals, over the features that "
        "were drawn."
    )
    heads = ["block", "features that fire", "by context", "labelled, of those read", "told, of those asked", "in all"]
    parts = [*report["layers"].items(), ("upper half", report["upper"])]
    return ["## Beyond the token, and nameable", note, table(heads, [_beyond(*part) for part in parts])]


def _beyond(name: str, part: dict[str, Any]) -> list[str]:
    low, high = part["share"]["interval"]
    counted = [f"{part[key]['part']} of {part[key]['whole']}" for key in ("named", "detected")]
    estimate = f"{part['share']['value']:.0%} ({low:.0%}–{high:.0%})"
    return [name, f"{part['live']:,}", f"{part['context']:,}", *counted, estimate]

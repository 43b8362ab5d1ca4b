"""`mfn concepts`: which features of a model stand for concepts that are labelled in text, and how well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.table import Table

from mfn_server.options import ModelFolder, TableFile

if TYPE_CHECKING:
    from mfn_core.evaluation.ablation import AblationEffect
    from mfn_core.evaluation.concepts import Detector
    from mfn_core.evaluation.labelled import LabelledText

FEWEST = 6  # texts with a concept: with fewer, neither half of them could tell much
BY_TEXT = frozenset({"topic", "discourse"})  # kinds of which not every word of a text is an instance


def concepts(
    model: ModelFolder,
    labels: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="FILE|FOLDER", help="Labelled text, JSON lines; repeatable. [what comes with MFN Studio]"),
    ] = None,
    scripts: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="CORPUS",
            help="Text in many scripts, which needs no labels; repeatable. [what comes with MFN Studio]",
        ),
    ] = None,
    rules: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Rules that tell further concepts in this text (TOML); repeatable. [what comes with MFN Studio]",
        ),
    ] = None,
    formats: Annotated[int, typer.Option(help="Generated documents of each format to add.", min=0)] = 60,
    ablate: Annotated[bool, typer.Option("--ablate", help="Measure what ablating each feature costs, too.")] = False,
    json_file: TableFile = None,
) -> None:
    """Find the feature that stands for each labelled concept, on one half of the text, and score it on the other.

    A concept counts as found where precision is at least 0.9 at a recall of at least 0.3.
    """
    from mfn_core.evaluation.ablation import Ablations
    from mfn_core.evaluation.concepts import find_detectors
    from mfn_core.evaluation.labelled import concepts_of, tokenise
    from mfn_core.model import MFNModel

    loaded = MFNModel.from_pretrained(model)
    texts = _texts(labels or [], scripts or [], rules or [], formats)
    names = concepts_of(texts, FEWEST)
    units: dict[str, Any] = {name: "text" if name.split("/")[0] in BY_TEXT else "token" for name in names}
    tokenizer, start, longest = loaded.required_tokenizer, loaded.bos_token_id, loaded.max_context
    console = Console(stderr=True, highlight=False)
    with console.status("reading text") as status:
        tokens = [tokenise(text, names, tokenizer, start, longest) for text in texts]
        status.update(f"looking for {len(names)} concepts in {sum(len(t.ids) for t in tokens):,} tokens")
        detectors = find_detectors(loaded, tokens, units)
        effects: dict[str, AblationEffect] = {}
        if ablate:
            ablations = Ablations(loaded, [text for text in tokens if text.scored])
            for number, d in enumerate(detectors, start=1):
                status.update(f"ablating {d.concept} ({number} of {len(detectors)})")
                effects[d.concept] = ablations.effect(d.layer, d.feature, names.index(d.concept))
    detectors.sort(key=lambda d: (d.concept.split("/")[0], -d.precision.value))
    out = Console(highlight=False)
    out.print(_table(detectors, effects))
    found = [d for d in detectors if d.found]
    out.print(f"{len(found)} of {len(detectors)} concepts found", end="")
    out.print(f"; {sum(effects[d.concept].specific for d in found)} of these cost more inside" if ablate else "")
    if json_file is not None:
        rows = [_row(d, effects.get(d.concept)) for d in detectors]
        json_file.write_text(
            json.dumps({"kind": "concepts", "model": loaded.fingerprint, "concepts": rows}, indent=2) + "\n"
        )


def _texts(labels: list[str], scripts: list[str], rules: list[Path], per_format: int) -> list[LabelledText]:
    from mfn_core.evaluation.labelled import read_labelled
    from mfn_core.evaluation.rules import read_rules, with_rules
    from mfn_core.evaluation.sources import formats, unlabelled, with_scripts
    from mfn_server import resources

    demo = resources.demo()
    told = [rule for path in rules or ([] if labels else [demo / "concepts/rules.toml"]) for rule in read_rules(path)]
    written = [text for spec in (labels or [str(demo / "concepts")]) for text in read_labelled(spec)]
    read = list(with_rules(written, told))
    read += [text for spec in scripts or [str(demo / "corpus/passages/languages.jsonl")] for text in unlabelled(spec)]
    return [*with_scripts(read), *(formats(per_format) if per_format else ())]


def _table(detectors: list[Detector], effects: dict[str, AblationEffect]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("concept")
    for name in ("feature", "from", "precision", "95 %", "recall", "base"):
        table.add_column(name, justify="right")
    if effects:
        table.add_column("ablated: inside", justify="right")
        table.add_column("outside", justify="right")
    table.add_column("")
    for d in detectors:
        low, high = d.precision.interval()
        cells = [
            d.concept,
            f"L{d.layer}/{d.feature}",
            f"{d.threshold:.2f}",
            f"{d.precision.value:.3f}",
            f"{low:.2f}–{high:.2f}",
            f"{d.recall.value:.3f}",
            f"{d.base.value:.3f}",
        ]
        if effects:
            effect = effects[d.concept]
            cells += [f"{effect.inside:+.3f}", f"{effect.outside:+.3f}"]
        table.add_row(*cells, "found" if d.found else "")
    return table


def _row(d: Detector, effect: AblationEffect | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "concept": d.concept,
        "unit": d.unit,
        "layer": d.layer,
        "feature": d.feature,
        "threshold": d.threshold,
        "precision": d.precision.to_json(),
        "recall": d.recall.to_json(),
        "base": d.base.to_json(),
        "found": d.found,
    }
    if effect is not None:
        names = ("inside", "inside_error", "outside", "outside_error")
        row["ablated"] = {name: getattr(effect, name) for name in names} | {"specific": effect.specific}
    return row

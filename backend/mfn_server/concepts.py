"""`mfn concepts`: which features of a model stand for concepts that are labelled in text, and how well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.table import Table

from mfn_server.options import Formats, Labels, ModelFolder, Scripts
from mfn_server.printing import wide_console
from mfn_server.progress import telling
from mfn_server.report_file import ReportFile

if TYPE_CHECKING:
    from mfn_core.evaluation.ablation import AblationEffect
    from mfn_core.evaluation.concepts import Detector
    from mfn_core.evaluation.labelled import LabelledText

FEWEST = 6  # texts with a concept: with fewer, neither half of them could tell much


def concepts(
    model: ModelFolder,
    labels: Labels = None,
    scripts: Scripts = None,
    rules: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            metavar="FILE",
            help="Rules that tell further concepts in this text (TOML); repeatable. [what comes with MFN Studio]",
        ),
    ] = None,
    formats: Formats = 60,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Measure what ablating each that is found costs, too.")
    ] = False,
    json_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write the table to this file, too. What is done goes into FILE.journal until all is: a run that was "
            "interrupted goes on there when the same is asked for again.",
        ),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Begin anew, whatever FILE.journal holds.")] = False,
) -> None:
    """Find the feature that stands for each labelled concept, on one half of the text, and score it on the other.

    A concept counts as found where precision is at least 0.9 at a recall of at least 0.3. Its feature changes what it
    should where ablating it costs more on the concept than elsewhere, and more there than ablating another feature of
    the same layer that fires as often (95 % intervals).
    """
    from mfn_core.evaluation.concept_table import ConceptTable, settings
    from mfn_core.evaluation.concepts import BY_TEXT
    from mfn_core.evaluation.journal import Journal
    from mfn_core.evaluation.labelled import concepts_of, tokenise
    from mfn_core.model import MFNModel

    out_file = ReportFile(json_file)
    loaded = MFNModel.from_pretrained(model)
    with telling() as tell:
        tell("reading text", 0.0)
        texts = labelled_texts(labels or [], scripts or [], rules or [], formats)
        names = concepts_of(texts, FEWEST)
        units: dict[str, Any] = {name: "text" if name.split("/")[0] in BY_TEXT else "token" for name in names}
        given = loaded.required_tokenizer, loaded.bos_token_id, loaded.max_context
        tokens = []
        for number, text in enumerate(texts):
            tokens.append(tokenise(text, names, *given))
            tell("reading text", number / len(texts))
        if anew and out_file.journal is not None:
            out_file.journal.unlink(missing_ok=True)
        journal = Journal(out_file.journal, settings(loaded, tokens, units))
        table = ConceptTable(loaded, tokens, units, journal, tell)
        detectors = table.detectors()
        effects = table.effects(detectors) if ablate else {}
    detectors.sort(key=lambda d: (d.concept.split("/")[0], -d.precision.value))
    out = wide_console()
    out.print(_table(detectors, effects))
    out.print("\n".join(_summary(detectors, effects)))
    if json_file is not None:
        rows = [
            d.to_json() | ({"ablated": effects[d.concept].to_json()} if d.concept in effects else {}) for d in detectors
        ]
        out_file.write({"kind": "concepts", "model": loaded.fingerprint, "concepts": rows})
        journal.remove()


def labelled_texts(labels: list[str], scripts: list[str], rules: list[Path], per_format: int) -> list[LabelledText]:
    """Labelled text of files and folders, or what comes with MFN Studio where none are given."""
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
        for name in ("ablated: inside", "95 %", "outside", "another: inside"):
            table.add_column(name, justify="right")
    for _ in range(1 + bool(effects)):
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
        if effects and d.concept not in effects:
            cells += [""] * 5
        elif effects:
            effect = effects[d.concept]
            least, most = effect.inside.interval()
            cells += [f"{effect.inside.value:+.3f}", f"{least:+.3f} to {most:+.3f}"]
            cells += [f"{effect.outside.value:+.3f}", f"{effect.control_inside.value:+.3f}"]
            cells += ["changes" if effect.changes else ""]
        table.add_row(*cells, "found" if d.found else "")
    return table


def _summary(detectors: list[Detector], effects: dict[str, AblationEffect]) -> list[str]:
    found = [d.concept for d in detectors if d.found]
    lines = [f"{len(found)} of {len(detectors)} concepts found"]
    if effects:
        specific, changes = (sum(getattr(effects[name], what) for name in found) for what in ("specific", "changes"))
        lines.append(
            f"ablated, {specific} of these cost more inside than outside, and {changes} more there than another "
            "feature of the layer, too"
        )
    return lines

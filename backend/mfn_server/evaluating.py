"""`mfn eval`: the paper's predictions, tested on a model against its baselines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.table import Table

from mfn_server.eval_report import EvalReport
from mfn_server.options import Formats, Labels, ModelFolder, Scripts
from mfn_server.printing import wide_console
from mfn_server.progress import telling

if TYPE_CHECKING:
    from mfn_core.evaluation.verdicts import Condition, Verdict
    from mfn_core.experiments.material import Texts
    from mfn_core.model import MFNModel

FEWEST = 6  # texts with a concept, below which probes are not tried


def evaluate(
    model: ModelFolder,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Held-out text of the kind the model was trained on: a corpus.")
    ],
    twin: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="MODEL", help="The dense twin, trained alike: P5 is against it."),
    ] = None,
    sae: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="MODEL", help="The dense twin equipped with post-hoc SAEs of equal width and K: for P2."),
    ] = None,
    tuned_sae: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="MODEL", help="The dense twin with SAEs in place of its stream, trained on with them: beside P5."
        ),
    ] = None,
    seed_model: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            metavar="MODEL",
            help="MODEL trained with another seed, the same in all else: for P3, which needs two or more; repeatable.",
        ),
    ] = None,
    seed_sae: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            metavar="MODEL",
            help="The SAEs on the dense twin of a --seed-model, for P3: as many as of these, in their order. Those of "
            "MODEL itself are --sae.",
        ),
    ] = None,
    domain: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="NAME=CORPUS", help="Text of a domain that was never trained on, for P5; repeatable."),
    ] = None,
    labels: Labels = None,
    concepts: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            metavar="FILE|FOLDER",
            help="Labelled text in parquet files, told by their columns (text and label; words and upos; …); "
            "repeatable. Like that of --labels, --scripts and --formats, beside which it comes, it is for P2.",
        ),
    ] = None,
    scripts: Scripts = None,
    control: Annotated[
        bool, typer.Option("--control", help="Measure P1, P2 and P3 on a Transformer of random weights, too.")
    ] = False,
    sweeps: Annotated[
        int, typer.Option(help="Features of each source that are clamped, for P4; 0 for none.", min=0)
    ] = 240,
    formats: Formats = 60,
    tokens: Annotated[int, typer.Option(help="Most tokens to read of each corpus.", min=1000)] = 200_000,
    seed: Annotated[int, typer.Option(help="Of random codes, samples and intervals.")] = 0,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FOLDER",
            help="Write the report there: NAME.json, which the Evidence page shows, and NAME.html, which needs nothing "
            "else. What is done is kept beside it until all is: a run that was interrupted goes on there, and one that "
            "is asked for again computes nothing.",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="What the model is called in it. [as its card, or its folder, has it]")
    ] = "",
    json_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write the JSON alone, to this file. What is done goes into FILE.journal until all is.",
        ),
    ] = None,
) -> None:
    """Test the paper's five predictions on a model: P1 (rates and overlap), P2 (probes), P3 (alignment across seeds),
    P4 (interventions) and P5 (transfer).

    A condition holds where all of its 95 % interval does, fails where none of it does, and is undecided otherwise. A
    prediction holds where all of its conditions do, and fails where one fails.
    """
    from mfn_core.errors import ConfigError
    from mfn_core.evaluation.concepts import BY_TEXT

    try:
        from mfn_core.experiments.evidence import verdicts
        from mfn_core.experiments.material import Material
        from mfn_core.experiments.measures import measures
    except ModuleNotFoundError as error:  # scikit-learn brings scipy
        raise ConfigError(f"mfn eval needs {error.name}: pip install 'mfn-studio[eval]'") from error
    from mfn_core.evaluation.concept_files import read_concepts
    from mfn_core.evaluation.journal import Journal
    from mfn_core.evaluation.labelled import concepts_of, tokenise
    from mfn_core.model import MFNModel
    from mfn_server.concepts import labelled_texts

    report = EvalReport(out, json_file, name or _name(model))
    loaded = MFNModel.from_pretrained(model)
    with telling() as tell:
        tell("reading text", None)
        labelled = labelled_texts(labels or [], scripts or [], [], formats)
        read = [read_concepts(where, seed) for where in concepts or []]
        labelled += [text for one in read for text in one.texts]
        whole = BY_TEXT.union(*(one.whole for one in read))
        names = concepts_of(labelled, FEWEST)
        given = loaded.required_tokenizer, loaded.bos_token_id, loaded.max_context
        material = Material(
            loaded,
            _texts(loaded, text, tokens),
            None if twin is None else MFNModel.from_pretrained(twin),
            None if sae is None else MFNModel.from_pretrained(sae),
            {name: _texts(loaded, corpus, tokens) for name, corpus in _domains(domain or [])},
            [tokenise(each, names, *given) for each in labelled],
            {name: name.split("/")[0] in whole for name in names},
            [MFNModel.from_pretrained(folder) for folder in seed_model or []],
            [MFNModel.from_pretrained(folder) for folder in seed_sae or []],
            sweeps,
            None if tuned_sae is None else MFNModel.from_pretrained(tuned_sae),
            control,
        )
        settings = material.settings(seed)
        kept = report.kept(settings)
        journal = Journal(None if kept else report.journal, settings)
        found = kept or verdicts(material, journal, seed, tell)
        beside = {} if kept else measures(material, journal, seed, tell)
    console = wide_console()
    for verdict in found:
        console.print(_table(verdict))
    if kept:
        console.print(f"nothing has changed since {report.path} was written: the verdicts are from there", markup=False)
        return
    for path in report.write(found, settings, beside):
        console.print(f"wrote {path}", markup=False)
    journal.remove()


def _name(model: Path) -> str:
    """As the dashboard calls it."""
    from mfn_server.model_facts import read_card

    return str(read_card(model).get("name") or model.resolve().name)


def _domains(given: list[str]) -> Iterator[tuple[str, str]]:
    from mfn_core.errors import ConfigError

    for spec in given:
        name, equals, corpus = spec.partition("=")
        if not (name and equals and corpus):
            raise ConfigError(f"--domain takes NAME=CORPUS, such as reviews=reviews.jsonl, not {spec!r}")
        yield name, corpus


def _texts(model: MFNModel, corpus: str, tokens: int) -> Texts:
    """The first texts of a corpus, up to so many tokens, in windows.

    Raises:
        CorpusError: it cannot be read, or holds no text.
    """
    from mfn_core.data.corpus import read_corpus
    from mfn_core.errors import CorpusError
    from mfn_core.evaluation.text_costs import windows

    found: list[Any] = []
    held = 0
    for document in read_corpus(corpus):
        ids = model.required_tokenizer.encode(document.text, add_special_tokens=False)[: tokens - held]
        if ids:
            found.append(windows(ids, model.bos_token_id, model.max_context))
            held += len(ids)
        if held >= tokens:
            break
    if not found:
        raise CorpusError(f"{corpus} holds no text")
    return found


def _table(verdict: Verdict) -> Table:
    table = Table(box=None, header_style="bold", title=f"{verdict.name} {verdict.status}", title_justify="left")
    table.caption, table.caption_justify = verdict.claim, "left"
    table.add_column("condition")
    for name in ("measured", "95 %", "asked"):
        table.add_column(name, justify="right")
    table.add_column("")
    for condition in verdict.conditions:
        table.add_row(condition.claim, *_numbers(condition), condition.status)
    return table


def _numbers(condition: Condition) -> tuple[str, str, str]:
    asked = f"{condition.sense} {condition.bound:g}"
    if condition.estimate is None:
        return condition.why_not, "", asked
    low, high = condition.estimate.low, condition.estimate.high
    return f"{condition.estimate.value:.3f}", f"{low:.3f} to {high:.3f}", asked

"""`mfn toy`: published toy models, trained anew, with their findings as checks on the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.table import Table

from mfn_server.printing import wide_console
from mfn_server.progress import telling

if TYPE_CHECKING:
    from mfn_core.evidence.document import Document
    from mfn_core.toy.work import Once, Tell

toy = typer.Typer(
    name="toy", help="Train toy models whose features are known.", no_args_is_help=True, rich_markup_mode=None
)

Quick = Annotated[bool, typer.Option("--quick", help="Small models: a minute or two in place of a quarter of an hour.")]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Where NAME.json, NAME.html and the figures as PNG go, and what is done until all is: a run that was "
        "interrupted goes on there when the same is asked for again.",
    ),
]
Seed = Annotated[int, typer.Option(help="Of weights and data.")]


class Plan(Protocol):
    """What a study is to train."""

    def settings(self) -> dict[str, Any]:
        """All of it as plain data."""


@toy.command()
def superposition(out: Out = Path("toys"), quick: Quick = False, seed: Seed = 0) -> None:
    """Superposition (Elhage et al. 2022): when features outnumber dimensions, in which shapes, in which phases."""
    from mfn_core.toy import superposition_study as study

    plan = study.plan(quick, seed)
    _run(study.NAME, plan, lambda once, tell: study.study(plan, once, tell), out)


@toy.command()
def engineering(out: Out = Path("toys"), quick: Quick = False, seed: Seed = 0) -> None:
    """Engineered monosemanticity (Jermyn et al. 2022): near-equal losses, very different neurons."""
    from mfn_core.toy import engineering_study as study

    plan = study.plan(quick, seed)
    _run(study.NAME, plan, lambda once, tell: study.study(plan, once, tell), out)


@toy.command()
def recovery(out: Out = Path("toys"), quick: Quick = False, seed: Seed = 0) -> None:
    """Planted features: whether an MFN finds them, a post-hoc SAE, or the neurons of a model without a layer."""
    from mfn_core.errors import ConfigError

    try:
        from mfn_core.toy import recovery_study as study
    except ModuleNotFoundError as error:  # what is found is matched by scipy
        raise ConfigError(f"mfn toy recovery needs {error.name}: pip install 'mfn-studio[eval]'") from error
    plan = study.plan(quick, seed)
    _run(study.NAME, plan, lambda once, tell: study.study(plan, once, tell), out)


def _run(name: str, plan: Plan, study: Callable[[Once, Tell], Document], folder: Path) -> None:
    from mfn_core.errors import ConfigError
    from mfn_core.evaluation.journal import Journal
    from mfn_core.evidence.html import write_html
    from mfn_core.evidence.png import write_pngs

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error
    journal = Journal(folder / f"{name}.journal", plan.settings())
    with telling() as tell:
        document = study(journal.once, tell)
        document.write(folder / f"{name}.json")
        write_html(document, folder / f"{name}.html")
        tell("figures as PNG", None)
        missing = write_pngs(document, folder)
    journal.remove()
    out = wide_console()
    out.print(_table(document))
    out.print(f"{folder / name}.json and .html are written", markup=False, soft_wrap=True)
    if missing:
        out.print(f"PNGs of the figures are not: {missing}", markup=False, soft_wrap=True)


def _table(document: Document) -> Table:
    table = Table(box=None, header_style="bold", title=document.title, title_justify="left")
    for name in ("", "finding", "measured"):
        table.add_column(name)
    for check in document.checks:
        table.add_row(check.status, check.claim, check.found)
    return table

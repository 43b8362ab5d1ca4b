"""`mfn ablate`: many runs of one model that differ in a setting each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Table

from mfn_server.printing import wide_console
from mfn_server.progress import telling

if TYPE_CHECKING:
    from mfn_core.evidence.document import Document

REPORT = "ablations"


def ablate(
    grid: Annotated[Path, typer.Argument(help="The runs (TOML); see configs/ablations.toml.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Receives a folder for each run, and the report.")],
    data: Annotated[Path, typer.Option(help="Folder at which relative corpus paths of the configs start.")] = Path(),
    jobs: Annotated[
        Optional[int],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(min=1, help="Runs at a time, each on one thread. [as many as there are cores]"),
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Train nothing: report the runs that are finished.")
    ] = False,
) -> None:
    """Train the runs of a grid side by side, measure them alike, and report which pressures earn their place.

    With Ctrl-C all runs finish their step and are saved; the same command goes on. A run that is finished is not
    trained again, and a folder that holds a run with other settings is refused. Writes FOLDER/ablations.json and .html.
    """
    from mfn_core.errors import ConfigError

    try:
        from mfn_core.ablations.report import document, gather
    except ModuleNotFoundError as error:
        raise ConfigError(f"mfn ablate needs {error.name}: pip install 'mfn-studio[eval]'") from error
    from mfn_core.ablations.grid import load_grid
    from mfn_core.ablations.plan import check_folders, plan
    from mfn_core.ablations.runner import Runner

    described = load_grid(grid)
    planned = plan(described)
    check_folders(planned, out)
    wanted = [each for each in planned if each.trained(out)] if collect else planned
    with telling() as tell:
        failed = Runner(wanted, out, data).run(jobs or _cores(), tell)
    outcome = gather(described, planned, out, failed)
    if outcome.figures or not failed:
        _report(document(outcome), out)
    if failed:
        name, why = next(iter(failed.items()))
        raise ConfigError(f"{len(failed)} of {len(wanted)} runs failed; {name}: {why} (see {out / name}.log)")


def _report(result: Document, out: Path) -> None:
    from mfn_core.evidence.html import write_html

    result.write(out / f"{REPORT}.json")
    write_html(result, out / f"{REPORT}.html")
    _show(result)
    wide_console().print(f"The report is in {out / REPORT}.html", soft_wrap=True, markup=False)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _show(result: Document) -> None:
    from mfn_core.evidence.cells import cell

    console = wide_console()
    console.print(result.summary)
    checks = Table(box=None, show_header=False)
    for check in result.checks:
        checks.add_row(check.status, check.claim, check.found)
    console.print(checks)
    found = next(table for table in result.tables if table.key == "all/runs")
    columns = [column for column in found.columns if column.key != "about"]
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column.title, justify="left" if column.kind == "text" else "right")
    for row in found.rows:
        table.add_row(*(cell(row.get(column.key), column.kind) for column in columns))
    console.print(table)

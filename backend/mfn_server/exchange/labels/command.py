"""`mfn labels export` and `mfn labels import`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Optional

import typer

from mfn_core.errors import ConfigError, MFNError
from mfn_server.options import Database, Home

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mfn_server.exchange.labels.report import ImportReport

FORMATS = ("jsonl", "csv", "neuronpedia", "huggingface")
ModelName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--model", metavar="NAME|FINGERPRINT", help="Which model's, where the database has several."),
]


def export_labels(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to make; a folder for neuronpedia and huggingface.")],
    format: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            help="jsonl: every event once; csv: what stands, for spreadsheets; neuronpedia: labels as explanations; "
            "huggingface: a dataset. [by the name of OUT, else jsonl]",
        ),
    ] = None,
    model: ModelName = None,
    db: Database = None,
    home: Home = None,
) -> None:
    """Write labels, votes, comments and their history to a file, while the server runs or not.

    What is hidden in blind campaigns that are open is left out.
    """
    from mfn_server.exchange.labels.events_out import export_lines
    from mfn_server.exchange.labels.table_out import export_table
    from mfn_server.labels.command import opened

    chosen = format or {".csv": "csv"}.get(out.suffix, "jsonl")
    if chosen not in FORMATS:
        raise ConfigError(f"there is no format {chosen!r}; there are {', '.join(FORMATS)}")
    with opened(db, home) as database:
        with database.snapshot() as connection:
            model_id = _model(connection, model)
        if chosen == "huggingface":
            from mfn_server.exchange.labels.dataset import write_dataset

            said = write_dataset(database, model_id, out)
        elif chosen == "neuronpedia":
            from mfn_server.exchange.neuronpedia.labels import write_explanation_folders

            said = write_explanation_folders(database, model_id, out)
        else:
            said = _write(out, (export_lines if chosen == "jsonl" else export_table)(database, model_id))
    typer.echo(f"wrote {out}: {said}")


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of an export (.jsonl, .csv), or .gz of it.")],
    format: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--format", metavar="jsonl|csv", help="Of the file. [by what is in it]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, and say what would happen.")] = False,
    person: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--person",
            metavar="THEIRS=NAME",
            help="Somebody of the file (by id) who is an account here (by name). Everyone else stays apart.",
        ),
    ] = None,
    source: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--source", metavar="THEIRS=OURS", help="A source of another model that is a source here."),
    ] = None,
    model: ModelName = None,
    db: Database = None,
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Take labels, votes, comments and their history from a file: all of it, or nothing where a line is wrong.

    The same file again changes nothing. Its people become people of their own, marked as imported.
    """
    from mfn_server.exchange.labels.importing import import_labels
    from mfn_server.exchange.labels.reading import is_labels_file, opened_file
    from mfn_server.labels.command import opened

    with opened_file(file) as lines, opened(db, home) as database:
        chosen = format or ("jsonl" if is_labels_file(lines.read(1 << 16)) else "csv")
        lines.seek(0)
        if chosen not in ("jsonl", "csv"):
            raise ConfigError(f"there is no format {chosen!r}; there are jsonl and csv")
        with database.snapshot() as connection:
            model_id = _model(connection, model or _model_of(lines, chosen, connection))
            known = _accounts(connection, _pairs(person, "--person"))
        lines.seek(0)
        report = import_labels(
            database,
            model_id,
            lines,
            format="jsonl" if chosen == "jsonl" else "csv",
            dry_run=dry_run,
            known=known,
            renamed=_pairs(source, "--source"),
        )
    typer.echo(report.model_dump_json(indent=2) if json else "\n".join(report_lines(report)))
    if report.n_problems:
        raise MFNError(f"nothing was taken in: {report.n_problems:,} lines of {file} are wrong")


def report_lines(report: ImportReport) -> Iterator[str]:
    """A report for a person."""
    did = "took in" if report.taken_in else "would take in"
    yield (
        f"{report.model}: {did} {report.new:,} of {report.events:,} events, on {report.features:,} features; "
        f"{report.already_here:,} are here already"
    )
    if report.kinds:
        yield "  " + ", ".join(f"{n:,} {kind}" for kind, n in report.kinds.items())
    if report.collection_events:
        yield f"  {report.new_collection_events:,} of {report.collection_events:,} events on collections"
    for each in report.left_out:
        yield f"left out: {each.events:,} {each.message} (lines {_some(each.lines, each.events)})"
    for who in report.people:
        yield f"{who.name} ({who.id}) is {who.becomes_name} ({who.becomes}) here: {who.events:,} events"
    for problem in report.problems:
        yield f"line {problem.line}: {problem.message}: {problem.hint}"
    if report.n_problems > len(report.problems):
        yield f"and {report.n_problems - len(report.problems):,} more"


def _some(lines: Sequence[int], n: int) -> str:
    return ", ".join(map(str, lines)) + (", …" if n > len(lines) else "")


def _write(out: Path, lines: Iterable[str]) -> str:
    """The file is there once it is whole."""
    if out.exists():
        raise MFNError(f"{out} is there already; name a file that is not")
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    n = 0
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            for line in lines:
                n += line.count("\n")
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(out)
    except OSError as error:
        raise MFNError(f"{out} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return f"{n:,} lines"


def _model(connection: Connection, name: str | None) -> int:
    from sqlalchemy import select

    from mfn_server.db.tables import Model

    rows = connection.execute(select(Model.id, Model.name, Model.fingerprint).order_by(Model.id)).all()
    found = [row for row in rows if name is None or row.name == name or row.fingerprint.startswith(name)]
    if len(found) == 1:
        return int(found[0].id)
    there = ", ".join(f"{row.name} ({row.fingerprint[:12]})" for row in rows)
    if not rows:
        raise ConfigError("this database knows no model yet; serve one with it, or make an index")
    if not found:
        raise ConfigError(f"this database does not know the model {name}; it knows {there}; or say --model")
    raise ConfigError(f"say which model with --model: {there}")


def _model_of(lines: IO[bytes], format: str, connection: Connection) -> str | None:
    """The model that a file is of, if it says so and the database knows it."""
    from sqlalchemy import select

    from mfn_server.db.tables import Model
    from mfn_server.exchange.labels.lines import HeaderLine
    from mfn_server.exchange.labels.reading import read_lines

    first = next(read_lines(lines), None) if format == "jsonl" else None
    if first is None or not isinstance(first.line, HeaderLine):
        return None
    known = connection.scalars(select(Model.fingerprint)).all()
    return first.line.model.fingerprint if first.line.model.fingerprint in known or len(known) != 1 else None


def _accounts(connection: Connection, names: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Accounts by the ids of the people who they are in a file. `local` is the one person of a server without any."""
    from mfn_server.access.accounts import list_accounts
    from mfn_server.access.roles import LOCAL_ID

    accounts = {account.name: str(account.id) for account in list_accounts(connection)}
    found = {}
    for theirs, name in names.items():
        if name != LOCAL_ID and name not in accounts:
            raise ConfigError(f"--person {theirs}={name}: nobody here is called {name!r}")
        found[theirs] = (accounts.get(name, LOCAL_ID), name)
    return found


def _pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    found = {}
    for pair in given or []:
        theirs, _, ours = pair.rpartition("=")
        if not theirs or not ours:
            raise ConfigError(f"{option} {pair}: write THEIRS=OURS")
        found[theirs] = ours
    return found

"""`mfn labels import` and `POST /api/labels/import`: a file becomes events, all of it or nothing, and a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, Literal

from sqlalchemy import Connection, select

from mfn_server.access.audit import Action, Actor, record
from mfn_server.access.roles import Person
from mfn_server.campaigns.blind import NOTHING, hidden_from
from mfn_server.db.session import Database
from mfn_server.db.tables import Model
from mfn_server.exchange.labels.collections_in import CollectionImport
from mfn_server.exchange.labels.events_in import AT_ONCE, EventImport, our_sources
from mfn_server.exchange.labels.lines import FORMAT, VERSION, CollectionLine, EndLine, EventLine, HeaderLine
from mfn_server.exchange.labels.people import People
from mfn_server.exchange.labels.reading import Numbered, read_lines
from mfn_server.exchange.labels.report import REASONS, ImportReport, LeftOut, PersonOfFile, Tally
from mfn_server.exchange.labels.table_in import read_table

ImportFormat = Literal["jsonl", "csv"]
OF_A_TABLE = "file"
"""Where people of a table are from: it does not say."""

_COMMAND = Actor(None, "", "command line", "")


class TakenBackError(Exception):
    """Rolls a transaction back, and carries the report of what it would have done."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__()
        self.report = report


def import_labels(database: Database, model_id: int, file: IO[bytes], **how: Any) -> ImportReport:
    """Take a file in, in one transaction, and say what that did; or what it would do. `how`: see `take_in`."""
    try:
        with database.write() as connection:
            return take_in(connection, model_id, file, **how)
    except TakenBackError as back:
        return back.report


def take_in(
    connection: Connection,
    model_id: int,
    file: IO[bytes],
    *,
    format: ImportFormat = "jsonl",
    dry_run: bool = False,
    known: Mapping[str, tuple[str, str]] | None = None,
    renamed: Mapping[str, str] | None = None,
    person: Person | None = None,
    actor: Actor | None = None,
) -> ImportReport:
    """Take a file in, in a transaction that is open. The report holds once it is committed.

    Args:
        connection: where to.
        model_id: of whose features.
        file: read once, line by line.
        format: of the file.
        dry_run: change nothing.
        known: people of the file who are people here: (id, name) here by their id there.
        renamed: sources of another model that are sources here: our key by theirs.
        person: who imports, if it is somebody from whom something may be hidden.
        actor: the same for the audit log; None for the command line.

    Raises:
        TakenBackError: a dry run, or a line is wrong. What was written must be rolled back.
    """
    report = _bring_in(connection, model_id, file, format, known or {}, renamed or {}, person)
    report.dry_run = dry_run
    if dry_run or report.n_problems:
        raise TakenBackError(report)
    if report.new or report.new_collection_events:
        count = {"events": report.new, "collection_events": report.new_collection_events}
        same = {theirs: name for theirs, (_, name) in (known or {}).items()}
        origin = "a table" if report.origin is None else str(report.origin)
        record(connection, Action.LABELS_IMPORTED, actor or _COMMAND, origin, **count, people=same)
    report.taken_in = True
    return report


def _bring_in(
    connection: Connection,
    model_id: int,
    file: IO[bytes],
    format: ImportFormat,
    known: Mapping[str, tuple[str, str]],
    renamed: Mapping[str, str],
    person: Person | None,
) -> ImportReport:
    model = connection.execute(select(Model.name, Model.fingerprint).where(Model.id == model_id)).one()
    tally = Tally()
    sources = our_sources(connection, model_id, renamed)
    for key in sorted(set(renamed.values()) - sources.keys()):
        tally.problem(0, f"there is no source {key!r} here", "name one of this model's")
    lines: Iterator[Numbered]
    header: HeaderLine | None = None
    if format == "jsonl":
        lines = read_lines(file)
        header = _header(next(lines, None), model.fingerprint, model.name, renamed, tally)
    else:
        lines = read_table(connection, file, model_id, model.fingerprint)
    if header is not None and header.model.fingerprint != model.fingerprint:  # of what was not said, nothing is known
        sources = {theirs: sources[key] for theirs, key in renamed.items() if key in sources}
    people = People(header.origin if header is not None else OF_A_TABLE, known)
    if not tally.n_problems:
        hidden = NOTHING if person is None else hidden_from(connection, person)
        events = EventImport(connection, sources, people, tally, hidden)
        _take(lines, events, CollectionImport(connection, model_id, sources, people, tally), tally, header)
        events.finish()
        features = events.n_features
    else:
        features = 0
    return ImportReport(
        dry_run=False,
        taken_in=False,
        format=format,
        model=model.name,
        origin=None if header is None else header.origin,
        events=tally.events,
        new=tally.new,
        already_here=tally.already,
        features=features,
        kinds=dict(sorted(tally.kinds.items())),
        collection_events=tally.collection_events,
        new_collection_events=tally.new_collection_events,
        left_out=[
            LeftOut(why=why, message=REASONS[why], events=tally.n_left_out[why], lines=lines_)
            for why, lines_ in tally.left_out.items()
        ],
        people=[PersonOfFile(**vars(each)) for each in people.met.values()],
        n_problems=tally.n_problems,
        problems=tally.problems,
    )


def _take(
    lines: Iterable[Numbered],
    events: EventImport,
    collections: CollectionImport,
    tally: Tally,
    header: HeaderLine | None,
) -> None:
    """All lines behind the header."""
    left = iter(lines)
    number = 1
    end: EndLine | None = None
    while some := list(islice(left, AT_ONCE)):
        batch: list[tuple[int, EventLine]] = []
        for number, line, problem, hint, why, already in some:
            if end is not None:
                tally.problem(number, "stands behind the end of the file", "were two files put together? Import each")
                return
            if why is not None:
                tally.events += 1
                tally.leave_out(number, why)
            elif already:
                tally.events += 1
                tally.already += 1
            elif line is None:
                tally.problem(number, problem, hint)
            elif isinstance(line, EventLine):
                batch.append((number, line))
            elif isinstance(line, CollectionLine):
                if batch:
                    events.take(batch)
                    batch = []
                collections.take(number, line)
            elif isinstance(line, EndLine):
                end = line
            else:
                tally.problem(number, "is a second header", "were two files put together? Import each")
        if batch:
            events.take(batch)
    collections.finish()
    if header is None:
        return
    if end is None and not tally.n_problems:
        tally.problem(number + 1, "the file ends before its last line", "it was cut off: fetch it again")
    elif (
        end is not None
        and (end.events, end.collection_events) != (tally.events, tally.collection_events)
        and not tally.n_problems
    ):
        said = f"the file says that it has {end.events:,} events and {end.collection_events:,} on collections"
        found = f"it has {tally.events:,} and {tally.collection_events:,}"
        tally.problem(number, f"{said}; {found}", "lines are missing or were added: export it again")


def _header(
    first: Numbered | None,
    fingerprint: str,
    name: str,
    renamed: Mapping[str, str],
    tally: Tally,
) -> HeaderLine | None:
    """The header of a file that is for this model."""
    if first is None or first.line is None or not isinstance(first.line, HeaderLine):
        number = 1 if first is None else first.number
        message = f"is no header of a file of labels ({FORMAT})"
        tally.problem(number, message, "a file of `mfn labels export` begins with one; tables (.csv) need --format csv")
        return None
    header = first.line
    if header.version > VERSION:
        tally.problem(first.number, f"format version {header.version} is newer than this app", "update MFN Studio here")
    if header.model.fingerprint != fingerprint and not renamed:
        message = (
            f"these are labels of another model: {header.model.name} ({header.model.fingerprint[:12]}), "
            f"not {name} ({fingerprint[:12]})"
        )
        hint = "import them where that model is served, or say which source is which: --source THEIRS=OURS"
        tally.problem(first.number, message, hint)
    return header

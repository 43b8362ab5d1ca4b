"""Takes the events of a file into the log: each once, all of them or none, and nobody's words here are changed by it.

Events keep their ids, times and words, and get the next numbers of this log; what follows from them is worked out as
for any other event. Some are left out by a rule (`report.REASONS`): what would decide or take back what people here
have decided or said. A dry run is the same transaction, which is then rolled back: it tells exactly what would happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, select

from mfn_server.campaigns.blind import NOTHING, Hidden
from mfn_server.db.campaign_tables import Campaign
from mfn_server.db.tables import LabelEvent, Origin, Source
from mfn_server.exchange.labels.lines import EventLine, named_events
from mfn_server.exchange.labels.people import PROGRAM, People, is_imported
from mfn_server.exchange.labels.report import Tally, Why
from mfn_server.labels.fold import ATLAS, SUGGESTS, FeatureState, fold, undone
from mfn_server.labels.log import (
    Event,
    Place,
    append_events,
    event_by_id,
    events_by_place,
    events_where,
    lock_log,
    redact_event,
)
from mfn_server.labels.payloads import (
    Accept,
    Adjudicate,
    Opinion,
    Payload,
    Redact,
    Retract,
    Revise,
    Undo,
    Untag,
    read_payload,
)
from mfn_server.labels.projections import project
from mfn_server.logged import PayloadError

AT_ONCE = 500
"""Events that are looked up together."""

CHANGES_OTHERS = (Revise, Retract, Undo, Redact)


class Known(NamedTuple):
    """An event that is in the log, or is about to be."""

    stream: int
    place: Place
    author_id: str
    origin: str


@dataclass
class EventImport:
    """One import, in a write transaction. Give it batches of lines, then `finish`.

    Attributes:
        connection: in a write transaction; the log is locked.
        sources: ours by the names that the file has: row and number of features.
        people: who is who.
        tally: what has happened so far.
        hidden: features on which whoever imports may not put anything yet.
    """

    connection: Connection
    sources: Mapping[str, tuple[int, str, int]]
    people: People
    tally: Tally
    hidden: Hidden = NOTHING
    last: int = field(init=False)
    _next: int = field(init=False)
    _left_out: set[UUID] = field(default_factory=set)
    _bad: set[UUID] = field(default_factory=set)
    _redacted: dict[UUID, int] = field(default_factory=dict)
    _before: dict[Place, FeatureState | None] = field(default_factory=dict)
    _programs: dict[tuple[Place, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.last = self._next = lock_log(self.connection)
        open_campaigns = select(Campaign.id).where(Campaign.closed_at.is_(None))
        self._open = frozenset(self.connection.scalars(open_campaigns))

    def take(self, lines: Sequence[tuple[int, EventLine]]) -> None:
        """Take in some lines, which follow those before."""
        ids = {line.id for _, line in lines}
        known = self._known(ids | set(_named(lines)))
        full = {event.id: event for event in events_where(self.connection, LabelEvent.id.in_(ids), limit=len(ids))}
        places = {(self.sources[line.source][0], line.index) for _, line in lines if line.source in self.sources}
        before = {
            place: [event for event in events if event.stream <= self.last]
            for place, events in events_by_place(self.connection, places).items()
        }
        fresh: list[Event] = []
        for number, line in lines:
            self.tally.events += 1
            event = self._read(number, line, known)
            if event is None:
                continue
            if line.id in known:
                here = full.get(line.id) or next(each for each in fresh if each.id == line.id)
                self._compare(number, line, event, here)
                continue
            why = self._why_not(event, before[event.place], known)
            if why is not None:
                self._leave_out(number, line.id, why)
                continue
            self._next += 1
            event = Event(**{**vars(event), "stream": self._next})
            known[line.id] = Known(event.stream, event.place, event.author_id, event.origin)
            fresh.append(event)
            self._before.setdefault(event.place, None)
            self.tally.new += 1
            self.tally.kinds[event.kind] += 1
            if line.redacted:
                self._redacted[line.id] = number
        numbered = append_events(self.connection, fresh)
        assert [event.stream for event in numbered] == [event.stream for event in fresh]
        for event in numbered:
            if isinstance(event.payload, Redact):
                self._redact(event, before)

    def finish(self) -> None:
        """Write what follows from what was taken in."""
        for id, number in self._redacted.items():
            self.tally.problem(
                number,
                f"the words of event {id} were taken out, and what took them out is not in the file",
                "export it again, whole",
            )
        places = iter(sorted(self._before))
        while some := list(islice(places, AT_ONCE)):
            after = events_by_place(self.connection, some)
            project(self.connection, [self._change(place, after[place]) for place in some])

    @property
    def n_features(self) -> int:
        """On how many features something is said that was not said here before."""
        return len(self._before)

    def _change(self, place: Place, after: Sequence[Event]) -> tuple[Place, FeatureState, FeatureState]:
        was = self._before[place] or fold([event for event in after if event.stream <= self.last])
        return place, was, fold(after)

    def _read(self, number: int, line: EventLine, known: Mapping[UUID, Known]) -> Event | None:
        """A line as an event of this log, without a number; None where it cannot be one, or is left out."""
        source = self.sources.get(line.source)
        if source is None:
            self._problem(number, line, f"there is no source {line.source!r} here", "say which it is here: THEIRS=OURS")
            return None
        source_id, _, n_features = source
        if line.index >= n_features:
            said = f"there is no feature {line.index} in {line.source}: it has features 0 to {n_features - 1}"
            self._problem(number, line, said, "is the file of this model? Leave the line out")
            return None
        if (line.origin == Origin.AUTOMATIC) != line.author_id.startswith(PROGRAM):
            said = f"author_id: {line.author_id!r} does not fit origin {line.origin}"
            self._problem(number, line, said, "programs, and they alone, have ids that begin with program:")
            return None
        place = (source_id, line.index)
        kept: dict[str, Any] = {**line.payload}
        for name, value in named_events(line.payload):
            target = _uuid(value)
            if target in self._left_out:
                self._leave_out(number, line.id, "rests_on_left_out")
                return None
            if target in self._bad:
                self._bad.add(line.id)
                return None
            if target is None or target not in known or known[target].place != place:
                said = f"{name}: there is no event {value!r} on this feature before this line, and none here"
                self._problem(number, line, said, "import the file whole, in its order")
                return None
            kept[name] = known[target].stream
        if isinstance(kept.get("of"), dict) and kept["of"].get("source") in self.sources:
            kept["of"] = {**kept["of"], "source": self.sources[kept["of"]["source"]][1]}
        if isinstance(kept.get("mentions"), list):
            kept["mentions"] = [self.people.identity(str(each)) for each in kept["mentions"]]
        try:
            payload = _payload(line, kept)
        except PayloadError as error:
            self._problem(number, line, str(error), "update MFN Studio here first")
            return None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "payload"
            said = f"{where}: {first['msg'].removeprefix('Value error, ')}"
            self._problem(number, line, said, "correct it, or leave the line out")
            return None
        newcomer = self.people.meet(line.author_id, line.author)
        base = None if line.base is None else 0
        if isinstance(line.base, UUID):
            base = known[line.base].stream if line.base in known else None
        return Event(
            0,
            line.id,
            place,
            newcomer.becomes,
            newcomer.becomes_name,
            line.origin,
            line.created_at,
            base,
            payload,
            line.reason,
        )

    def _compare(self, number: int, line: EventLine, event: Event, here: Event) -> None:
        """An event that is here already says the same; what was redacted, on either side, is not compared."""
        redacted = here.redacted_by is not None or line.redacted
        said, was = (_comparable(each, redacted) for each in (event, here))
        if said != was:
            message = f"event {line.id} is here already and says something else"
            self._problem(number, line, message, "it was changed in the file, or here; nothing here is written over")
            return
        self.tally.already += 1
        if event.origin == Origin.AUTOMATIC:
            key = (event.place, event.author_id)
            self._programs[key] = self._programs.get(key, 0) + 1

    def _why_not(self, event: Event, before: Sequence[Event], known: Mapping[UUID, Known]) -> Why | None:
        """The rule by which an event is left out, if there is one. `before`: what was said of the feature here."""
        said = event.payload
        if event.place in self.hidden.places:
            return "hidden_from_you"
        if isinstance(said, Opinion) and said.campaign in self._open:
            return "campaign_open_here"
        if event.origin == Origin.AUTOMATIC and (event.author_id == ATLAS or event.author_id.startswith(SUGGESTS)):
            # unless all that the program said of it here is in this very file
            here = sum(each.author_id == event.author_id for each in before)
            if here > self._programs.get((event.place, event.author_id), 0):
                return "program_spoke_here"
        if isinstance(said, (Accept, Adjudicate)) and _decided_here(before):
            return "decided_here"
        if isinstance(said, CHANGES_OTHERS):
            about = said.label if isinstance(said, Revise) else said.target
            target = next((each for each in before if each.stream == about), None)
            if target is not None and _said_here(target) and target.author_id != event.author_id:
                return "changes_what_was_said_here"
        if isinstance(said, Untag):
            there = fold(before).tags.get(said.tag)
            if there is not None and _said_here(there) and there.author_id != event.author_id:
                return "changes_what_was_said_here"
        return None

    def _redact(self, by: Event, before: Mapping[Place, Sequence[Event]]) -> None:
        assert isinstance(by.payload, Redact)
        id = self.connection.scalar(select(LabelEvent.id).where(LabelEvent.stream == by.payload.target))
        target = None if id is None else event_by_id(self.connection, id)
        assert target is not None, "it was looked up before"
        if target.stream <= self.last and self._before.get(by.place) is None:
            self._before[by.place] = fold(before[by.place])  # as its rows are now, with the words
        redact_event(self.connection, target, by.stream)
        self._redacted.pop(target.id, None)

    def _leave_out(self, number: int, id: UUID, why: Why) -> None:
        self._left_out.add(id)
        self.tally.leave_out(number, why)

    def _problem(self, number: int, line: EventLine, message: str, hint: str) -> None:
        self._bad.add(line.id)
        self.tally.problem(number, message, hint)

    def _known(self, ids: set[UUID]) -> dict[UUID, Known]:
        columns = ("id", "stream", "source_id", "number", "author_id", "origin")
        found: dict[UUID, Known] = {}
        asked = iter(ids)
        while some := list(islice(asked, AT_ONCE)):
            rows = self.connection.execute(
                select(*(getattr(LabelEvent, name) for name in columns)).where(LabelEvent.id.in_(some))
            )
            for row in rows:
                found[row.id] = Known(row.stream, (row.source_id, row.number), row.author_id, row.origin)
        return found


def our_sources(connection: Connection, model_id: int, renamed: Mapping[str, str]) -> dict[str, tuple[int, str, int]]:
    """Row, key and number of features of each source, by what a file calls it: as we do, unless otherwise said."""
    rows = connection.execute(select(Source.id, Source.key, Source.n_features).where(Source.model_id == model_id))
    ours = {row.key: (row.id, row.key, row.n_features) for row in rows}
    return ours | {theirs: ours[key] for theirs, key in renamed.items() if key in ours}


def _named(lines: Iterable[tuple[int, EventLine]]) -> Iterator[UUID]:
    for _, line in lines:
        for _, value in named_events(line.payload):
            id = _uuid(value)
            if id is not None:
                yield id
        if isinstance(line.base, UUID):
            yield line.base


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _payload(line: EventLine, kept: Mapping[str, Any]) -> Payload:
    """What was said, checked as if it were said now, but for words that were taken out, and for programs'."""
    payload = read_payload(line.kind, line.version, kept)
    if line.redacted or line.origin == Origin.AUTOMATIC:
        return payload
    return type(payload).model_validate(kept)


def _comparable(event: Event, redacted: bool) -> tuple[Any, ...]:
    """Who is mentioned is left out: people have other ids elsewhere."""
    kept = event.payload.without_words() if redacted else event.payload.kept()
    kept = {name: value for name, value in kept.items() if name != "mentions"}
    return event.place, event.kind, kept, None if redacted else event.reason


def _said_here(event: Event) -> bool:
    return event.origin == Origin.HUMAN and not is_imported(event.author_id)


def _decided_here(events: Sequence[Event]) -> bool:
    gone = undone(events)
    return any(
        isinstance(event.payload, (Accept, Adjudicate)) and event.stream not in gone and _said_here(event)
        for event in events
    )

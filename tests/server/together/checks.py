"""What must be so when twenty people have worked, some of whose servers were killed: see `test_together`."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, select

from mfn_server.campaigns.log import campaign_differences
from mfn_server.db.tables import LabelEvent, Source
from mfn_server.labels.log import Event, events_where
from mfn_server.labels.payloads import Opinion, read_payload
from mfn_server.labels.projections import differences
from tests.server.together.journal import Journal, Place, Sent
from tests.server.together.people import Plan, Somebody, Tab


class Log:
    """The log of a database, in order."""

    def __init__(self, connection: Connection) -> None:
        self.keys = {row.id: row.key for row in connection.execute(select(Source.id, Source.key))}
        self.events = events_where(connection, LabelEvent.stream > 0, limit=10**6)
        self.by_id = {str(event.id): event for event in self.events}

    def place(self, event: Event) -> Place:
        return self.keys[event.place[0]], event.place[1]

    def opinions(self) -> dict[tuple[str, Place], list[Event]]:
        """By campaign and feature."""
        found: dict[tuple[str, Place], list[Event]] = defaultdict(list)
        for event in self.events:
            if isinstance(event.payload, Opinion):
                found[str(event.payload.campaign), self.place(event)].append(event)
        return found


def not_as_acknowledged(log: Log, journal: Journal) -> Iterator[str]:
    """Acknowledged: there once, as it was sent and under the number that was told. Refused: not there. Else: once at
    most, as it was sent. And nothing is there that nobody sent."""
    times = Counter(str(event.id) for event in log.events)
    for sent in journal.sent:
        n = times.pop(sent.id, 0)
        if sent.answer is not None and n != 1:
            yield f"acknowledged and {n} times in the log: {sent}"
        elif sent.refused is not None and n != 0:
            yield f"refused and in the log: {sent}"
        elif n > 1:
            yield f"in the log {n} times: {sent}"
        if n:
            yield from _not_as_sent(log, sent)
    for identity in times:
        yield f"nobody sent {log.by_id[identity]}"
    for number, event in enumerate(log.events, start=1):
        if event.stream != number:
            yield f"event {number} of the log has the number {event.stream}"
            return


def _not_as_sent(log: Log, sent: Sent) -> Iterator[str]:
    event = log.by_id[sent.id]
    said = {name: value for name, value in sent.event.items() if name != "kind"}
    if sent.event["kind"] == "opinion":
        said["campaign"] = sent.campaign
    payload = read_payload(sent.event["kind"], type(event.payload).VERSION, said)
    as_sent = (sent.who, sent.place, sent.event["kind"], payload.kept(), sent.reason)
    words = (event.payload.kept(), event.reason) if event.redacted_by is None else (payload.kept(), sent.reason)
    if (event.author_id, log.place(event), event.kind, *words) != as_sent:
        yield f"in the log as {event}, and was sent as {sent}"
    if sent.answer is not None and sent.answer["stream"] != event.stream:
        yield f"acknowledged as event {sent.answer['stream']}, and is {event.stream}"


def not_as_replayed(connection: Connection) -> Iterator[str]:
    """Rows that do not follow from the log."""
    yield from (str(each) for each in differences(connection))
    yield from (str(each) for each in campaign_differences(connection))


def over_quota(log: Log, quotas: Mapping[str, int]) -> Iterator[str]:
    """More opinions than are asked for, or two of a person."""
    for (campaign, place), events in log.opinions().items():
        if len(events) > quotas[campaign]:
            yield f"{len(events)} opinions of {place}, and {quotas[campaign]} were asked for"
        if len({event.author_id for event in events}) < len(events):
            yield f"somebody gave two opinions of {place}"


class Uncovered:
    """From when on each feature of the blind campaign was open to each person."""

    def __init__(self, log: Log, plan: Plan, quota: int) -> None:
        self._opinions = {place: said for (of, place), said in log.opinions().items() if of == plan.blind}
        self._places = set(plan.features[plan.blind])
        self._quota = quota

    def by(self, person: str, place: Place) -> list[list[Event]]:
        """Sets of events; with all of any of them the feature is open. Empty: never. One empty set: always."""
        if place not in self._places:
            return [[]]
        given = self._opinions.get(place, [])
        own = [[event] for event in given if event.author_id == person]
        return own + ([given] if len(given) >= self._quota else [])


def seen_early(uncovered: Uncovered, log: Log, journal: Journal) -> Iterator[str]:
    """What somebody saw of a feature before they, or all who were asked for, had even sent their opinion of it."""
    for (person, number), when in journal.sights.items():
        sent = journal.sent[number]
        ways = uncovered.by(person, sent.place)
        if not any(all(journal.by_id[str(event.id)].begun < when for event in way) for way in ways):
            yield f"{person} saw {sent} early"


def not_heard(log: Log, uncovered: Uncovered, person: Somebody, tab: Tab) -> Iterator[str]:
    """Whether a tab was told every event once, in order, but for those that were hidden from its person."""
    numbers = [number for number, _ in tab.heard]
    if any(after <= before for before, after in itertools.pairwise(numbers)):
        yield f"a tab of {person.name} was told out of order, or twice: {numbers}"
    if any(log.by_id[identity].stream != number for number, identity in tab.heard):
        yield f"a tab of {person.name} was told another event than the log has"
    missing = set(must_hear(log, uncovered, person, tab)) - set(numbers)
    if missing:
        yield f"a tab of {person.name} was never told {sorted(missing)}, of {len(log.events)}"


def must_hear(log: Log, uncovered: Uncovered, person: Somebody, tab: Tab) -> Sequence[int]:
    """The numbers a tab must be told of. What was hidden when it was said may be left out."""
    assert tab.first is not None
    found = []
    for event in log.events[tab.first :]:
        ways = uncovered.by(person.id, log.place(event))
        since = min((max((each.stream for each in way), default=0) for way in ways), default=None)
        if event.author_id == person.id or (since is not None and event.stream >= since):
            found.append(event.stream)
    return found

"""What follows from the events of one feature: a pure function of them, in order.

An event that was undone counts as if it had not been; one that is about something no longer there has no effect. So any
sequence of events has a meaning, and the state at any moment follows from the events up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from mfn_server.db.tables import Origin
from mfn_server.labels.log import Event
from mfn_server.labels.payloads import (
    Accept,
    Adjudicate,
    Comment,
    Confidence,
    Flag,
    Opinion,
    Payload,
    Rate,
    Retract,
    Revise,
    Skip,
    StoredPropose,
    Tag,
    Undo,
    Untag,
    Vote,
    Withdraw,
)

ATLAS = "program:atlas"
"""Who writes atlases: of a feature, its last word stands in place of the one before."""

SUGGESTS = "program:suggest."
"""Who only suggests (see `mfn_server.naming`) begins with this. Of each, too, the last word stands alone. It is there
to be adopted: no list shows it as the name of its feature, and nobody's words rest on it.
"""


@dataclass(frozen=True)
class VoteState:
    """A person's vote: +1 or -1, on the words of `revision`."""

    value: Literal[1, -1]
    revision: int
    event: Event


@dataclass(frozen=True)
class LabelState:
    """A label that stands. `said` is the event that its present words are from; `revisions` all of them, in order."""

    proposed: Event
    said: Event
    text: str
    revisions: tuple[int, ...]
    confidence: Confidence | None
    unclear: bool
    votes: Mapping[str, VoteState] = field(default_factory=dict)

    @property
    def stream(self) -> int:
        """What the label is known by."""
        return self.proposed.stream

    @property
    def revision(self) -> int:
        """Which words these are."""
        return self.said.stream

    @property
    def is_suggestion(self) -> bool:
        """Whether it is there to be adopted alone."""
        return self.proposed.author_id.startswith(SUGGESTS)

    def count(self, value: int) -> int:
        """Votes of one kind on the present words."""
        return sum(vote.value == value and vote.revision == self.revision for vote in self.votes.values())


@dataclass(frozen=True)
class RatingState:
    """A person's answers, about the words of `revision`; 0 where they are about the feature."""

    rating: Rate
    revision: int
    event: Event


@dataclass(frozen=True)
class CommentState:
    """A comment; one that was taken back stays where it was, since others may have answered it."""

    comment: Comment
    event: Event
    retracted: bool = False


@dataclass
class FeatureState:
    """What stands of a feature. Keys are streams of events, but for tags and people.

    Attributes:
        version: the last event.
        labels: by the event that proposed each.
        accepted: the label that holds, and the words of it that do.
        decided_by: the event of the reviewer who decided last.
        ratings: by label (0: the feature) and person.
        tags: by tag, the event that put it there.
        comments: in order.
        flags: in order.
        skips: by person, the last time.
        opinions: by campaign and person.
    """

    version: int = 0
    labels: dict[int, LabelState] = field(default_factory=dict)
    accepted: tuple[int, int] | None = None
    decided_by: int | None = None
    ratings: dict[tuple[int, str], RatingState] = field(default_factory=dict)
    tags: dict[str, Event] = field(default_factory=dict)
    comments: dict[int, CommentState] = field(default_factory=dict)
    flags: dict[int, Event] = field(default_factory=dict)
    skips: dict[str, int] = field(default_factory=dict)
    opinions: dict[tuple[UUID, str], Event] = field(default_factory=dict)

    @property
    def accepted_label(self) -> int | None:
        """The label that holds: the one accepted, as long as it stands in the words that were accepted."""
        if self.accepted is None:
            return None
        label = self.labels.get(self.accepted[0])
        return label.stream if label is not None and label.revision == self.accepted[1] else None

    @property
    def primary(self) -> int | None:
        """The label that lists show.

        The accepted one; else a person's before a program's; of these the one with most votes more for than against it,
        and of those the latest. Never one without words, nor a suggestion.
        """
        accepted = self.accepted_label
        if accepted is not None and self.labels[accepted].text:
            return accepted
        named = [label for label in self.labels.values() if label.text and not label.is_suggestion]
        return max(named, key=_precedence).stream if named else None

    def people(self) -> set[str]:
        """Everyone who proposed, worded, rated or voted on what stands."""
        said = [event for label in self.labels.values() for event in (label.proposed, label.said)]
        said += [vote.event for label in self.labels.values() for vote in label.votes.values()]
        said += [rating.event for rating in self.ratings.values()]
        return {event.author_id for event in said if event.origin == Origin.HUMAN}


def _precedence(label: LabelState) -> tuple[bool, int, int]:
    by_person = label.said.origin == Origin.HUMAN
    return by_person, label.count(1) - label.count(-1), label.stream


def undone(events: Sequence[Event]) -> dict[int, int]:
    """Which events of a feature are undone, and by which. An undo that is itself undone undoes nothing."""
    out: dict[int, int] = {}
    for event in reversed(events):  # what undoes is later than what it undoes
        if isinstance(event.payload, Undo) and event.stream not in out and event.payload.target < event.stream:
            out.setdefault(event.payload.target, event.stream)
    return out


def fold(events: Sequence[Event]) -> FeatureState:
    """What follows from all events of one feature up to some moment, which must be in order."""
    state = FeatureState()
    gone = undone(events)
    for event in events:
        step = _STEPS.get(type(event.payload))
        if step is not None and event.stream not in gone:
            step(state, event, event.payload)
        state.version = event.stream
    return state


def _propose(state: FeatureState, event: Event, said: StoredPropose) -> None:
    if event.author_id == ATLAS or event.author_id.startswith(SUGGESTS):
        _withdraw(state, event, said)
    state.labels[event.stream] = LabelState(
        event, event, said.text, (event.stream,), said.confidence, said.unclear and not said.text
    )


def _withdraw(state: FeatureState, event: Event, said: Payload) -> None:
    mine = [label for label in state.labels.values() if label.proposed.author_id == event.author_id]
    for label in mine:
        _drop(state, label.stream)


def _revise(state: FeatureState, event: Event, said: Revise) -> None:
    label = state.labels.get(said.label)
    if label is not None:
        revisions = (*label.revisions, event.stream)
        state.labels[said.label] = replace(label, said=event, text=said.text, revisions=revisions)


def _vote(state: FeatureState, event: Event, said: Vote) -> None:
    label = state.labels.get(said.label)
    if label is None:
        return
    votes = {person: vote for person, vote in label.votes.items() if person != event.author_id}
    if said.value != "withdrawn":
        votes[event.author_id] = VoteState(1 if said.value == "up" else -1, label.revision, event)
    state.labels[said.label] = replace(label, votes=votes)


def _rate(state: FeatureState, event: Event, said: Rate) -> None:
    label = None if said.label is None else state.labels.get(said.label)
    if said.label is None or label is not None:
        revision = 0 if label is None else label.revision
        state.ratings[said.label or 0, event.author_id] = RatingState(said, revision, event)


def _put_tag(state: FeatureState, event: Event, said: Tag) -> None:
    if said.tag:
        state.tags.setdefault(said.tag, event)


def _untag(state: FeatureState, event: Event, said: Untag) -> None:
    state.tags.pop(said.tag, None)


def _comment(state: FeatureState, event: Event, said: Comment) -> None:
    state.comments[event.stream] = CommentState(said, event)


def _flag(state: FeatureState, event: Event, said: Flag) -> None:
    state.flags[event.stream] = event


def _opinion(state: FeatureState, event: Event, said: Opinion) -> None:
    """Everything that it says, as if it had been said piece by piece."""
    state.opinions.setdefault((said.campaign, event.author_id), event)
    if said.text is not None or said.flag is None:  # without either its words were taken out
        text = said.text or ""
        state.labels[event.stream] = LabelState(event, event, text, (event.stream,), said.confidence, unclear=False)
    if (said.one_concept, said.specificity, said.confidence) != (None, None, None):
        rating = Rate(
            one_concept=said.one_concept,
            specificity=said.specificity,
            confidence=said.confidence,
            evidence=said.evidence,
        )
        state.ratings[0, event.author_id] = RatingState(rating, 0, event)
    for tag in said.tags:
        state.tags.setdefault(tag, event)
    if said.flag is not None:
        state.flags[event.stream] = replace(event, payload=Flag(flag=said.flag))


def _skip(state: FeatureState, event: Event, said: Skip) -> None:
    state.skips[event.author_id] = event.stream


def _retract(state: FeatureState, event: Event, said: Retract) -> None:
    _drop(state, said.target)
    state.flags.pop(said.target, None)
    comment = state.comments.get(said.target)
    if comment is not None:
        state.comments[said.target] = replace(comment, retracted=True)


def _drop(state: FeatureState, label: int) -> None:
    """A label goes, and what was said of it with it; comments on it stay."""
    if state.labels.pop(label, None) is not None:
        state.ratings = {key: rating for key, rating in state.ratings.items() if key[0] != label}


def _accept(state: FeatureState, event: Event, said: Accept) -> None:
    label = state.labels.get(said.label)
    if label is not None:
        state.accepted = (said.label, label.revision)


def _adjudicate(state: FeatureState, event: Event, said: Adjudicate) -> None:
    label = None if said.label is None else state.labels.get(said.label)
    if said.label is None or label is not None:
        state.accepted = None if label is None else (label.stream, label.revision)
        state.decided_by = event.stream


_STEPS: Mapping[type[Payload], Callable[[FeatureState, Event, Any], None]] = {
    StoredPropose: _propose,
    Withdraw: _withdraw,
    Revise: _revise,
    Vote: _vote,
    Rate: _rate,
    Tag: _put_tag,
    Untag: _untag,
    Comment: _comment,
    Flag: _flag,
    Opinion: _opinion,
    Skip: _skip,
    Retract: _retract,
    Accept: _accept,
    Adjudicate: _adjudicate,
}
"""What each kind does. `Undo` is seen to before, and `Redact` has emptied its target in the log."""

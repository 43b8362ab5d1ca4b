"""From events and states to what the label routes answer."""

from __future__ import annotations

from collections.abc import Mapping

from mfn_server.labels.fold import CommentState, FeatureState, LabelState, RatingState
from mfn_server.labels.log import Event
from mfn_server.labels.payloads import Flag
from mfn_server.labels.schemas import (
    CommentView,
    Discussion,
    EventView,
    FlagView,
    HistoryEntry,
    PersonView,
    RatingView,
    StandingLabel,
    TagView,
    VoteView,
)


def event_view(event: Event, source: str) -> EventView:
    """An event of a source's feature."""
    return EventView(
        id=event.id,
        stream=event.stream,
        source=source,
        index=event.place[1],
        kind=event.kind,
        payload=event.payload.model_dump(mode="json", exclude_defaults=True) | {"kind": event.kind},
        author=author_of(event),
        origin=event.origin,
        created_at=event.created_at,
        base_version=event.base_version,
        reason=event.reason,
        redacted_by=event.redacted_by,
    )


def history_entry(event: Event, source: str, undone: Mapping[int, int]) -> HistoryEntry:
    """An event in a history, with what undid it."""
    return HistoryEntry(**vars(event_view(event, source)), undone_by=undone.get(event.stream))


def author_of(event: Event) -> PersonView:
    """Who said it, as they were called then."""
    return PersonView(id=event.author_id, name=event.author)


def discussion_view(
    state: FeatureState, source: str, index: int, names: Mapping[str, str], at: int | None = None
) -> Discussion:
    """What stands of a feature. `names` are people's by id, for mentions."""
    shown, accepted = state.primary, state.accepted_label
    ratings: dict[int, list[RatingView]] = {}
    for (label, _), of in state.ratings.items():
        words = state.labels[label].revision if label else 0
        ratings.setdefault(label, []).append(_rating(of, words))
    labels = [
        _label(label, stream == shown, stream == accepted, ratings.get(stream, []))
        for stream, label in state.labels.items()
    ]
    labels.sort(key=lambda label: (not label.shown, -label.stream))
    return Discussion(
        source=source,
        index=index,
        version=state.version,
        at=at,
        labels=labels,
        accepted=accepted,
        decided_by=state.decided_by,
        ratings=ratings.get(0, []),
        tags=[
            TagView(tag=tag, person=author_of(event), stream=event.stream) for tag, event in sorted(state.tags.items())
        ],
        comments=[_comment(of, names) for of in state.comments.values()],
        flags=[_flag(event) for event in state.flags.values()],
        n_skips=len(state.skips),
    )


def _label(label: LabelState, shown: bool, accepted: bool, ratings: list[RatingView]) -> StandingLabel:
    revised = label.said is not label.proposed
    return StandingLabel(
        stream=label.stream,
        revision=label.revision,
        text=label.text,
        origin=label.proposed.origin,
        author=author_of(label.proposed),
        created_at=label.proposed.created_at,
        revised_by=author_of(label.said) if revised else None,
        revised_at=label.said.created_at if revised else None,
        n_revisions=len(label.revisions) - 1,
        reason=label.said.reason,
        confidence=label.confidence,
        unclear=label.unclear,
        redacted=label.said.redacted_by is not None,
        accepted=accepted,
        shown=shown,
        suggestion=label.is_suggestion,
        up=label.count(1),
        down=label.count(-1),
        votes=[
            VoteView(person=author_of(vote.event), value=vote.value, stale=vote.revision != label.revision)
            for vote in label.votes.values()
        ],
        ratings=ratings,
    )


def _rating(of: RatingState, words: int) -> RatingView:
    return RatingView(
        stream=of.event.stream,
        person=author_of(of.event),
        one_concept=of.rating.one_concept,
        specificity=of.rating.specificity,
        confidence=of.rating.confidence,
        evidence=of.rating.evidence,
        stale=of.revision != words,
    )


def _comment(of: CommentState, names: Mapping[str, str]) -> CommentView:
    said = of.comment
    return CommentView(
        stream=of.event.stream,
        person=author_of(of.event),
        created_at=of.event.created_at,
        text="" if of.retracted else said.text,
        reply_to=said.reply_to,
        label=said.label,
        mentions=[PersonView(id=person, name=names.get(person, person)) for person in said.mentions],
        retracted=of.retracted,
        redacted=of.event.redacted_by is not None,
    )


def _flag(event: Event) -> FlagView:
    said = event.payload
    assert isinstance(said, Flag)
    return FlagView(
        stream=event.stream,
        person=author_of(event),
        created_at=event.created_at,
        flag=said.flag,
        of_source=said.of.source if said.of else None,
        of_index=said.of.index if said.of else None,
        parts=said.parts,
        reason=event.reason,
    )

"""What may be added to the log. Each command is checked against the state it finds, and recorded in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from mfn_server.access.person import Permission, Person
from mfn_server.campaigns.blind import hidden_from
from mfn_server.db.tables import Origin
from mfn_server.errors import APIError
from mfn_server.features.reading import check_feature, source_named
from mfn_server.labels.fold import FeatureState, fold, undone
from mfn_server.labels.log import (
    Event,
    Place,
    append_events,
    event_by_id,
    events_of,
    lock_log,
    new_event,
    redact_event,
)
from mfn_server.labels.payloads import (
    Accept,
    Adjudicate,
    Comment,
    Flag,
    Payload,
    Propose,
    Rate,
    Redact,
    Retract,
    Revise,
    Undo,
    Vote,
    read_payload,
)
from mfn_server.labels.people import names_of
from mfn_server.labels.projections import project
from mfn_server.labels.schemas import Conflict, EventView, WayOn
from mfn_server.labels.views import discussion_view, event_view, history_entry

RESTS_ON_A_STATE = (Revise, Retract, Undo, Accept, Adjudicate)
"""What changes or decides what others see: whoever sends it has to say which version they saw."""


class StaleError(APIError):
    """409: what was said rests on a state that is no longer so. The answer has what happened since."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(
            409,
            "stale",
            "someone else has changed this meanwhile",
            hint="look at `conflict`, and send again with its `version`",
            more={"conflict": conflict.model_dump(mode="json")},
        )


def record(
    connection: Connection,
    model_id: int,
    key: str,
    index: int,
    person: Person,
    said: Payload,
    *,
    identity: UUID,
    base_version: int | None,
    reason: str | None,
    check: Callable[[Place], None] | None = None,
) -> tuple[EventView, bool]:
    """Record something that a person says of a feature. Needs a write transaction.

    It is checked against what this person may see: what is hidden from them neither contradicts them, nor can it be
    what they mean. `check` raises APIError for what else stands against it; it is called with the log locked.

    Returns:
        The event, and whether it is new: a repeat of an earlier request gives that request's event.

    Raises:
        APIError: no such feature (404); it makes no sense there (404, 409, 422) or is not for this person to say
            (403); it rests on a version that is not told (428) or no longer so (StaleError); or the id was used for
            something else (409).
    """
    source = source_named(connection, model_id, key)
    check_feature(source.key, source.n_features, index)
    place = (source.id, index)
    payload = read_payload(said.kind, said.VERSION, said.kept())
    # the lock comes first, so that a repeat that arrives at the same time waits and then sees this one
    last = lock_log(connection)
    earlier = event_by_id(connection, identity)
    if earlier is not None:
        _check_same(earlier, place, person, payload, reason)
        return event_view(earlier, source.key), False
    every = events_of(connection, place)
    events = hidden_from(connection, person, [place]).seen(every)
    before = fold(events)
    if base_version is None and isinstance(said, RESTS_ON_A_STATE):
        hint = "send the feature's version as If-Match, or as base_version"
        raise APIError(428, "version_required", f"{said.kind} needs the version that it rests on", hint=hint)
    if base_version is not None:
        if base_version > last:
            message = "base_version: there has been no such version"
            raise APIError(422, "invalid_request", message, field="base_version")
        then = fold([event for event in events if event.stream <= base_version])
        if rests_on(said, then) != rests_on(said, before):
            raise StaleError(_conflict(said, events, before, base_version, key, index))
    _check(connection, model_id, said, key, index, person, events, before, reason)
    if check is not None:
        check(place)
    event = new_event(
        place,
        payload,
        person.id,
        person.name,
        identity=identity,
        base_version=base_version,
        reason=reason,
    )
    (event,) = append_events(connection, [event])
    after = [*every, event]
    if isinstance(said, Redact):
        (target,) = (each for each in events if each.stream == said.target)
        redact_event(connection, target, event.stream)
        after = events_of(connection, place)
    project(connection, [(place, before if len(events) == len(every) else fold(every), fold(after))])
    return event_view(event, source.key), True


def rests_on(said: Payload, state: FeatureState) -> Hashable:
    """The part of a state that someone who says this must have seen. Where it has changed, what they say is stale.

    Votes and changes rest on the words they are about; proposals, decisions and undoing on all the labels.
    """
    if isinstance(said, (Propose, Accept, Adjudicate, Undo)):
        labels = tuple((label.stream, label.revision) for label in state.labels.values() if not label.is_suggestion)
        return (labels, state.accepted_label, state.decided_by)
    if isinstance(said, Retract) and said.target not in state.labels:
        comment = state.comments.get(said.target)
        return (comment is not None and comment.retracted, said.target in state.flags)
    about = said.target if isinstance(said, Retract) else getattr(said, "label", None)
    if isinstance(said, (Revise, Vote, Rate, Retract)) and about is not None:
        label = state.labels.get(about)
        return None if label is None else (label.revision, state.accepted_label == label.stream)
    return None


def _check_same(earlier: Event, place: tuple[int, int], person: Person, payload: Payload, reason: str | None) -> None:
    """A repeat says the same as the first time; what was redacted since is not compared."""
    same = (earlier.place, earlier.author_id, earlier.kind) == (place, person.id, payload.kind)
    if earlier.redacted_by is None:
        same = same and (earlier.payload.kept(), earlier.reason) == (payload.kept(), reason)
    if not same:
        hint = "make a new UUID"
        raise APIError(409, "id_reused", "this id was used for something else", hint=hint, field="id")


def _check(
    connection: Connection,
    model_id: int,
    said: Payload,
    key: str,
    index: int,
    person: Person,
    events: Sequence[Event],
    state: FeatureState,
    reason: str | None,
) -> None:
    """Raises APIError for what makes no sense in this state, or is not for this person to say."""
    label = getattr(said, "label", None)
    if label is not None and label not in state.labels:
        raise APIError(404, "unknown_label", "there is no such label on this feature", field="event.label")
    if isinstance(said, Revise) and state.labels[said.label].proposed.origin == Origin.AUTOMATIC:
        hint = "propose a label of your own beside it"
        raise APIError(409, "automatic_label", "what a program wrote is not reworded", hint=hint)
    if isinstance(said, Comment):
        if said.reply_to is not None and said.reply_to not in state.comments:
            raise APIError(404, "unknown_comment", "there is no such comment on this feature", field="event.reply_to")
        unknown = set(said.mentions) - names_of(connection, said.mentions).keys() - {person.id}
        if unknown:
            message = f"nobody here has the id {min(unknown)!r}"
            raise APIError(422, "unknown_person", message, field="event.mentions")
    elif isinstance(said, Flag) and said.of is not None:
        other = source_named(connection, model_id, said.of.source)
        check_feature(other.key, other.n_features, said.of.index)
        if (said.of.source, said.of.index) == (key, index):
            message = "of: a feature is no duplicate of itself"
            raise APIError(422, "invalid_request", message, field="event.of")
    elif isinstance(said, Adjudicate) and reason is None:
        raise APIError(422, "invalid_request", "reason: a decision needs its reason", field="reason")
    elif isinstance(said, Retract):
        _check_retract(said, person, state)
    elif isinstance(said, (Undo, Redact)):
        _check_target(said, person, events)


def _check_retract(said: Retract, person: Person, state: FeatureState) -> None:
    owner = state.flags.get(said.target)
    if said.target in state.labels:
        # whoever worded it last takes it back: the words of others are not theirs to take
        owner = state.labels[said.target].said
    elif said.target in state.comments and not state.comments[said.target].retracted:
        owner = state.comments[said.target].event
    if owner is None:
        message = "there is no such label, comment or flag on this feature"
        raise APIError(404, "unknown_target", message, field="event.target")
    _check_owner(owner, person)


def _check_target(said: Undo | Redact, person: Person, events: Sequence[Event]) -> None:
    target = next((event for event in events if event.stream == said.target), None)
    if target is None:
        raise APIError(404, "unknown_target", "there is no such event on this feature", field="event.target")
    if isinstance(said, Redact):
        if target.redacted_by is not None:
            raise APIError(409, "already_redacted", "the words of this event were taken out already")
        return
    if target.kind == "redact":
        raise APIError(409, "cannot_undo", "what was redacted is gone for good")
    if target.kind == "opinion":
        hint = "take back the label, the tags or the flag that came of it"
        raise APIError(409, "cannot_undo", "an opinion stays: who gave it has seen the others' since", hint=hint)
    if target.stream in undone(events):
        raise APIError(409, "already_undone", "this was undone already", hint="undo the undo to have it again")
    _check_owner(target, person)
    reworded = {
        each.payload.label: each for each in events if isinstance(each.payload, Revise) and each.author_id != person.id
    }
    if target.stream in reworded:
        _check_owner(reworded[target.stream], person)


def _check_owner(event: Event, person: Person) -> None:
    """Raises APIError (403): one's own words only, but for reviewers; and what programs said is not taken back."""
    if event.origin == Origin.AUTOMATIC:
        hint = "vote it down, or propose a label of your own"
        raise APIError(403, "automatic_label", "what a program wrote is not for people to take back", hint=hint)
    if event.author_id != person.id and not person.may(Permission.REVIEW):
        raise APIError(403, "not_yours", "only its author or a reviewer may take this back")


def _conflict(
    said: Payload, events: Sequence[Event], state: FeatureState, base_version: int, key: str, index: int
) -> Conflict:
    gone = undone(events)
    changes = [history_entry(event, key, gone) for event in events if event.stream > base_version]
    return Conflict(
        version=state.version,
        base_version=base_version,
        changes=changes,
        now=discussion_view(state, key, index, {}),
        ways_on=_ways_on(said, state, base_version),
    )


def _ways_on(said: Payload, state: FeatureState, base_version: int) -> list[WayOn]:
    """How somebody's words and another's can come together."""
    if not isinstance(said, (Propose, Revise)):
        return []
    mine = said.text
    changed = [label for label in state.labels.values() if label.revision > base_version]
    theirs = state.labels.get(said.label) if isinstance(said, Revise) else changed[-1] if changed else None
    beside: dict[str, Any] = {"kind": "propose", "text": mine}
    ways: list[WayOn] = []
    if theirs is not None and theirs.proposed.origin == Origin.HUMAN:
        both = f"{theirs.text}; {mine}" if theirs.text and len(theirs.text) + len(mine) <= 498 else mine
        revise: dict[str, Any] = {"kind": "revise", "label": theirs.stream}
        ways = [
            WayOn(name="merge", event={**revise, "text": both}),
            WayOn(name="replace", event={**revise, "text": mine}),
        ]
    return [*ways, WayOn(name="keep_both", event=beside)]

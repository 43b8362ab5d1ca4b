"""What a campaign has for a person: how far it is, and which feature comes next. Read in a snapshot."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, or_, select, tuple_

from mfn_server.access.roles import PERMISSIONS, Permission, Person
from mfn_server.campaigns.blind import Hidden
from mfn_server.campaigns.priority import Signals, coverage, disagreement, priority, shuffled, uncertainty
from mfn_server.campaigns.schemas import Progress
from mfn_server.db.campaign_tables import Campaign, CampaignItem, CampaignLease, CampaignMember, LabelOpinion
from mfn_server.db.tables import Label, LabelEvent, LabelSummary, Origin
from mfn_server.errors import APIError
from mfn_server.labels.log import Place


@dataclass
class Standing:
    """An item of a campaign: what was said of it, and who has it before them."""

    importance: float
    opinions: list[Any] = field(default_factory=list)
    leased_by: set[str] = field(default_factory=set)
    automatic: str | None = None
    is_named: bool = False
    decided: bool = False


def campaign_of(connection: Connection, model_id: int, campaign_id: uuid.UUID) -> Row[Any]:
    """A campaign of a model. Raises APIError (404)."""
    found = select(Campaign).where(Campaign.id == campaign_id, Campaign.model_id == model_id)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise APIError(404, "unknown_campaign", "there is no such campaign", field="campaign")
    return row


def takes_part(connection: Connection, campaign: Row[Any], person: Person) -> bool:
    """Whether someone is to give opinions: their role lets them label, and they are meant."""
    if Permission.LABEL not in PERMISSIONS[person.role]:
        return False
    member = select(CampaignMember.person_id).where(
        CampaignMember.campaign_id == campaign.id, CampaignMember.person_id == person.id
    )
    return bool(campaign.for_all) or connection.scalar(member) is not None


# no more columns than are looked at: a campaign may have ten thousand features
_PLACE = (CampaignItem.source_id, CampaignItem.number)
_SAID = (
    LabelOpinion.source_id,
    LabelOpinion.number,
    LabelOpinion.author_id,
    LabelOpinion.stream,
    LabelOpinion.text,
    LabelOpinion.confidence,
)


def standings(connection: Connection, campaign: Row[Any]) -> dict[Place, Standing]:
    """All items of a campaign."""
    of = CampaignItem.campaign_id == campaign.id
    found = {
        (source_id, number): Standing(importance)
        for source_id, number, importance in connection.execute(
            select(*_PLACE, CampaignItem.importance).where(of)
        ).all()
    }
    given = select(*_SAID).where(LabelOpinion.campaign_id == campaign.id).order_by(LabelOpinion.stream)
    for opinion in connection.execute(given).all():
        found[opinion[0], opinion[1]].opinions.append(opinion)
    active = (CampaignLease.campaign_id == campaign.id, CampaignLease.expires_at > datetime.now(UTC))
    for lease in connection.execute(select(CampaignLease).where(*active)):
        found[lease.source_id, lease.number].leased_by.add(lease.author_id)
    same = (Label.source_id == CampaignItem.source_id) & (Label.number == CampaignItem.number)
    shown = select(Label.source_id, Label.number, Label.origin, Label.confidence).join(CampaignItem, same)
    for label in connection.execute(shown.where(of, Label.is_primary)).all():
        item = found[label.source_id, label.number]
        item.is_named = True
        item.automatic = label.confidence if label.origin == Origin.AUTOMATIC else None
    same = (LabelSummary.source_id == CampaignItem.source_id) & (LabelSummary.number == CampaignItem.number)
    summary = select(LabelSummary.source_id, LabelSummary.number, LabelSummary.accepted, LabelSummary.decided_by)
    decided = (LabelSummary.accepted.is_not(None), LabelSummary.decided_by.is_not(None))
    for said in connection.execute(summary.join(CampaignItem, same).where(of, or_(*decided))).all():
        item = found[said.source_id, said.number]
        last = item.opinions[-1].stream if item.opinions else 0
        # that no label holds was decided of the labels there were then
        item.decided = said.accepted is not None or (said.decided_by or 0) > last
    return found


def progress_of(connection: Connection, campaign: Row[Any], person: Person, hidden: Hidden) -> Progress:
    """How far a campaign is, to someone; what is hidden from them is not counted.

    Reads no more than a line of each feature that has opinions: a campaign may have ten thousand.
    """
    of = CampaignItem.campaign_id == campaign.id
    features = connection.scalar(select(func.count()).where(of)) or 0
    given = mine = complete = done_for_me = to_review = 0
    of_person = {"campaign_id": campaign.id, "person_id": person.id}
    for source_id, number, n, is_mine, decided in connection.execute(_GIVEN, of_person).all():
        is_complete = n >= campaign.opinions
        given += n
        mine += is_mine
        done_for_me += is_complete or is_mine
        if (source_id, number) not in hidden.places:
            complete += is_complete
            to_review += (is_complete or campaign.closed_at is not None) and not decided
    can = campaign.closed_at is None and takes_part(connection, campaign, person)
    return Progress(
        features=features,
        complete=complete,
        given=None if _hides_any(connection, campaign, hidden) else given,
        mine=mine,
        left_for_me=features - done_for_me if can else 0,
        to_review=to_review,
    )


def _hides_any(connection: Connection, campaign: Row[Any], hidden: Hidden) -> bool:
    """Whether a feature of a campaign is hidden, also one of which nobody has said anything yet."""
    items = select(*_PLACE).where(CampaignItem.campaign_id == campaign.id)
    if len(hidden.places) <= _FEW:
        these = items.where(tuple_(*_PLACE).in_(sorted(hidden.places))).limit(1)
        return bool(hidden.places) and connection.execute(these).first() is not None
    return any((source_id, number) in hidden.places for source_id, number in connection.execute(items))


_FEW = 500
_LAST = func.max(LabelOpinion.stream)
_GIVEN = (
    select(
        LabelOpinion.source_id,
        LabelOpinion.number,
        func.count(),
        func.max(case((LabelOpinion.author_id == bindparam("person_id"), 1), else_=0)),
        # that no label holds was decided of the labels there were then
        or_(func.max(LabelSummary.accepted).is_not(None), func.coalesce(func.max(LabelSummary.decided_by), 0) > _LAST),
    )
    .join(
        LabelSummary,
        (LabelSummary.source_id == LabelOpinion.source_id) & (LabelSummary.number == LabelOpinion.number),
    )
    .where(LabelOpinion.campaign_id == bindparam("campaign_id"))
    .group_by(LabelOpinion.source_id, LabelOpinion.number)
)
"""Of each feature with opinions: how many, whether one is the person's, and whether it is decided."""


def is_for_review(campaign: Row[Any], item: Standing) -> bool:
    """Whether all was said of an item that will be, and something was."""
    return bool(item.opinions) and (len(item.opinions) >= campaign.opinions or campaign.closed_at is not None)


def ranked(
    connection: Connection, campaign: Row[Any], items: Mapping[Place, Standing], person: Person
) -> list[tuple[Place, bool]]:
    """What somebody can judge now, the first one first, and whether they have skipped it: such come last, in turn."""
    skipped = _skips(connection, items.keys(), person)
    of, wanted = str(campaign.id), campaign.opinions
    waiting = []
    for place, item in items.items():
        if person.id in item.leased_by or len(item.opinions) + len(item.leased_by) >= wanted:
            continue
        if any(said.author_id == person.id for said in item.opinions):
            continue
        worth = priority(signals_of(campaign, item), blind=campaign.is_blind)
        turn = shuffled(person.id, of, place)
        waiting.append(((skipped.get(place, 0), -worth, turn), place))
    return [(place, place in skipped) for _, place in sorted(waiting)]


def signals_of(campaign: Row[Any], item: Standing) -> Signals:
    """What is known of an item. Without an opinion, a program's label says how sure that was."""
    confidences = [said.confidence for said in item.opinions]
    if not confidences and item.is_named:
        confidences = [item.automatic]
    return Signals(
        uncertainty=uncertainty(confidences),
        disagreement=disagreement([said.text for said in item.opinions]),
        importance=item.importance,
        coverage=coverage(len(item.opinions), campaign.opinions),
    )


def _skips(connection: Connection, places: Any, person: Person) -> dict[Place, int]:
    last = (
        select(LabelEvent.source_id, LabelEvent.number, func.max(LabelEvent.stream).label("stream"))
        .where(LabelEvent.author_id == person.id, LabelEvent.type == "skip")
        .group_by(LabelEvent.source_id, LabelEvent.number)
    )
    found: dict[Place, int] = defaultdict(int)
    for row in connection.execute(last):
        if (row.source_id, row.number) in places:
            found[row.source_id, row.number] = row.stream
    return dict(found)

"""Campaigns as they are shown. Read in a snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from mfn_server.access.roles import Person
from mfn_server.campaigns.blind import hidden_from
from mfn_server.campaigns.priority import disagreement
from mfn_server.campaigns.queue import campaign_of, is_for_review, progress_of, standings, takes_part
from mfn_server.campaigns.schemas import CampaignList, CampaignView, OpinionView, Review, ReviewItem
from mfn_server.db.access_tables import Account
from mfn_server.db.campaign_tables import Campaign, CampaignMember
from mfn_server.labels.fold import FeatureState, fold
from mfn_server.labels.log import Event, events_by_place
from mfn_server.labels.payloads import Opinion
from mfn_server.labels.reading import source_keys
from mfn_server.labels.schemas import PersonView
from mfn_server.labels.views import author_of


def campaign_list(connection: Connection, model_id: int, person: Person) -> CampaignList:
    """All campaigns of a model."""
    rows = connection.execute(
        select(Campaign)
        .where(Campaign.model_id == model_id)
        .order_by(Campaign.closed_at.is_not(None), Campaign.created_at.desc(), Campaign.id)
    ).all()
    return CampaignList(items=_views(connection, rows, person))


def campaign_view(connection: Connection, model_id: int, campaign_id: UUID, person: Person) -> CampaignView:
    """One campaign. Raises APIError (404)."""
    (view,) = _views(connection, [campaign_of(connection, model_id, campaign_id)], person)
    return view


def _views(connection: Connection, rows: Sequence[Row[Any]], person: Person) -> list[CampaignView]:
    hidden = hidden_from(connection, person)
    members: defaultdict[UUID, list[PersonView]] = defaultdict(list)
    names = {str(row.id): row.name for row in connection.execute(select(Account.id, Account.name))}
    for row in connection.execute(select(CampaignMember).order_by(CampaignMember.person_id)):
        known = names.get(row.person_id, person.name if row.person_id == person.id else row.person_id)
        members[row.campaign_id].append(PersonView(id=row.person_id, name=known))
    return [
        CampaignView(
            id=row.id,
            version=row.version,
            name=row.name,
            instructions=row.instructions,
            opinions=row.opinions,
            blind=row.is_blind,
            people=None if row.for_all else sorted(members[row.id], key=lambda each: each.name.casefold()),
            due_at=row.due_at,
            closed_at=row.closed_at,
            author=PersonView(id=row.author_id, name=row.author),
            created_at=row.created_at,
            takes_part=takes_part(connection, row, person),
            progress=progress_of(connection, row, person, hidden),
        )
        for row in rows
    ]


def review(connection: Connection, model_id: int, campaign_id: UUID, person: Person, at: int, limit: int) -> Review:
    """What there is to decide in a campaign, from rank `at` on. Raises APIError (404)."""
    campaign = campaign_of(connection, model_id, campaign_id)
    items = standings(connection, campaign)
    hidden = hidden_from(connection, person)
    apart = {
        place: disagreement([said.text for said in item.opinions])
        for place, item in items.items()
        if is_for_review(campaign, item) and place not in hidden.places
    }
    order = sorted(apart, key=lambda place: (items[place].decided, -apart[place], -items[place].importance, place))
    keys = source_keys(connection, model_id)
    page = order[at : at + limit]
    said = events_by_place(connection, page)
    shown = []
    for place in page:
        state = fold(said[place])
        opinions = [event for (of, _), event in state.opinions.items() if of == campaign_id]
        accepted, primary = state.accepted_label, state.primary
        shown.append(
            ReviewItem(
                source=keys[place[0]],
                index=place[1],
                version=state.version,
                opinions=[opinion_view(event, state) for event in opinions],
                disagreement=round(apart[place], 4),
                complete=len(opinions) >= campaign.opinions,
                decided=items[place].decided,
                accepted=accepted,
                label=None if primary is None else state.labels[primary].text,
            )
        )
    return Review(items=shown, total=len(order), undecided=sum(not items[place].decided for place in order))


def opinion_view(event: Event, state: FeatureState) -> OpinionView:
    """An opinion, with whether its label still stands."""
    said = event.payload
    assert isinstance(said, Opinion)
    return OpinionView(
        stream=event.stream,
        person=author_of(event),
        created_at=event.created_at,
        text=said.text,
        flag=said.flag,
        one_concept=said.one_concept,
        specificity=said.specificity,
        confidence=said.confidence,
        evidence=said.evidence,
        tags=said.tags,
        stands=event.stream in state.labels,
    )

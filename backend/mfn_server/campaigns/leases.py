"""Who has which feature before them. A lease runs out by itself, so that nothing waits for somebody who went away."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from mfn_server.access.roles import Person
from mfn_server.campaigns.queue import campaign_of, takes_part
from mfn_server.db.campaign_tables import Campaign, CampaignLease, LabelOpinion
from mfn_server.errors import APIError
from mfn_server.labels.log import Place

LIFETIME = timedelta(seconds=90)
"""How long a lease holds without a heartbeat. A page sends one every 20 seconds, one in the background each minute."""


def open_campaign(connection: Connection, model_id: int, campaign_id: uuid.UUID, person: Person) -> Row[Any]:
    """A campaign in which someone can give opinions. Raises APIError: 404; 403, not them; 409, it is closed."""
    campaign = campaign_of(connection, model_id, campaign_id)
    if not takes_part(connection, campaign, person):
        raise APIError(403, "not_asked", "this campaign is for others", hint="a reviewer can add you")
    if campaign.closed_at is not None:
        raise APIError(409, "campaign_closed", "this campaign is closed")
    return campaign


def take(
    connection: Connection, campaign: Row[Any], person: Person, identity: uuid.UUID, places: Iterable[Place]
) -> Row[Any] | None:
    """Lease the first of some features that can still be given out. Needs a write transaction.

    A lease that is there under the identity is renewed, as long as its feature has room for it.

    Raises:
        APIError: 403, the identity is another person's lease.
    """
    # one at a time within a campaign, so that no feature is given out more often than opinions are asked for
    connection.execute(select(Campaign.id).where(Campaign.id == campaign.id).with_for_update())
    now = datetime.now(UTC)
    before = connection.execute(select(CampaignLease).where(CampaignLease.id == identity)).one_or_none()
    if before is not None:
        if before.author_id != person.id or before.campaign_id != campaign.id:
            raise APIError(403, "not_yours", "this lease is another one", hint="make a new UUID", field="lease")
        connection.execute(delete(CampaignLease).where(CampaignLease.id == identity))
        places = [(before.source_id, before.number), *places]
    gone = (CampaignLease.campaign_id == campaign.id, CampaignLease.expires_at <= now)
    connection.execute(delete(CampaignLease).where(*gone))
    for place in places:
        if _room(connection, campaign, person, place):
            values = {"id": identity, "campaign_id": campaign.id, "source_id": place[0], "number": place[1]}
            row = values | {"author_id": person.id, "expires_at": now + LIFETIME}
            connection.execute(insert(CampaignLease).values(row))
            return connection.execute(select(CampaignLease).where(CampaignLease.id == identity)).one()
    return None


def renew(connection: Connection, campaign: Row[Any], person: Person, identity: uuid.UUID) -> Row[Any]:
    """A heartbeat. Needs a write transaction. Raises APIError, 409: the lease has run out, and others may have it."""
    mine = (CampaignLease.id == identity, CampaignLease.author_id == person.id)
    now = datetime.now(UTC)
    fresh = (CampaignLease.campaign_id == campaign.id, CampaignLease.expires_at > now)
    changed = connection.execute(update(CampaignLease).where(*mine, *fresh).values(expires_at=now + LIFETIME))
    if changed.rowcount == 0:
        hint = "ask for it again under the same id: it is yours if nobody else has it"
        raise APIError(409, "lease_lost", "this feature is no longer kept for you", hint=hint)
    return connection.execute(select(CampaignLease).where(CampaignLease.id == identity)).one()


def give_back(connection: Connection, person: Person, identity: uuid.UUID) -> None:
    """Let others have it. Needs a write transaction. One that is not there is no error."""
    mine = (CampaignLease.id == identity, CampaignLease.author_id == person.id)
    connection.execute(delete(CampaignLease).where(*mine))


def drop(connection: Connection, campaign_id: uuid.UUID, place: Place, person: Person) -> None:
    """Somebody is done with a feature. Needs a write transaction."""
    here = (CampaignLease.source_id == place[0], CampaignLease.number == place[1])
    mine = (CampaignLease.campaign_id == campaign_id, CampaignLease.author_id == person.id)
    connection.execute(delete(CampaignLease).where(*mine, *here))


def _room(connection: Connection, campaign: Row[Any], person: Person, place: Place) -> bool:
    """Whether one more can judge a feature beside those who have and those who are about to, and this person can."""
    here = (LabelOpinion.source_id == place[0], LabelOpinion.number == place[1])
    given = connection.scalars(
        select(LabelOpinion.author_id).where(LabelOpinion.campaign_id == campaign.id, *here)
    ).all()
    there = (CampaignLease.source_id == place[0], CampaignLease.number == place[1])
    leased = connection.scalars(
        select(CampaignLease.author_id).where(CampaignLease.campaign_id == campaign.id, *there)
    ).all()
    taken = len(given) + len(leased)
    return person.id not in given and person.id not in leased and taken < int(campaign.opinions)

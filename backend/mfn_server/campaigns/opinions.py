"""Takes in what people say in a campaign: never more opinions of a feature than are asked for, and one a person."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Connection, select

from mfn_server.access.roles import Person
from mfn_server.campaigns.leases import drop, open_campaign
from mfn_server.campaigns.schemas import OpinionBody, SkipBody
from mfn_server.db.campaign_tables import CampaignItem, LabelOpinion
from mfn_server.errors import APIError
from mfn_server.labels.commands import record
from mfn_server.labels.log import Place
from mfn_server.labels.payloads import Opinion, Skip
from mfn_server.labels.schemas import EventView


def give_opinion(
    connection: Connection, model_id: int, campaign_id: UUID, person: Person, body: OpinionBody
) -> tuple[EventView, bool]:
    """Record an opinion. Needs a write transaction. No lease is needed: one that ran out loses nobody's words.

    Returns:
        The event, and whether it is new.

    Raises:
        APIError: as `record`; 404, the feature is not in the campaign; 403, the campaign is for others; 409: it is
            closed, the person has given theirs, or others have given all that are asked for.
    """
    said = Opinion(campaign=campaign_id, **body.model_dump(exclude={"id", "source", "index", "reason"}))

    def check(place: Place) -> None:
        """Called with the log of labels locked, which whoever closes the campaign needs as well."""
        campaign = open_campaign(connection, model_id, campaign_id, person)
        check_item(connection, campaign_id, place)
        here = (LabelOpinion.source_id == place[0], LabelOpinion.number == place[1])
        given = connection.scalars(
            select(LabelOpinion.author_id).where(LabelOpinion.campaign_id == campaign_id, *here)
        ).all()
        if person.id in given:
            raise APIError(409, "already_given", "you have given your opinion of this feature in this campaign")
        if len(given) >= campaign.opinions:
            hint = "say it as a label of your own, beside theirs"
            raise APIError(409, "quota_full", "others have given all opinions that are asked for meanwhile", hint=hint)

    return _say(connection, model_id, campaign_id, person, body, said, check)


def skip(
    connection: Connection, model_id: int, campaign_id: UUID, person: Person, body: SkipBody
) -> tuple[EventView, bool]:
    """Record that someone has nothing to say of a feature now. Needs a write transaction. Raises as `give_opinion`."""

    def check(place: Place) -> None:
        open_campaign(connection, model_id, campaign_id, person)
        check_item(connection, campaign_id, place)

    return _say(connection, model_id, campaign_id, person, body, Skip(), check)


def check_item(connection: Connection, campaign_id: UUID, place: Place) -> None:
    """Raises APIError, 404: the feature is not in the campaign."""
    here = (CampaignItem.source_id == place[0], CampaignItem.number == place[1])
    if connection.scalar(select(CampaignItem.number).where(CampaignItem.campaign_id == campaign_id, *here)) is None:
        raise APIError(404, "not_in_campaign", "this feature is not in this campaign", field="index")


def _say(
    connection: Connection,
    model_id: int,
    campaign_id: UUID,
    person: Person,
    body: OpinionBody | SkipBody,
    said: Opinion | Skip,
    check: Callable[[Place], None],
) -> tuple[EventView, bool]:
    """Record it, if `check` lets it pass, and give the lease back."""

    def check_and_drop(place: Place) -> None:
        check(place)
        drop(connection, campaign_id, place, person)

    return record(
        connection,
        model_id,
        body.source,
        body.index,
        person,
        said,
        identity=body.id,
        base_version=None,
        reason=body.reason,
        check=check_and_drop,
    )

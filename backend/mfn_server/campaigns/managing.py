"""Opens, changes and closes campaigns. Needs a write transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Connection, delete, select

from mfn_server.access.roles import PERMISSIONS, Permission, Person, Role
from mfn_server.campaigns.events import Change, Close, Item, Open, Reopen
from mfn_server.campaigns.log import append_entry, entry_by_id
from mfn_server.campaigns.queue import campaign_of
from mfn_server.campaigns.schemas import DeedBody, OpenBody
from mfn_server.db.access_tables import Account
from mfn_server.db.campaign_tables import CampaignLease
from mfn_server.errors import APIError
from mfn_server.labels.log import lock_log


def open_new(connection: Connection, model_id: int, person: Person, body: OpenBody, items: Sequence[Item]) -> bool:
    """Open a campaign over some features. Gives whether it is new: a repeat changes nothing.

    Raises APIError: 409, the id was used for something else; 422, nobody, or too few people, could do it.
    """
    said = body.model_dump(exclude={"id", "features"})
    deed = Open(**said, items=list(items))
    lock_log(connection)
    earlier = entry_by_id(connection, body.id)
    if earlier is not None:
        same = earlier.author_id == person.id and isinstance(earlier.deed, Open)
        if not same or earlier.deed.model_dump(exclude={"items"}) != deed.model_dump(exclude={"items"}):
            raise _id_reused()
        return False
    _check_people(connection, person, body.people, body.opinions)
    append_entry(connection, model_id, body.id, person, body.id, deed)
    return True


def do(connection: Connection, model_id: int, campaign_id: UUID, person: Person, body: DeedBody) -> bool:
    """Do something to a campaign. Gives whether it is new.

    Raises APIError: 404; 409, it has changed since the version that this rests on, or it is so already; 422.
    """
    # the log of labels is locked first, so that no opinion comes in behind a close
    lock_log(connection)
    earlier = entry_by_id(connection, body.id)
    if earlier is not None:
        if (earlier.author_id, earlier.campaign_id, earlier.deed) != (person.id, campaign_id, body.event):
            raise _id_reused()
        return False
    campaign = campaign_of(connection, model_id, campaign_id)
    if campaign.version != body.base_version:
        hint = "look at it again, and send with its `version`"
        raise APIError(409, "stale", "someone else has changed this campaign meanwhile", hint=hint)
    if isinstance(body.event, Change):
        _check_people(connection, person, body.event.people, campaign.opinions)
    elif isinstance(body.event, Close) and campaign.closed_at is not None:
        raise APIError(409, "campaign_closed", "this campaign is closed already")
    elif isinstance(body.event, Reopen) and campaign.closed_at is None:
        raise APIError(409, "campaign_open", "this campaign is open already")
    append_entry(connection, model_id, campaign_id, person, body.id, body.event)
    if isinstance(body.event, Close):
        connection.execute(delete(CampaignLease).where(CampaignLease.campaign_id == campaign_id))
    return True


def may_label(connection: Connection) -> dict[str, str]:
    """Accounts in use whose role lets them label: names by id."""
    roles = [role for role in Role if Permission.LABEL in PERMISSIONS[role]]
    in_use = select(Account.id, Account.name).where(Account.deactivated_at.is_(None), Account.role.in_(roles))
    return {str(row.id): row.name for row in connection.execute(in_use.order_by(Account.name_key))}


def _check_people(connection: Connection, person: Person, people: Collection[str] | None, opinions: int) -> None:
    able = {person.id: person.name} if person.is_local else may_label(connection)
    unknown = set(people or ()) - able.keys()
    if unknown:
        message = f"nobody who may label has the id {min(unknown)!r}"
        raise APIError(422, "unknown_person", message, field="people")
    n = len(able if people is None else set(people))
    if n < opinions:
        hint = "ask for fewer, or add people" if not person.is_local else "with accounts, more people can take part"
        message = f"opinions: {opinions} of each feature, but {n} can give one"
        raise APIError(422, "too_few_people", message, hint=hint, field="opinions")


def _id_reused() -> APIError:
    return APIError(409, "id_reused", "this id was used for something else", hint="make a new UUID", field="id")

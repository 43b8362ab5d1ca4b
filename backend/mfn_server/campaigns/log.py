"""The log of campaigns, numbered in the order of commits as that of labels is, and the tables that follow from it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mfn_server.access.roles import Person
from mfn_server.campaigns.events import CampaignEntry, CampaignPayload, CampaignState, fold_campaign, read_deed
from mfn_server.db.campaign_tables import Campaign, CampaignEvent, CampaignItem, CampaignMember
from mfn_server.db.counters import take_numbers
from mfn_server.db.tables import Source, Table

CAMPAIGNS = "campaign_event"
"""The counter that numbers the log."""

Row = dict[str, Any]
_TABLES: tuple[type[Table], ...] = (Campaign, CampaignMember, CampaignItem)
_ORDER = {Campaign: (), CampaignMember: ("person_id",), CampaignItem: ("source_id", "number")}


def entries_of(connection: Connection, campaign_id: uuid.UUID) -> list[CampaignEntry]:
    """What was done to a campaign, in order."""
    rows = connection.execute(
        select(CampaignEvent).where(CampaignEvent.campaign_id == campaign_id).order_by(CampaignEvent.stream)
    )
    return [_entry(row) for row in rows]


def entry_by_id(connection: Connection, identity: uuid.UUID) -> CampaignEntry | None:
    """The event with an id, if there is one."""
    row = connection.execute(select(CampaignEvent).where(CampaignEvent.id == identity)).one_or_none()
    return None if row is None else _entry(row)


def append_entry(
    connection: Connection,
    model_id: int,
    campaign_id: uuid.UUID,
    person: Person,
    identity: uuid.UUID,
    deed: CampaignPayload,
) -> CampaignEntry:
    """Add an event, and write what follows from it. The log of labels must be locked, which orders these too."""
    stream = take_numbers(connection, CAMPAIGNS)
    now = datetime.now(UTC)
    entry = CampaignEntry(stream, identity, campaign_id, model_id, person.id, person.name, now, deed)
    connection.execute(
        insert(CampaignEvent).values(
            stream=stream,
            id=identity,
            campaign_id=campaign_id,
            model_id=model_id,
            type=deed.kind,
            author_id=person.id,
            author=person.name,
            created_at=now,
            payload=deed.kept(),
            payload_version=deed.VERSION,
        )
    )
    _project(connection, campaign_id)
    return entry


def campaign_rows(connection: Connection, state: CampaignState) -> dict[type[Table], list[Row]]:
    """The rows of a campaign, as a function of its state; sources are looked up by key."""
    opened, terms = state.opened, state.terms
    of_model = select(Source.key, Source.id).where(Source.model_id == opened.model_id)
    sources: dict[str, int] = {row.key: row.id for row in connection.execute(of_model)}
    here = {"campaign_id": opened.campaign_id}
    campaign = {
        "id": opened.campaign_id,
        "model_id": opened.model_id,
        "version": state.version,
        "name": terms.name,
        "instructions": terms.instructions or "",
        "opinions": state.opinions,
        "is_blind": state.blind,
        "for_all": terms.people is None,
        "due_at": terms.due_at,
        "closed_at": state.closed_at,
        "author_id": opened.author_id,
        "author": opened.author,
        "created_at": opened.created_at,
    }
    items = [
        {**here, "source_id": sources[item.source], "number": item.index, "importance": item.importance}
        for item in state.items
    ]
    return {
        Campaign: [campaign],
        CampaignMember: [{**here, "person_id": person} for person in sorted(set(terms.people or []))],
        CampaignItem: sorted(items, key=lambda row: (row["source_id"], row["number"])),
    }


def _project(connection: Connection, campaign_id: uuid.UUID) -> None:
    """Write what follows from all events of a campaign. Its items never change, and are written once."""
    state = fold_campaign(entries_of(connection, campaign_id))
    assert state is not None
    rows = campaign_rows(connection, state)
    (campaign,) = rows[Campaign]
    if state.version == state.opened.stream:
        connection.execute(insert(Campaign).values(campaign))
        connection.execute(insert(CampaignItem), rows[CampaignItem])
    else:
        connection.execute(_UPDATE, {"_id": campaign_id, **{k: v for k, v in campaign.items() if k != "id"}})
        connection.execute(delete(CampaignMember).where(CampaignMember.campaign_id == campaign_id))
    if rows[CampaignMember]:
        connection.execute(insert(CampaignMember), rows[CampaignMember])


_UPDATE = (
    update(Campaign)
    .where(Campaign.id == bindparam("_id"))
    .values({column.name: bindparam(column.name) for column in Campaign.__table__.columns if column.name != "id"})
)


class CampaignDifference(NamedTuple):
    """Rows of a campaign in one table that are not what its log says: as they are, and as they should be."""

    campaign_id: uuid.UUID
    table: str
    found: list[Row]
    expected: list[Row]


def campaign_differences(connection: Connection) -> list[CampaignDifference]:
    """Where the tables of campaigns are not what follows from the log. Read in a snapshot."""
    known = set(connection.scalars(select(CampaignEvent.campaign_id).distinct()))
    out = []
    for campaign_id in sorted(known | set(connection.scalars(select(Campaign.id)))):
        state = fold_campaign(entries_of(connection, campaign_id))
        expected = {} if state is None else campaign_rows(connection, state)
        for table in _TABLES:
            columns = table.__table__.c
            of_campaign = columns["id" if table is Campaign else "campaign_id"] == campaign_id
            order = [columns[name] for name in _ORDER[table]]
            rows = connection.execute(select(table.__table__).where(of_campaign).order_by(*order))
            found = [dict(row._mapping) for row in rows]
            if found != expected.get(table, []):
                out.append(CampaignDifference(campaign_id, table.__tablename__, found, expected.get(table, [])))
    return out


def _entry(row: Any) -> CampaignEntry:
    return CampaignEntry(
        stream=row.stream,
        id=row.id,
        campaign_id=row.campaign_id,
        model_id=row.model_id,
        author_id=row.author_id,
        author=row.author,
        created_at=row.created_at,
        deed=read_deed(row.type, row.payload_version, row.payload),
    )

"""Which tabs are open and where: rows that all servers of a database share, and that run out by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from mfn_server.access.person import Person
from mfn_server.db.campaign_tables import CampaignLease
from mfn_server.db.tables import Counter, LiveTab
from mfn_server.errors import APIError
from mfn_server.features.reading import check_feature, source_named
from mfn_server.labels.reading import source_keys
from mfn_server.labels.schemas import PersonView
from mfn_server.live.schemas import PresenceBody, TabView

TABS = "live_tab"
"""The counter that goes up with every change."""

LIFETIME = timedelta(seconds=45)
"""A tab of which nothing was heard for so long is closed: its browser or its server has gone without a word."""

MOST_TABS = 50
"""Open tabs of one person."""


def put_tab(connection: Connection, model_id: int, person: Person, body: PresenceBody) -> None:
    """Say where a tab is. Needs a write transaction.

    Raises APIError: no such feature (404), another person's tab (403), too many tabs (429).
    """
    source_id = None
    if body.source is not None and body.index is not None:
        source = source_named(connection, model_id, body.source)
        check_feature(source.key, source.n_features, body.index)
        source_id = source.id
    now = datetime.now(UTC)
    connection.execute(delete(LiveTab).where(LiveTab.seen_at < now - LIFETIME))
    here = {
        "author_id": person.id,
        "author": person.name,
        "source_id": source_id,
        "number": body.index,
        "typing": body.typing,
    }
    before = connection.execute(select(LiveTab).where(LiveTab.tab == body.tab)).one_or_none()
    if before is None:
        mine = connection.scalar(select(func.count()).select_from(LiveTab).where(LiveTab.author_id == person.id))
        if (mine or 0) >= MOST_TABS:
            message = f"{MOST_TABS} tabs of yours are open already"
            raise APIError(429, "too_many_tabs", message, headers={"Retry-After": str(int(LIFETIME.total_seconds()))})
        connection.execute(insert(LiveTab).values(tab=body.tab, seen_at=now, **here))
    elif before.author_id != person.id:
        raise APIError(403, "not_yours", "this tab is another person's", field="tab")
    else:
        connection.execute(update(LiveTab).where(LiveTab.tab == body.tab).values(seen_at=now, **here))
    if before is None or any(getattr(before, name) != value for name, value in here.items()):
        _changed(connection)


def remove_tab(connection: Connection, tab: UUID) -> None:
    """A tab was closed. Needs a write transaction."""
    if connection.execute(delete(LiveTab).where(LiveTab.tab == tab)).rowcount:
        _changed(connection)


def open_tabs(connection: Connection, model_id: int) -> list[TabView]:
    """All tabs that are open; where they are, if it is a feature of this model."""
    keys = source_keys(connection, model_id)
    now = datetime.now(UTC)
    kept = select(CampaignLease.id).where(
        CampaignLease.author_id == LiveTab.author_id,
        CampaignLease.source_id == LiveTab.source_id,
        CampaignLease.number == LiveTab.number,
        CampaignLease.expires_at > now,
    )
    heard = LiveTab.seen_at >= now - LIFETIME
    tabs = select(LiveTab.__table__, kept.exists().label("leased")).where(heard)
    rows = connection.execute(tabs.order_by(LiveTab.author, LiveTab.tab))
    return [
        TabView(
            tab=row.tab,
            person=PersonView(id=row.author_id, name=row.author),
            source=keys.get(row.source_id),
            index=row.number if row.source_id in keys else None,
            typing=row.typing,
            leased=row.leased and row.source_id in keys,
        )
        for row in rows
    ]


def _changed(connection: Connection) -> None:
    connection.execute(update(Counter).where(Counter.name == TABS).values(value=Counter.value + 1))

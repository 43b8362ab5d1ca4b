"""Routes over campaigns and what they have for whom."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import Connection, Row

from mfn_server.access.person import Permission, Person, require
from mfn_server.campaigns import leases, managing, opinions, reading
from mfn_server.campaigns.blind import hidden_from
from mfn_server.campaigns.events import Item
from mfn_server.campaigns.queue import campaign_of, progress_of, ranked, standings
from mfn_server.campaigns.schemas import (
    CampaignList,
    CampaignView,
    Candidates,
    DeedBody,
    Lease,
    Next,
    NextBody,
    OpenBody,
    OpinionBody,
    Review,
    SkipBody,
)
from mfn_server.campaigns.selecting import choose
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.columns import ColumnsMissingError
from mfn_server.labels.log import Place
from mfn_server.labels.reading import source_keys
from mfn_server.labels.schemas import EventView, PersonView
from mfn_server.studio import Served, Studio, StudioDep

router = APIRouter(prefix="/api/campaigns", tags=["campaigns"], responses=ERROR_RESPONSES)

Reader = Annotated[Person, Depends(require(Permission.READ))]
Labeller = Annotated[Person, Depends(require(Permission.LABEL))]
Reviewer = Annotated[Person, Depends(require(Permission.REVIEW))]
_REPEATED: dict[int | str, dict[str, Any]] = {200: {"description": "Done before, by an earlier request with this id."}}
_TRIES = 3


@router.get("")
async def get_campaigns(studio: StudioDep, person: Reader) -> CampaignList:
    """All campaigns, and how far each is."""
    served = await studio.served()

    def read() -> CampaignList:
        with studio.database.snapshot() as connection:
            return reading.campaign_list(connection, served.model_id, person)

    return await studio.read(read)


@router.post("", status_code=201, responses=_REPEATED)
async def post_campaign(studio: StudioDep, person: Reviewer, body: OpenBody, response: Response) -> CampaignView:
    """Open a campaign over the features that a list has now, or over some that are named."""
    served = await studio.served()

    def chosen() -> list[Item]:
        with studio.database.snapshot() as connection:
            catalogue: Catalogue | None = None
            with suppress(ColumnsMissingError):
                hidden = hidden_from(connection, person)
                fingerprint = served.facts.fingerprint
                catalogue = studio.catalogues.current(connection, served.model_id, fingerprint, hidden)
            if catalogue is not None and not catalogue.columns.n:
                catalogue = None
            return choose(connection, served.model_id, catalogue, body.features, served.tokens)

    items = await studio.read(chosen)
    if not await studio.write(lambda connection: managing.open_new(connection, served.model_id, person, body, items)):
        response.status_code = 200
    studio.live.wake()
    return await _view(studio, served, person, body.id)


@router.get("/people")
async def get_candidates(studio: StudioDep, person: Reviewer) -> Candidates:
    """Who may take part."""

    def read() -> Candidates:
        with studio.database.read() as connection:
            able = {person.id: person.name} if person.is_local else managing.may_label(connection)
        return Candidates(items=[PersonView(id=each, name=name) for each, name in able.items()])

    return await studio.read(read)


@router.get("/{campaign}")
async def get_campaign(studio: StudioDep, person: Reader, campaign: UUID) -> CampaignView:
    """One campaign, and how far it is."""
    return await _view(studio, await studio.served(), person, campaign)


@router.post("/{campaign}/events", status_code=201, responses=_REPEATED)
async def post_deed(
    studio: StudioDep, person: Reviewer, campaign: UUID, body: DeedBody, response: Response
) -> CampaignView:
    """Change a campaign, close it, or open it again."""
    served = await studio.served()
    if not await studio.write(lambda connection: managing.do(connection, served.model_id, campaign, person, body)):
        response.status_code = 200
    studio.live.wake()
    return await _view(studio, served, person, campaign)


@router.post("/{campaign}/next")
async def post_next(studio: StudioDep, person: Labeller, campaign: UUID, body: NextBody) -> Next:
    """What to judge next. It is kept for whoever asks until its lease runs out."""
    served = await studio.served()

    def look() -> list[tuple[Place, bool]]:
        with studio.database.snapshot() as connection:
            of = leases.open_campaign(connection, served.model_id, campaign, person)
            return ranked(connection, of, standings(connection, of), person)

    def take(connection: Connection) -> Row[Any] | None:
        of = leases.open_campaign(connection, served.model_id, campaign, person)
        return leases.take(connection, of, person, body.lease, [place for place, _ in free])

    def tell() -> Next:
        with studio.database.snapshot() as connection:
            of = campaign_of(connection, served.model_id, campaign)
            progress = progress_of(connection, of, person, hidden_from(connection, person))
            if row is None:
                return Next(item=None, why="waiting" if progress.left_for_me else "done", progress=progress)
            key = source_keys(connection, served.model_id)[row.source_id]
            skipped = ((row.source_id, row.number), True) in free
            return Next(item=_lease(row, key, skipped=skipped), why=None, progress=progress)

    for _ in range(_TRIES):  # others may take what was free a moment ago
        free = await studio.read(look)
        row = await studio.write(take)
        if row is not None or not free:
            break
    return await studio.read(tell)


@router.put("/{campaign}/leases/{lease}")
async def put_lease(studio: StudioDep, person: Labeller, campaign: UUID, lease: UUID) -> Lease:
    """A heartbeat: the feature is still before them. 409 `lease_lost` where it no longer is theirs."""
    served = await studio.served()

    def write(connection: Connection) -> Lease:
        of = leases.open_campaign(connection, served.model_id, campaign, person)
        row = leases.renew(connection, of, person, lease)
        return _lease(row, source_keys(connection, served.model_id)[row.source_id], skipped=False)

    return await studio.write(write)


@router.delete("/{campaign}/leases/{lease}", status_code=204)
async def delete_lease(studio: StudioDep, person: Labeller, campaign: UUID, lease: UUID) -> None:
    """Give a feature back without a word."""
    await studio.write(lambda connection: leases.give_back(connection, person, lease))


@router.post("/{campaign}/opinions", status_code=201, responses=_REPEATED)
async def post_opinion(
    studio: StudioDep, person: Labeller, campaign: UUID, body: OpinionBody, response: Response
) -> EventView:
    """Give an opinion. Refused (409) where all that are asked for are there: the number is never exceeded."""
    served = await studio.served()
    given = await studio.write(
        lambda connection: opinions.give_opinion(connection, served.model_id, campaign, person, body)
    )
    return _recorded(studio, response, given)


@router.post("/{campaign}/skips", status_code=201, responses=_REPEATED)
async def post_skip(
    studio: StudioDep, person: Labeller, campaign: UUID, body: SkipBody, response: Response
) -> EventView:
    """Have nothing to say of a feature now. It comes again when all else is done."""
    served = await studio.served()
    given = await studio.write(lambda c: opinions.skip(c, served.model_id, campaign, person, body))
    return _recorded(studio, response, given)


@router.get("/{campaign}/review")
async def get_review(
    studio: StudioDep,
    person: Reviewer,
    campaign: UUID,
    at: Annotated[int, Query(ge=0, lt=2**31, description="Begin at this rank, from 0.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Review:
    """Features that have their opinions, for whoever decides: first those without a decision, the most disputed first.

    Decide by `POST /api/features/{source}/{index}/decisions`.
    """
    served = await studio.served()

    def read() -> Review:
        with studio.database.snapshot() as connection:
            return reading.review(connection, served.model_id, campaign, person, at, limit)

    return await studio.read(read)


async def _view(studio: Studio, served: Served, person: Person, campaign: UUID) -> CampaignView:
    def read() -> CampaignView:
        with studio.database.snapshot() as connection:
            return reading.campaign_view(connection, served.model_id, campaign, person)

    return await studio.read(read)


def _recorded(studio: Studio, response: Response, recorded: tuple[EventView, bool]) -> EventView:
    event, new = recorded
    studio.live.wake()
    if not new:
        response.status_code = 200
    return event


def _lease(row: Row[Any], key: str, *, skipped: bool) -> Lease:
    left = max(0.0, (row.expires_at - datetime.now(UTC)).total_seconds())
    return Lease(
        lease=row.id, source=key, index=row.number, expires_at=row.expires_at, seconds=round(left, 1), skipped=skipped
    )

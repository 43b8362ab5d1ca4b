"""Routes over what is said of features."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from sqlalchemy import Connection

from mfn_server.access.person import Permission, Person, require
from mfn_server.campaigns.blind import hidden_from
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.routes import FeatureIndex, SourceKey
from mfn_server.labels.commands import record
from mfn_server.labels.payloads import Payload
from mfn_server.labels.people import people_of
from mfn_server.labels.reading import discussion, feature_history, parse_version, person_history
from mfn_server.labels.schemas import (
    Command,
    DecideBody,
    Discussion,
    EventView,
    History,
    PeopleList,
    PersonView,
    RedactBody,
    SayBody,
    StaleBody,
)
from mfn_server.studio import Studio, StudioDep

router = APIRouter(prefix="/api", tags=["labels"], responses=ERROR_RESPONSES)

Reader = Annotated[Person, Depends(require(Permission.READ))]
Labeller = Annotated[Person, Depends(require(Permission.LABEL))]
Reviewer = Annotated[Person, Depends(require(Permission.REVIEW))]
Admin = Annotated[Person, Depends(require(Permission.ADMINISTER))]
IfMatch = Annotated[str | None, Header(max_length=100, description="The feature's version, as its `ETag` has it.")]
Before = Annotated[int | None, Query(ge=0, lt=2**63, description="Events before this one: `next_before` of a page.")]
Limit = Annotated[int, Query(ge=1, le=200)]
PersonId = Annotated[str, Path(max_length=200, description="The id of an event's author.")]

_RECORDED: dict[int | str, dict[str, Any]] = {
    200: {"model": EventView, "description": "Recorded before, by an earlier request with this id."},
    409: {"model": StaleBody, "description": "Stale: it rests on a state that is no longer so; or it cannot be."},
    428: {"description": "It changes what others see: the version that it rests on must be told."},
}


@router.get("/features/{source}/{index}/labels")
async def get_labels(
    studio: StudioDep,
    person: Reader,
    source: SourceKey,
    index: FeatureIndex,
    response: Response,
    at: Annotated[int | None, Query(ge=0, lt=2**63, description="As it stood behind this event.")] = None,
) -> Discussion:
    """What stands of a feature: labels with votes and ratings, tags, comments, flags. `ETag` is its version."""
    served = await studio.served()

    def read() -> Discussion:
        with studio.database.snapshot() as connection:
            return discussion(connection, served.model_id, source, index, at, person)

    found = await studio.read(read)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post("/features/{source}/{index}/events", status_code=201, responses=_RECORDED)
async def post_event(
    studio: StudioDep,
    person: Labeller,
    source: SourceKey,
    index: FeatureIndex,
    body: SayBody,
    response: Response,
    if_match: IfMatch = None,
) -> EventView:
    """Say something of a feature. Answered once it is safely stored; a repeat gives 200 and the first answer."""
    return await _record(studio, person, source, index, body, body.event, response, if_match)


@router.post("/features/{source}/{index}/decisions", status_code=201, responses=_RECORDED)
async def post_decision(
    studio: StudioDep,
    person: Reviewer,
    source: SourceKey,
    index: FeatureIndex,
    body: DecideBody,
    response: Response,
    if_match: IfMatch = None,
) -> EventView:
    """Accept a label, or decide between labels. Recorded as what is said is."""
    return await _record(studio, person, source, index, body, body.event, response, if_match)


@router.post("/features/{source}/{index}/redactions", status_code=201, responses=_RECORDED)
async def post_redaction(
    studio: StudioDep,
    person: Admin,
    source: SourceKey,
    index: FeatureIndex,
    body: RedactBody,
    response: Response,
    if_match: IfMatch = None,
) -> EventView:
    """Take out an event's words for good. The event itself stays in the history, marked."""
    return await _record(studio, person, source, index, body, body.event, response, if_match)


@router.get("/features/{source}/{index}/history")
async def get_feature_history(
    studio: StudioDep,
    person: Reader,
    source: SourceKey,
    index: FeatureIndex,
    before: Before = None,
    limit: Limit = 50,
) -> History:
    """Everything that was said of a feature, the latest first; also what was undone."""
    served = await studio.served()

    def read() -> History:
        with studio.database.snapshot() as connection:
            return feature_history(connection, served.model_id, source, index, before, limit, person)

    return await studio.read(read)


@router.get("/labels/people")
async def get_people(studio: StudioDep, person: Reader) -> PeopleList:
    """Who has said something of the model's features, by name."""
    served = await studio.served()

    def read() -> PeopleList:
        with studio.database.snapshot() as connection:
            names = people_of(connection, served.model_id, hidden_from(connection, person))
        items = [PersonView(id=each, name=name) for each, name in names.items()]
        return PeopleList(items=sorted(items, key=lambda each: (each.name.casefold(), each.id)))

    return await studio.read(read)


@router.get("/labels/people/{author}/history")
async def get_person_history(
    studio: StudioDep, person: Reader, author: PersonId, before: Before = None, limit: Limit = 50
) -> History:
    """What one person said, of all features, the latest first."""
    served = await studio.served()

    def read() -> History:
        with studio.database.snapshot() as connection:
            return person_history(connection, served.model_id, author, before, limit, person)

    return await studio.read(read)


async def _record(
    studio: Studio,
    person: Person,
    source: str,
    index: int,
    body: Command,
    event: Payload,
    response: Response,
    if_match: str | None,
) -> EventView:
    served = await studio.served()
    base_version = parse_version(if_match, body.base_version)

    def write(connection: Connection) -> tuple[EventView, bool]:
        return record(
            connection,
            served.model_id,
            source,
            index,
            person,
            event,
            identity=body.id,
            base_version=base_version,
            reason=body.reason,
        )

    recorded, new = await studio.write(write)
    studio.live.wake()
    if not new:
        response.status_code = 200
    response.headers["ETag"] = f'"{recorded.stream}"'
    return recorded

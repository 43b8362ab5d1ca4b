"""Routes over collections: named lists of features with notes."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from mfn_server.access.person import Permission, Person, require
from mfn_server.collecting import commands, reading
from mfn_server.collecting.schemas import (
    CollectionDeedBody,
    CollectionHistory,
    CollectionList,
    CollectionRedactBody,
    CollectionView,
    MakeBody,
    StaleCollectionBody,
)
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.routes import FeatureName
from mfn_server.labels.reading import parse_version
from mfn_server.labels.routes import Before, IfMatch, Limit
from mfn_server.studio import Served, Studio, StudioDep

router = APIRouter(prefix="/api/collections", tags=["collections"], responses=ERROR_RESPONSES)

Reader = Annotated[Person, Depends(require(Permission.READ))]
Labeller = Annotated[Person, Depends(require(Permission.LABEL))]
Admin = Annotated[Person, Depends(require(Permission.ADMINISTER))]
_REPEATED: dict[int | str, dict[str, Any]] = {200: {"description": "Done before, by an earlier request with this id."}}
_RECORDED = _REPEATED | {
    409: {
        "model": StaleCollectionBody,
        "description": "Stale: it rests on a state that is no longer so; or it cannot be.",
    },
    428: {"description": "It changes what others wrote: the version that it rests on must be told."},
}


@router.get("")
async def get_collections(
    studio: StudioDep,
    person: Reader,
    feature: Annotated[FeatureName | None, Query(description="Those alone that this feature is in.")] = None,
    deleted: Annotated[bool, Query(description="Those that were deleted, instead of the others.")] = False,
) -> CollectionList:
    """All collections, those that were changed last first."""
    served = await studio.served()
    key, _, index = (feature or "").rpartition(":")

    def read() -> CollectionList:
        with studio.database.snapshot() as connection:
            of = (key, int(index)) if feature is not None else None
            return reading.collection_list(connection, served.model_id, person, of, deleted=deleted)

    return await studio.read(read)


@router.post("", status_code=201, responses=_REPEATED)
async def post_collection(studio: StudioDep, person: Labeller, body: MakeBody, response: Response) -> CollectionView:
    """Make a collection, with features in it or without."""
    served = await studio.served()
    new = await studio.write(lambda connection: commands.make(connection, served.model_id, person, body))
    return await _done(studio, served, person, body.id, response, new=new)


@router.get("/{collection}")
async def get_collection(
    studio: StudioDep,
    person: Reader,
    collection: UUID,
    response: Response,
    at: Annotated[int | None, Query(ge=0, lt=2**63, description="As it stood behind this event.")] = None,
) -> CollectionView:
    """A collection with its features, in order, also one that was deleted. `ETag` is its version."""
    found = await _view(studio, await studio.served(), person, collection, at)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.post("/{collection}/events", status_code=201, responses=_RECORDED)
async def post_collection_event(
    studio: StudioDep,
    person: Labeller,
    collection: UUID,
    body: CollectionDeedBody,
    response: Response,
    if_match: IfMatch = None,
) -> CollectionView:
    """Add features, take some out, write notes, change their order or its name; delete it, or undo any of that.

    Answered once it is safely stored, with the collection as it stands then.
    """
    served = await studio.served()
    base_version = parse_version(if_match, body.base_version)
    new = await studio.write(
        lambda connection: commands.do(connection, served.model_id, collection, person, body, base_version)
    )
    return await _done(studio, served, person, collection, response, new=new)


@router.post("/{collection}/redactions", status_code=201, responses=_REPEATED)
async def post_collection_redaction(
    studio: StudioDep, person: Admin, collection: UUID, body: CollectionRedactBody, response: Response
) -> CollectionView:
    """Take out an event's words for good: name, description, notes. The event itself stays in the history, marked."""
    served = await studio.served()
    new = await studio.write(lambda connection: commands.redact(connection, served.model_id, collection, person, body))
    return await _done(studio, served, person, collection, response, new=new)


@router.get("/{collection}/history")
async def get_collection_history(
    studio: StudioDep, person: Reader, collection: UUID, before: Before = None, limit: Limit = 50
) -> CollectionHistory:
    """Everything that was done to a collection, the latest first; also what was undone."""
    served = await studio.served()

    def read() -> CollectionHistory:
        with studio.database.snapshot() as connection:
            return reading.collection_history(connection, served.model_id, collection, person, before, limit)

    return await studio.read(read)


async def _view(
    studio: Studio, served: Served, person: Person, collection: UUID, at: int | None = None
) -> CollectionView:
    def read() -> CollectionView:
        with studio.database.snapshot() as connection:
            return reading.collection_view(connection, served.model_id, collection, person, at)

    return await studio.read(read)


async def _done(
    studio: Studio, served: Served, person: Person, collection: UUID, response: Response, *, new: bool
) -> CollectionView:
    studio.live.wake()
    if not new:
        response.status_code = 200
    found = await _view(studio, served, person, collection)
    response.headers["ETag"] = f'"{found.version}"'
    return found

"""The routes of the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy import Connection

from mfn_server.access.person import CurrentPerson, Person
from mfn_server.campaigns.blind import Hidden, hidden_from
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.columns import ColumnsMissingError
from mfn_server.features.edition import Edition, is_known, read_edition
from mfn_server.studio import Served, Studio, StudioDep
from mfn_server.weights.map import MapChoice, MapColumns, as_lists, choose_map, map_columns
from mfn_server.weights.points import MEDIA_TYPE, as_bytes
from mfn_server.weights.schemas import FeatureMap, MapQuery

router = APIRouter(prefix="/api/map", tags=["features"], responses=ERROR_RESPONSES)

IfNoneMatch = Annotated[str | None, Header(description="The `ETag` of an answer that the client holds.")]
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "What the client holds is what would be sent."}}
_POINTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "description": "`MFNMAP1\\n`, the length of the head (uint32), the head (JSON: MapPointsHead), the columns. "
        "All of it is little-endian.",
    }
}


@router.get("", response_model=FeatureMap, responses=_UNCHANGED)
async def get_map(
    studio: StudioDep,
    person: CurrentPerson,
    request: Request,
    query: Annotated[MapQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All features of a model, or of a layer, as points in a plane: those that write alike lie together."""
    served = await studio.served()

    def write(choice: MapChoice, columns: MapColumns) -> Response:
        return Response(as_lists(choice, columns).model_dump_json(), media_type="application/json")

    return await studio.read(_answer, studio, served, person, request, query, if_none_match, write)


@router.get("/points", response_class=Response, responses={**_UNCHANGED, **_POINTS})
async def get_points(
    studio: StudioDep,
    person: CurrentPerson,
    request: Request,
    query: Annotated[MapQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The same as bytes, and who has named each of them: some 19 bytes a feature."""
    served = await studio.served()

    def write(choice: MapChoice, columns: MapColumns) -> Response:
        return Response(as_bytes(choice, columns), media_type=MEDIA_TYPE)

    return await studio.read(_answer, studio, served, person, request, query, if_none_match, write)


def _answer(
    studio: Studio,
    served: Served,
    person: Person,
    request: Request,
    query: MapQuery,
    if_none_match: str | None,
    write: Callable[[MapChoice, MapColumns], Response],
) -> Response:
    """The map in the present edition, or 304 where the client has it."""
    with studio.database.snapshot() as connection:
        edition = read_edition(connection, served.model_id, served.facts.fingerprint)
        choice = choose_map(connection, served.model_id, served.facts, query)
        hidden = hidden_from(connection, person)
        etag = edition.etag(f"{request.url.path}?{request.url.query} {choice.name} {hidden.name}")
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if is_known(etag, if_none_match):
            return Response(status_code=304, headers=headers)
        response = write(choice, map_columns(connection, choice, _catalogue(studio, connection, edition, hidden)))
    response.headers.update(headers)
    return response


def _catalogue(studio: Studio, connection: Connection, edition: Edition, hidden: Hidden) -> Catalogue | None:
    """What is shown of the model; None without an index, which a map does not need."""
    try:
        return studio.catalogues.of(connection, edition, hidden)
    except ColumnsMissingError:
        return None

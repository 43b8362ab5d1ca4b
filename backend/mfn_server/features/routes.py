"""Routes over features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import StringConstraints
from pydantic_core import to_json
from sqlalchemy import Connection

from mfn_server.access.person import CurrentPerson, Person
from mfn_server.campaigns.blind import Hidden, hidden_from
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.features.collected import version_of
from mfn_server.features.columns import ColumnsMissingError
from mfn_server.features.contexts import Fields
from mfn_server.features.edition import Edition, is_known, read_edition
from mfn_server.features.listing import list_page
from mfn_server.features.reading import feature_list, feature_page, feature_rows
from mfn_server.features.schemas import FeatureList, FeaturePage, FeatureQuery, FeatureRows
from mfn_server.features.scored import scores_version
from mfn_server.studio import Served, Studio, StudioDep

router = APIRouter(prefix="/api/features", tags=["features"], responses=ERROR_RESPONSES)

SourceKey = Annotated[str, Path(max_length=200, description="A source's key, as GET /api/model lists them.")]
FeatureIndex = Annotated[int, Path(ge=0, le=2**31 - 1, description="The feature's number in its source.")]
MOST_ROWS = 100
FeatureName = Annotated[str, StringConstraints(pattern=r"^[^:]{1,200}:\d{1,10}$")]
FeatureNames = Annotated[
    list[FeatureName],
    Query(alias="f", min_length=1, max_length=MOST_ROWS, description="SOURCE:INDEX, once for each feature."),
]
IfNoneMatch = Annotated[str | None, Header(description="The `ETag` of an answer that the client holds.")]

_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "What the client holds is what would be sent."}}


@router.get("", response_model=FeatureList, responses=_UNCHANGED)
async def get_features(
    studio: StudioDep,
    person: CurrentPerson,
    request: Request,
    query: Annotated[FeatureQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """List features: filtered, searched, ordered, page by page."""
    served = await studio.served()

    def read(connection: Connection, edition: Edition, hidden: Hidden) -> Fields:
        catalogue = studio.catalogues.of(connection, edition, hidden)
        page = list_page(connection, catalogue, query, served.tokens)
        paging = {"total": page.total, "start": page.start, "next_cursor": page.next_cursor}
        found = feature_list(connection, catalogue, page.rows, served.token_texts, **paging)
        for item, score in zip(found["items"], page.scores or (), strict=False):
            item["score"] = score
        return found

    def version(connection: Connection, hidden: Hidden) -> str:
        collected = version_of(connection, served.model_id, query.collection, hidden)
        return f"{collected} {scores_version(connection)}" if query.sort == "score" else str(collected)

    return await studio.read(_answer, studio, served, person, request, if_none_match, read, version)


@router.get("/rows", response_model=FeatureRows, responses=_UNCHANGED)
async def get_rows(
    studio: StudioDep,
    person: CurrentPerson,
    request: Request,
    features: FeatureNames,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Features that are known by source and number, as the list has them, in the order in which they are asked for."""
    served = await studio.served()
    wanted = [(key, int(index)) for key, _, index in (name.partition(":") for name in features)]

    def read(connection: Connection, edition: Edition, hidden: Hidden) -> Fields:
        catalogue = studio.catalogues.of(connection, edition, hidden)
        return feature_rows(connection, catalogue, served.model_id, wanted, served.token_texts)

    return await studio.read(_answer, studio, served, person, request, if_none_match, read)


@router.get("/{source}/{index}", response_model=FeaturePage, responses=_UNCHANGED)
async def get_feature(
    studio: StudioDep,
    person: CurrentPerson,
    request: Request,
    source: SourceKey,
    index: FeatureIndex,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Everything that is known of one feature."""
    served = await studio.served()

    def read(connection: Connection, edition: Edition, hidden: Hidden) -> Fields:
        catalogue = studio.catalogues.of(connection, edition, hidden)
        return feature_page(connection, catalogue, served.model_id, source, index, served.token_texts)

    return await studio.read(_answer, studio, served, person, request, if_none_match, read)


def _answer(
    studio: Studio,
    served: Served,
    person: Person,
    request: Request,
    if_none_match: str | None,
    read: Callable[[Connection, Edition, Hidden], Fields],
    version: Callable[[Connection, Hidden], str] = lambda _connection, _hidden: "0",
) -> Response:
    """What `read` finds in the present edition, or 304 where the client has it. Everything else waits for that.

    `version` stands for what else the answer rests on, of which the edition does not know.
    """
    with studio.database.snapshot() as connection:
        edition = read_edition(connection, served.model_id, served.facts.fingerprint)
        hidden = hidden_from(connection, person)
        etag = edition.etag(f"{request.url.path}?{request.url.query} {hidden.name} {version(connection, hidden)}")
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if is_known(etag, if_none_match):
            return Response(status_code=304, headers=headers)
        try:
            found = read(connection, edition, hidden)
        except ColumnsMissingError as error:
            raise APIError(
                503,
                "index_not_ready",
                str(error),
                hint="GET /api/health tells how far the index is",
                headers={"Retry-After": "5"},
            ) from None
    return Response(to_json(found, inf_nan_mode="null"), media_type="application/json", headers=headers)

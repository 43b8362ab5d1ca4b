"""Routes over features."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.concurrency import run_in_threadpool

from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.labelling import propose
from mfn_server.features.listing import list_features
from mfn_server.features.reading import feature_page, feature_rows
from mfn_server.features.schemas import FeatureList, FeaturePage, FeatureQuery, LabelEventView, ProposeLabel
from mfn_server.studio import Studio, StudioDep

router = APIRouter(prefix="/api/features", tags=["features"], responses=ERROR_RESPONSES)

SourceKey = Annotated[str, Path(max_length=200, description="A source's key, as GET /api/model lists them.")]
FeatureIndex = Annotated[int, Path(ge=0, le=2**31 - 1, description="The feature's number in its source.")]


@router.get("")
async def get_features(studio: StudioDep, query: Annotated[FeatureQuery, Query()]) -> FeatureList:
    """List features: filtered, searched, ordered, page by page."""
    facts = await studio.served()

    def read() -> FeatureList:
        with studio.database.snapshot() as connection:
            rows, total, cursor = list_features(connection, facts.model_id, query, facts.token_texts)
            items = feature_rows(connection, rows, facts.token_texts)
        return FeatureList(items=items, total=total, next_cursor=cursor)

    return await run_in_threadpool(read)


@router.get("/{source}/{index}")
async def get_feature(studio: StudioDep, source: SourceKey, index: FeatureIndex) -> FeaturePage:
    """Everything that is known of one feature."""
    facts = await studio.served()

    def read() -> FeaturePage:
        with studio.database.snapshot() as connection:
            return feature_page(connection, facts.model_id, source, index, facts.token_texts)

    return await run_in_threadpool(read)


@router.post("/{source}/{index}/labels", status_code=201, responses={200: {"model": LabelEventView}})
async def post_label(
    studio: StudioDep, source: SourceKey, index: FeatureIndex, body: ProposeLabel, response: Response
) -> LabelEventView:
    """Propose a label. Answered once it is safely stored; a repeat of the same `id` gives 200 and the first answer."""
    facts = await studio.served()
    event, new = await run_in_threadpool(_propose, studio, facts.model_id, source, index, body)
    response.status_code = 201 if new else 200
    return event


def _propose(studio: Studio, model_id: int, source: str, index: int, body: ProposeLabel) -> tuple[LabelEventView, bool]:
    with studio.database.write() as connection:
        return propose(connection, model_id, source, index, body)

"""The route of the map."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from mfn_server.errors import ERROR_RESPONSES
from mfn_server.studio import StudioDep
from mfn_server.weights.map import feature_map
from mfn_server.weights.schemas import FeatureMap, MapQuery

router = APIRouter(prefix="/api/map", tags=["features"], responses=ERROR_RESPONSES)


@router.get("")
async def get_map(studio: StudioDep, query: Annotated[MapQuery, Query()]) -> FeatureMap:
    """All features of a model as points in a plane: those that write alike lie together."""
    served = await studio.served()

    def read() -> FeatureMap:
        with studio.database.read() as connection:
            return feature_map(connection, served.model_id, served.facts, query)

    return await run_in_threadpool(read)

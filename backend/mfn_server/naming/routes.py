"""Routes over scores of labels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from mfn_server.access.person import Permission, Person, require
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.routes import FeatureIndex, SourceKey
from mfn_server.naming.score_reading import feature_scores
from mfn_server.naming.score_schemas import FeatureScores
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api", tags=["scores"], responses=ERROR_RESPONSES)

Reader = Annotated[Person, Depends(require(Permission.READ))]


@router.get("/features/{source}/{index}/scores")
async def get_scores(studio: StudioDep, person: Reader, source: SourceKey, index: FeatureIndex) -> FeatureScores:
    """What a feature's labels score: how well they tell, on held-out text, where it fires; how far they agree in it."""
    served = await studio.served()

    def read() -> FeatureScores:
        with studio.database.snapshot() as connection:
            return feature_scores(connection, served.model_id, source, index, person)

    return await studio.read(read)

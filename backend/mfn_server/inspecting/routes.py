"""Routes that run a text through the model."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter
from sqlalchemy import Row

from mfn_server.access.person import CurrentPerson, Person
from mfn_server.campaigns.blind import hidden_from
from mfn_server.db.tables import Source
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.columns import ColumnsMissingError
from mfn_server.features.reading import check_feature, source_named
from mfn_server.features.routes import FeatureIndex, SourceKey
from mfn_server.inspecting import describing
from mfn_server.inspecting.findings import TextFindings
from mfn_server.inspecting.inspection import batch_ids, inspect_text, inspect_tokens, try_feature
from mfn_server.inspecting.schemas import (
    MOST_ENTRIES,
    Activations,
    ActivationsRequest,
    InspectBatchRequest,
    Inspection,
    InspectionBatch,
    InspectRequest,
)
from mfn_server.studio import Served, Studio, StudioDep

router = APIRouter(prefix="/api", tags=["inspect"], responses=ERROR_RESPONSES)


@router.post("/inspect")
async def post_inspect(studio: StudioDep, person: CurrentPerson, body: InspectRequest) -> Inspection:
    """Which features fire on each token of a text, in every layer, and how well they say its residual."""
    served = await studio.served()
    found = await studio.worker.run(inspect_text, body.text, body.top)
    (answer,) = await _describe(studio, served, person, [found])
    return answer


@router.post("/inspect/batch")
async def post_inspect_batch(studio: StudioDep, person: CurrentPerson, body: InspectBatchRequest) -> InspectionBatch:
    """The same of several texts. Each answer is, digit for digit, the one that its text alone gets."""
    served = await studio.served()
    texts = await studio.worker.run(batch_ids, body.texts, body.top, MOST_ENTRIES)
    # A turn for each text: whoever else waits for the model, waits for one forward pass and not for the whole batch.
    found = [await studio.worker.run(inspect_tokens, ids, body.top) for ids in texts]
    return InspectionBatch(texts=await _describe(studio, served, person, found))


@router.post("/features/{source}/{index}/activations", tags=["features"])
async def post_activations(
    studio: StudioDep, source: SourceKey, index: FeatureIndex, body: ActivationsRequest
) -> Activations:
    """Try one feature: its value on each token of a text."""
    served = await studio.served()

    def find() -> Row[tuple[Source]]:
        with studio.database.read() as connection:
            row = source_named(connection, served.model_id, source)
            check_feature(row.key, row.n_features, index)
            return row

    layer = (await studio.read(find)).layer
    ids, values = await studio.worker.run(try_feature, body.text, layer, index)
    return Activations(tokens=describing.tokens(ids, served), values=[round(value, 4) for value in values])


async def _describe(studio: Studio, served: Served, person: Person, found: list[TextFindings]) -> list[Inspection]:
    def describe() -> list[Inspection]:
        with studio.database.snapshot() as connection:
            hidden = hidden_from(connection, person)
            catalogue: Catalogue | None = None
            with suppress(ColumnsMissingError):  # names are beside the point: what fires is known without an index
                fingerprint = served.facts.fingerprint
                catalogue = studio.catalogues.current(connection, served.model_id, fingerprint, hidden)
            return describing.describe(connection, catalogue, served, found, hidden)

    return await studio.read(describe)

"""Routes that run a text through the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter
from sqlalchemy import Connection, Row, select
from starlette.concurrency import run_in_threadpool

from mfn_server.db.tables import Feature, FeatureDetail, Label, Origin, Source
from mfn_server.db.varints import split_rows
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.reading import check_feature, source_named
from mfn_server.features.routes import FeatureIndex, SourceKey
from mfn_server.inspecting.schemas import (
    Activations,
    ActivationsRequest,
    FiringFeature,
    InspectedLayer,
    Inspection,
    InspectRequest,
)
from mfn_server.schemas import Token
from mfn_server.studio import Served, StudioDep

router = APIRouter(prefix="/api", tags=["inspect"], responses=ERROR_RESPONSES)

_TOP_TOKENS = 3
_AT_ONCE = 5_000  # features named in one statement; SQLite allows some 32,000 parameters


@router.post("/inspect")
async def post_inspect(studio: StudioDep, body: InspectRequest) -> Inspection:
    """Which features fire on each token of a text, in every layer."""
    from mfn_server.inspecting.inspection import inspect_text

    served = await studio.served()
    ids, findings = await studio.worker.run(inspect_text, body.text, body.top)

    def describe() -> Inspection:
        layers = []
        with studio.database.read() as connection:
            for source, found in zip(served.facts.sources, findings, strict=True):
                numbers = {number for firing in found.firing for number, _, _ in firing}
                names = _names(connection, served, source.key, numbers)
                positions = [
                    [_firing(number, value, share, names) for number, value, share in firing] for firing in found.firing
                ]
                layers.append(InspectedLayer(source=source.key, layer=source.layer, fvu=found.fvu, positions=positions))
        return Inspection(tokens=_tokens(ids, served), layers=layers)

    return await run_in_threadpool(describe)


@router.post("/features/{source}/{index}/activations", tags=["features"])
async def post_activations(
    studio: StudioDep, source: SourceKey, index: FeatureIndex, body: ActivationsRequest
) -> Activations:
    """Try one feature: its value on each token of a text."""
    from mfn_server.inspecting.inspection import try_feature

    served = await studio.served()

    def find() -> Row[tuple[Source]]:
        with studio.database.read() as connection:
            row = source_named(connection, served.model_id, source)
            check_feature(row, index)
            return row

    layer = (await run_in_threadpool(find)).layer
    ids, values = await studio.worker.run(try_feature, body.text, layer, index)
    return Activations(tokens=_tokens(ids, served), values=[round(value, 4) for value in values])


def _tokens(ids: Sequence[int], served: Served) -> list[Token]:
    return [Token(id=number, text=served.token_texts[number]) for number in ids]


class _Name(NamedTuple):
    """What a feature is called: its label, who wrote that, and the tokens it fires on most."""

    label: str | None
    label_origin: Origin | None
    top_tokens: list[str]


def _firing(number: int, value: float, share: float, names: dict[int, _Name]) -> FiringFeature:
    name = names[number]
    return FiringFeature(index=number, value=round(value, 4), share=round(share, 4), **name._asdict())


def _names(connection: Connection, served: Served, key: str, numbers: Iterable[int]) -> dict[int, _Name]:
    """What a source's features are called."""
    wanted = sorted(numbers)
    labels: dict[int, Row[Any]] = {}
    tokens: dict[int, list[str]] = {number: [] for number in wanted}
    for begin in range(0, len(wanted), _AT_ONCE):
        part = wanted[begin : begin + _AT_ONCE]
        labelled = (
            select(Label.number, Label.text, Label.origin)
            .join(Source, Source.id == Label.source_id)
            .where(Source.model_id == served.model_id, Source.key == key, Label.number.in_(part), Label.is_primary)
        )
        labels.update({row.number: row for row in connection.execute(labelled)})
        fired_on = (
            select(Feature.number, FeatureDetail.token_ids)
            .join(FeatureDetail, FeatureDetail.feature_id == Feature.id)
            .join(Source, (Source.id == Feature.source_id) & (Source.current_run_id == Feature.run_id))
            .where(Source.model_id == served.model_id, Source.key == key, Feature.number.in_(part))
        )
        rows = connection.execute(fired_on).all()
        for row, ids in zip(rows, split_rows([row.token_ids for row in rows]), strict=True):
            tokens[row.number] = [served.token_texts[number] for number in ids[:_TOP_TOKENS]]
    named = {number: (row.text, row.origin) for number, row in labels.items()}
    return {number: _Name(*named.get(number, (None, None)), tokens[number]) for number in wanted}

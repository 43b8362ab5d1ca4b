"""Routes that show dashboards from elsewhere. They only read."""

from __future__ import annotations

from bisect import bisect_left
from typing import Annotated

from fastapi import APIRouter, Path, Query

from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.exchange.neuronpedia.dashboards import DashboardError
from mfn_server.foreign.schemas import (
    ForeignFeature,
    ForeignPage,
    ForeignRow,
    ForeignSort,
    ForeignSourceInfo,
    ForeignSources,
)
from mfn_server.foreign.store import ForeignSource, ForeignStore, Summary
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api/foreign", tags=["foreign"], responses=ERROR_RESPONSES)

_Key = Annotated[str, Path(max_length=300)]
_Index = Annotated[int, Path(ge=0, lt=2**63)]
_Limit = Annotated[int, Query(ge=1, le=200)]
_Offset = Annotated[int, Query(ge=0, lt=2**63)]
_Words = Annotated[str, Query(max_length=100, description="Part of a token that it peaks on or promotes.")]


@router.get("")
def get_foreign(studio: StudioDep) -> ForeignSources:
    """The sets of features that came from elsewhere."""
    return ForeignSources(sources=[_info(source) for source in studio.foreign.sources.values()])


@router.get("/{source}/features")
def get_foreign_features(
    studio: StudioDep,
    source: _Key,
    q: _Words = "",
    sort: ForeignSort = "index",
    limit: _Limit = 50,
    offset: _Offset = 0,
) -> ForeignPage:
    """Features by number, or those that fire most often or most strongly first."""
    rows = list(_source(studio.foreign, source).features.values())
    if words := q.strip().casefold():
        rows = [row for row in rows if any(words in token.casefold() for token in (*row.peaks, *row.promoted))]
    if sort != "index":
        rows.sort(key=lambda row: (-(row.rate if sort == "rate" else row.maximum), row.index))
    following = offset + limit
    return ForeignPage(
        items=[_row(row) for row in rows[offset:following]],
        total=len(rows),
        next_offset=following if following < len(rows) else None,
    )


@router.get("/{source}/features/{index}")
def get_foreign_feature(studio: StudioDep, source: _Key, index: _Index) -> ForeignFeature:
    """One feature's dashboard."""
    found = _source(studio.foreign, source)
    summary = found.features.get(index)
    if summary is None:
        raise APIError(404, "unknown_feature", f"there is no dashboard of feature {index} in {source}", field="index")
    try:
        dashboard = studio.foreign.dashboard(summary)
    except DashboardError as error:
        raise APIError(500, "dashboards_changed", str(error), hint="start the server anew") from error
    numbers = list(found.features)
    place = bisect_left(numbers, index)
    return ForeignFeature(
        source=_info(found),
        index=index,
        previous=numbers[place - 1] if place else None,
        next=numbers[place + 1] if place + 1 < len(numbers) else None,
        dashboard=dashboard,
    )


def _source(store: ForeignStore, key: str) -> ForeignSource:
    found = store.sources.get(key)
    if found is None:
        raise APIError(404, "unknown_source", f"there are no dashboards of {key}", field="source")
    return found


def _info(source: ForeignSource) -> ForeignSourceInfo:
    return ForeignSourceInfo(
        key=source.key,
        model=source.model,
        layer=source.layer,
        set=source.set,
        suffix=source.suffix,
        dataset=source.dataset,
        n_features=len(source.features),
    )


def _row(row: Summary) -> ForeignRow:
    return ForeignRow(
        index=row.index, rate=row.rate, max=row.maximum, peaks=list(row.peaks), promoted=list(row.promoted)
    )

"""Bodies of the routes of foreign dashboards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mfn_server.exchange.neuronpedia.dashboards import DashboardFeature
from mfn_server.schemas import Schema

ForeignSort = Literal["index", "rate", "max"]


class ForeignSourceInfo(Schema):
    """A set of features whose dashboards came from elsewhere. `model` is called as its maker calls it."""

    key: str
    model: str
    layer: int
    set: str
    suffix: str | None
    dataset: str
    n_features: int = Field(description="Features with a dashboard; those that never fired as a rule have none.")


class ForeignSources(Schema):
    """All such sources that the server was started with."""

    sources: list[ForeignSourceInfo]


class ForeignRow(Schema):
    """A feature in a list."""

    index: int
    rate: float
    max: float = Field(description="The largest value in the contexts of its dashboard.")
    peaks: list[str] = Field(description="Tokens on which its strongest contexts peak.")
    promoted: list[str] = Field(description="Tokens whose logits it raises most.")


class ForeignPage(Schema):
    """Part of a list. `next_offset` is null on the last."""

    items: list[ForeignRow]
    total: int
    next_offset: int | None


class ForeignFeature(Schema):
    """A feature's dashboard, field by field as its file has it, and its neighbours by number."""

    source: ForeignSourceInfo
    index: int
    previous: int | None
    next: int | None
    dashboard: DashboardFeature

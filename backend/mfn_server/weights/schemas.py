"""Bodies of the map's route."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mfn_server.schemas import Schema

Method = Literal["pca", "umap"]


class MapQuery(Schema):
    """Which map."""

    site: str | None = Field(
        default=None, max_length=100, description="Of the layers at this site; by default the first layer's."
    )
    method: Method | None = Field(default=None, description="By default `umap` where it was drawn, else `pca`.")


class MapSource(Schema):
    """A source on the map, and how many features it has in all."""

    source: str
    layer: int
    n_features: int


class FeatureMap(Schema):
    """Places of features as columns: entry i of each is of one feature.

    By PCA, coordinates are along the first two principal axes of all directions at length 1. By UMAP, they keep
    neighbourhoods; distances between groups and the axes mean nothing.
    """

    site: str
    sites: list[str] = Field(description="All sites that have a map.")
    method: Method
    methods: list[Method] = Field(description="Those by which this site's map was drawn.")
    seed: int = Field(description="Of UMAP.")
    umap_version: str | None
    explained: tuple[float, float] = Field(description="Shares of the variance along the two axes of PCA.")
    sources: list[MapSource]
    n_features: int = Field(description="How many features there are in all.")
    step: int = Field(
        description="1 where all are here. Above 100,000 features, those whose number is a multiple of `step`."
    )
    source: list[int] = Field(description="Which of `sources` each is of, from 0.")
    layer: list[int]
    index: list[int]
    x: list[float]
    y: list[float]
    rate: list[float | None] = Field(description="Share of tokens on which it fires; null without an index.")

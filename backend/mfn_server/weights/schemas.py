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
    layer: int | None = Field(
        default=None, ge=0, description="Of this layer alone, at the same places as on the map of all."
    )


class MapSource(Schema):
    """A source on the map, and how many features it has in all."""

    source: str
    layer: int
    n_features: int


class MapHead(Schema):
    """What is to be known of a map as a whole.

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
    n_features: int = Field(description="How many features these sources have in all.")
    n_shown: int = Field(
        description="How many of them are here. Above 100,000, those 100,000 whose hash is least: splitmix64, "
        "number by number, from the first 8 bytes (little-endian) of the SHA-256 of the source's key."
    )


class FeatureMap(MapHead):
    """Places of features as columns: entry i of each is of one feature."""

    source: list[int] = Field(description="Which of `sources` each is of, from 0.")
    layer: list[int]
    index: list[int]
    x: list[float]
    y: list[float]
    rate: list[float | None] = Field(description="Share of tokens on which it fires; null without an index.")


class MapColumn(Schema):
    """Where a column begins, in bytes after the head, and the type of its entries, in NumPy's words (`<f4`, `|u1`)."""

    name: str
    type: str
    offset: int


class MapPointsHead(MapHead):
    """The head of a map as bytes; each column has `n_shown` entries.

    `source`, `index`, `x`, `y` and `rate` (NaN without an index) are as in JSON. `origin`: 0 without a label, 1 a
    person's, 2 a program's. `status`: 0 alive, 1 ultra-rare, 2 undetermined, 3 dead, 4 without an index.
    """

    columns: list[MapColumn]

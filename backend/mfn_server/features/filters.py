"""Which features the filters of a list leave, without regard to what is searched for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from mfn_server.features.catalogue import Catalogue
from mfn_server.features.names import ORIGINS
from mfn_server.features.schemas import FeatureQuery
from mfn_server.features.searching import labelled_rows, on_tokens, rows_by_author, with_tag
from mfn_server.features.status import STATUSES
from mfn_server.features.token_texts import TokenTexts

_STANDINGS = ("dead", "ultra_rare", "undetermined")


def passing(connection: Connection, catalogue: Catalogue, query: FeatureQuery, tokens: TokenTexts) -> NDArray[np.bool_]:
    """Which rows pass all filters of a query: bool [n]."""
    columns = catalogue.columns
    passes = np.ones(columns.n, np.bool_)
    for place in columns.places:
        of_layer = query.layer is None or place.source.layer == query.layer
        if not of_layer or query.source not in (None, place.source.key):
            passes[place.begin : place.end] = False
    _by_status(catalogue, query, passes)
    for low, high, values in (
        (query.min_rate, query.max_rate, columns.rate),
        (query.min_max, query.max_max, columns.max),
        (query.min_token_r2, query.max_token_r2, columns.token_r2),
        (query.min_half_firings, None, columns.half_firings),
    ):
        # as float64, so that a float32 is compared with the number that was given and not with the nearest float32;
        # NaN and -1, which mean that a figure is not known, pass neither bound
        if low is not None:
            passes &= values >= np.asarray(low, np.float64 if values.dtype.kind == "f" else np.int64)
        if high is not None:
            passes &= values <= np.float64(high)
    if query.origin is not None:
        passes &= catalogue.names.origin == ORIGINS.index(query.origin)
    if query.token is not None:
        ids = tokens.exactly(query.token)
        passes &= on_tokens(connection, columns, ids) > 0 if ids else False
    if query.tag is not None:
        passes &= with_tag(connection, columns, query.tag)
    if query.label is not None:
        passes &= _mask(labelled_rows(connection, catalogue, query.label, shown_alone=True), columns.n)
    if query.author is not None:
        passes &= _mask(rows_by_author(connection, catalogue, query.author), columns.n)
    return passes


def _by_status(catalogue: Catalogue, query: FeatureQuery, passes: NDArray[np.bool_]) -> None:
    columns, names = catalogue.columns, catalogue.names
    if query.status in ("alive", "unlabelled"):
        passes &= columns.firing_count > 0
    if query.status in _STANDINGS:
        passes &= columns.status == STATUSES.index(query.status)
    if query.status == "labelled":
        passes &= names.origin > 0
    if query.status == "unlabelled":
        passes &= names.origin == 0


def _mask(rows: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    mask = np.zeros(n, np.bool_)
    mask[rows] = True
    return mask

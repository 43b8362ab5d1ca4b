"""Which features a campaign is about: those that a list has, or some that were named; and how important each is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from mfn_server.campaigns.events import Item
from mfn_server.campaigns.schemas import FilterChoice, ListChoice
from mfn_server.errors import APIError
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.listing import list_rows
from mfn_server.features.reading import check_feature, source_named
from mfn_server.features.token_texts import TokenTexts

UNKNOWN_IMPORTANCE = 0.5
"""Of a feature without an index."""


def choose(
    connection: Connection,
    model_id: int,
    catalogue: Catalogue | None,
    choice: FilterChoice | ListChoice,
    tokens: TokenTexts,
) -> list[Item]:
    """The features that are meant, each once.

    Args:
        connection: in a snapshot.
        model_id: whose features.
        catalogue: what whoever asks sees of them; None without an index.
        choice: which.
        tokens: for searches.

    Raises:
        APIError: 404, no such feature; 422, none at all; 503, a list without an index.
    """
    if isinstance(choice, FilterChoice):
        if catalogue is None:
            raise APIError(503, "index_not_ready", "this model has no index yet", headers={"Retry-After": "5"})
        rows = list_rows(connection, catalogue, choice.query, tokens)[: choice.most].astype(np.int64)
        if not rows.size:
            message = "features: the list is empty"
            raise APIError(422, "no_features", message, hint="choose other filters", field="features")
        places = [catalogue.columns.locate(int(row)) for row in rows]
        names = [(place.source.key, index) for place, index in places]
        return _items(names, rows, catalogue)
    wanted = list(dict.fromkeys((feature.source, feature.index) for feature in choice.features))
    sizes = {key: source_named(connection, model_id, key).n_features for key, _ in wanted}
    for key, index in wanted:
        check_feature(key, sizes[key], index)
    places_of = {} if catalogue is None else {place.source.key: place for place in catalogue.columns.places}
    numbers = [places_of[key].begin + index if key in places_of else -1 for key, index in wanted]
    return _items(wanted, np.array(numbers, np.int64), catalogue)


def _items(names: list[tuple[str, int]], rows: NDArray[np.int64], catalogue: Catalogue | None) -> list[Item]:
    worth = np.full(len(rows), UNKNOWN_IMPORTANCE)
    known = rows >= 0
    if catalogue is not None and known.any():
        worth[known] = importance(catalogue, rows[known])
    return [
        Item(source=key, index=index, importance=round(float(value), 4))
        for (key, index), value in zip(names, worth, strict=True)
    ]


def importance(catalogue: Catalogue, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rank of each row among those given by its activity in all (rate times mean), from 0 to 1: float64 [n]."""
    columns = catalogue.columns
    activity = columns.rate[rows] * np.nan_to_num(columns.mean[rows].astype(np.float64))
    if len(rows) == 1:
        return np.ones(1)
    return np.argsort(np.argsort(activity, kind="stable"), kind="stable") / (len(rows) - 1)

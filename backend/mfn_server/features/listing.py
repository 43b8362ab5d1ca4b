"""The feature list: which rows a query means, in which order, and which of them are on the page."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from mfn_server.features.catalogue import Catalogue
from mfn_server.features.collected import members_of
from mfn_server.features.cursor import SortKey, after, decode_cursor, encode_cursor, values_of
from mfn_server.features.filters import passing
from mfn_server.features.schemas import FeatureQuery
from mfn_server.features.scored import score_values, scores_version
from mfn_server.features.searching import scores_of
from mfn_server.features.token_texts import TokenTexts

_ASCENDING = ("index", "label", "token_r2")
"""Orders that begin at the low end unless told otherwise."""

NEAREST = 1_000
"""How many features a search by meaning gives: everything is somewhat near."""

Scores = NDArray[np.int16] | NDArray[np.float32]
_PAGING = ("cursor", "at", "limit")


class Page(NamedTuple):
    """A page of a list.

    Attributes:
        rows: of the catalogue, in order.
        start: rank of the first of them in the list, from 0.
        total: rows of the whole list.
        next_cursor: where the next page begins, None after the last.
        scores: what their labels score, in a list by that; NaN where they have none.
    """

    rows: list[int]
    start: int
    total: int
    next_cursor: str | None
    scores: list[float] | None = None


def list_page(connection: Connection, catalogue: Catalogue, query: FeatureQuery, tokens: TokenTexts) -> Page:
    """The page that a query asks for. Raises APIError for a cursor of another list."""
    rows, name, keys = _listed(connection, catalogue, query, tokens)
    start = min(query.at, len(rows)) if query.at is not None else 0
    if query.cursor:
        start = after(keys, decode_cursor(query.cursor, name, keys), rows)
    shown = [int(row) for row in rows[start : start + query.limit]]
    more = start + len(shown) < len(rows)
    cursor = encode_cursor(name, values_of(keys, shown[-1])) if more and shown else None
    scores = [float(each) for each in _scored(connection, catalogue, query)[shown]] if query.sort == "score" else None
    return Page(shown, start, len(rows), cursor, scores)


def list_rows(
    connection: Connection, catalogue: Catalogue, query: FeatureQuery, tokens: TokenTexts
) -> NDArray[np.int32]:
    """All rows that a query means, in its order, whatever page it asks for: int32 [.]."""
    return _listed(connection, catalogue, query, tokens)[0]


def _listed(
    connection: Connection, catalogue: Catalogue, query: FeatureQuery, tokens: TokenTexts
) -> tuple[NDArray[np.int32], str, list[SortKey]]:
    """The rows of a list, the name of its order, and the terms of that."""
    members = None if query.collection is None else members_of(connection, catalogue, query.collection)
    searched = query.q is not None and query.q.strip() != ""
    sort = query.sort or ("relevance" if searched else "rate")
    if sort == "relevance" and not searched:
        sort = "rate"
    descending = (query.order or ("asc" if sort in _ASCENDING else "desc")) == "desc"
    scores = (_near if query.by == "meaning" else _scores)(connection, catalogue, query, tokens) if searched else None
    named = _scored(connection, catalogue, query) if sort == "score" else None
    keys = _keys(catalogue, sort, descending, scores, named)
    name = f"{query.scorer if sort == 'score' else sort}-{'desc' if descending else 'asc'}"
    if searched and scores is None:
        return np.zeros(0, np.int32), name, keys

    def make() -> NDArray[np.int32]:
        passes = passing(connection, catalogue, query, tokens)
        if members is not None:
            passes &= members.mask(catalogue.columns.n)
        if scores is not None:
            passes &= scores > 0
            if query.by == "meaning":
                passes = _foremost(passes, scores)
        if named is not None:  # unknown ones come last, either way
            rows = np.flatnonzero(passes)
            return rows[np.argsort(-named[rows] if descending else named[rows], kind="stable")].astype(np.int32)
        return _in_order(catalogue, passes, sort, descending, scores)

    asked = query.model_dump(exclude=set(_PAGING) | {"sort", "order"})
    version = (0 if members is None else members.version, 0 if named is None else scores_version(connection))
    return catalogue.kept.get(("list", name, version, tuple(asked.items())), make), name, keys


def _scores(
    connection: Connection, catalogue: Catalogue, query: FeatureQuery, tokens: TokenTexts
) -> NDArray[np.int16] | None:
    """What the query's words mean for each row; None where they cannot mean anything."""
    assert query.q is not None
    words = query.q

    def make() -> NDArray[np.int16]:
        scores = scores_of(connection, catalogue, words, tokens)
        return np.zeros(0, np.int16) if scores is None else scores

    kept = catalogue.kept.get(("scores", words), make)
    return kept if len(kept) == catalogue.columns.n and len(kept) else None


def _scored(connection: Connection, catalogue: Catalogue, query: FeatureQuery) -> NDArray[np.float32]:
    """What the label of each row scores."""
    key = ("scored", query.scorer, scores_version(connection))
    return catalogue.kept.get(key, lambda: score_values(connection, catalogue, query.scorer))


def _near(connection: Connection, catalogue: Catalogue, query: FeatureQuery, tokens: TokenTexts) -> NDArray[np.float32]:
    """How near each row is to what the query means."""
    assert query.q is not None
    sources, columns, words = catalogue.edition.sources, catalogue.columns, query.q
    return catalogue.kept.get(
        ("near", words),
        lambda: catalogue.meanings.scores_of(connection, sources, columns, catalogue.names, words),
    )


def _foremost(passes: NDArray[np.bool_], scores: Scores) -> NDArray[np.bool_]:
    """Of the rows that pass, those with the highest scores; all that are as near as the last of them."""
    rows = np.flatnonzero(passes)
    if len(rows) <= NEAREST:
        return passes
    least = np.partition(scores[rows], len(rows) - NEAREST)[len(rows) - NEAREST]
    foremost: NDArray[np.bool_] = passes & (scores >= least)
    return foremost


def _in_order(
    catalogue: Catalogue, passes: NDArray[np.bool_], sort: str, descending: bool, scores: Scores | None
) -> NDArray[np.int32]:
    """The rows that pass, in order."""
    if sort != "relevance":
        return catalogue.chosen(passes, sort, descending)
    assert scores is not None
    rows = catalogue.chosen(passes, "rate", True)
    relevance = scores[rows]
    return rows[np.argsort(-relevance if descending else relevance, kind="stable")]


def _keys(
    catalogue: Catalogue, sort: str, descending: bool, scores: Scores | None, named: NDArray[np.float32] | None
) -> list[SortKey]:
    """The terms of an order. Ties are broken by layer, source and number, which survive re-indexing."""
    columns, names = catalogue.columns, catalogue.names
    ties = [
        SortKey(lambda row: columns.locate(row)[0].source.layer, False, int),
        SortKey(lambda row: columns.locate(row)[0].source.id, False, int),
        SortKey(lambda row: columns.locate(row)[1], False, int),
    ]
    if sort == "relevance":
        kind = float if scores is not None and scores.dtype.kind == "f" else int
        relevance = SortKey(lambda row: 0 if scores is None else kind(scores[row]), descending, kind)
        return [relevance, SortKey(lambda row: float(columns.rate[row]), True, float), *ties]
    if sort == "label":  # those without a label come last, either way
        missing = SortKey(lambda row: int(names.place[row] < 0), False, int)

        def text(row: int) -> str:
            return names.texts[names.place[row]] if names.place[row] >= 0 else ""

        return [missing, SortKey(text, descending, str), *ties]
    if sort in ("token_r2", "score"):  # so do those where it is not known
        known = columns.token_r2 if named is None else named
        unknown = SortKey(lambda row: int(np.isnan(known[row])), False, int)
        return [unknown, SortKey(lambda row: float(np.nan_to_num(known[row])), descending, float), *ties]
    if sort == "telling":
        turn = names.turn
        by_whom = SortKey(lambda row: int(turn[row]), False, int)
        return [by_whom, SortKey(lambda row: float(columns.telling[row]), descending, float), *ties]
    if sort == "index":
        return [SortKey(lambda row: columns.locate(row)[1], descending, int), *ties[:2]]
    values: NDArray[np.floating] = getattr(columns, sort)
    return [SortKey(lambda row: float(values[row]), descending, float), *ties]

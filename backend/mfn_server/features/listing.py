"""The feature list: filters, search, order and pages, as one SQL query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, SQLColumnExpression, case, func, select

from mfn_server.db.given import numbers_as_rows
from mfn_server.db.postings import features_in_windows, features_on_tokens
from mfn_server.db.search import found
from mfn_server.db.tables import Feature, IndexRun, Label, Origin, Source
from mfn_server.features.cursor import SortKey, after, decode_cursor, encode_cursor
from mfn_server.features.schemas import FeatureQuery
from mfn_server.features.status import feature_status

AnySelect = Select[*tuple[Any, ...]]

# Relevance of a match: a label says what a feature is, a token shows it, a context only mentions the word.
_LABEL_WEIGHT, _TOKEN_WEIGHT = 100_000, 1_000
_MOST_TOKENS = 2_000

_ASCENDING = ("index", "label", "token_r2")
"""Orders that begin at the low end unless told otherwise."""


def current_features(model_id: int) -> AnySelect:
    """Features of the runs that are current, with source, status and label. The start of every query over features."""
    return (
        select(
            Feature,
            Source.key,
            Source.layer,
            IndexRun.n_tokens,
            IndexRun.first_window_id,
            feature_status.label("status"),
            Label.text.label("label"),
            Label.origin.label("label_origin"),
        )
        .join(Source, (Source.id == Feature.source_id) & (Source.current_run_id == Feature.run_id))
        .join(IndexRun, IndexRun.id == Source.current_run_id)
        .outerjoin(
            Label,
            (Label.source_id == Feature.source_id) & (Label.number == Feature.number) & Label.is_primary,
        )
        .where(Source.model_id == model_id)
    )


def list_features(
    connection: Connection, model_id: int, query: FeatureQuery, token_texts: Sequence[str]
) -> tuple[Sequence[Row[Any]], int, str | None]:
    """One page of rows (those of `current_features`), how many match over all pages, and the next page's cursor."""
    statement = _filtered(current_features(model_id), query)
    relevance: SQLColumnExpression[int] | None = None
    if query.q and query.q.strip():
        hits = _hits(connection, model_id, query.q, token_texts)
        if hits is None:
            return [], 0, None
        statement = statement.join(hits, hits.c.feature_id == Feature.id)
        relevance = hits.c.score
    total = connection.scalar(select(func.count()).select_from(statement.with_only_columns(Feature.id).subquery())) or 0
    name, keys = _order(query, relevance)
    if query.cursor:
        statement = statement.where(after(keys, decode_cursor(query.cursor, name, keys)))
    page = statement.add_columns(*(key.expression.label(f"key{i}") for i, key in enumerate(keys)))
    rows = connection.execute(page.order_by(*(key.ordering for key in keys)).limit(query.limit + 1)).all()
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    cursor = encode_cursor(name, list(rows[-1][-len(keys) :])) if more else None
    return rows, total, cursor


def _filtered(statement: AnySelect, query: FeatureQuery) -> AnySelect:
    if query.source is not None:
        statement = statement.where(Source.key == query.source)
    if query.layer is not None:
        statement = statement.where(Source.layer == query.layer)
    if query.status in ("alive", "unlabelled"):
        statement = statement.where(Feature.firing_count > 0)
    if query.status == "dead":
        statement = statement.where(Feature.firing_count == 0)
    if query.status in ("ultra_rare", "undetermined"):
        statement = statement.where(feature_status == query.status)
    if query.status == "labelled":
        statement = statement.where(Label.id.is_not(None))
    if query.status == "unlabelled":
        statement = statement.where(Label.id.is_(None))
    if query.min_rate is not None:
        statement = statement.where(Feature.rate >= query.min_rate)
    if query.max_rate is not None:
        statement = statement.where(Feature.rate <= query.max_rate)
    if query.min_token_r2 is not None:
        statement = statement.where(Feature.token_r2 >= query.min_token_r2)
    if query.max_token_r2 is not None:
        statement = statement.where(Feature.token_r2 <= query.max_token_r2)
    if query.min_half_firings is not None:
        statement = statement.where(Feature.half_firings >= query.min_half_firings)
    return statement


def _order(query: FeatureQuery, relevance: SQLColumnExpression[int] | None) -> tuple[str, list[SortKey]]:
    """The order's name and its keys. Ties are broken by layer, source and number, which survive re-indexing."""
    sort = query.sort or ("rate" if relevance is None else "relevance")
    if sort == "relevance" and relevance is None:
        sort = "rate"
    descending = (query.order or ("asc" if sort in _ASCENDING else "desc")) == "desc"
    ties = [SortKey(Source.layer, False, int), SortKey(Source.id, False, int), SortKey(Feature.number, False, int)]
    if sort == "relevance":
        assert relevance is not None
        ties.insert(0, SortKey(Feature.rate, True, float))
        keys = [SortKey(relevance, descending, int)]
    elif sort == "label":  # those without a label come last, either way
        missing = case((Label.text.is_(None), 1), else_=0)
        keys = [SortKey(missing, False, int), SortKey(func.lower(func.coalesce(Label.text, "")), descending, str)]
    elif sort == "token_r2":  # so do those where it is not known
        missing = case((Feature.token_r2.is_(None), 1), else_=0)
        keys = [SortKey(missing, False, int), SortKey(func.coalesce(Feature.token_r2, 0.0), descending, float)]
    elif sort == "index":
        keys = [SortKey(Feature.number, descending, int)]
        ties.pop()
    else:
        columns: dict[str, SQLColumnExpression[float]] = {
            "max": Feature.maximum,
            "mean": Feature.mean,
            "rate": Feature.rate,
        }
        keys = [SortKey(columns[sort], descending, float)]
    return f"{sort}-{'desc' if descending else 'asc'}", keys + ties


def matching_tokens(query: str, token_texts: Sequence[str]) -> list[int]:
    """Token ids that a query means: the same text, or beginning with it; punctuation also within.

    Case and surrounding blanks do not count. At most some thousands, exact ones first.
    """
    wanted = query.strip().casefold()
    anywhere = not any(character.isalnum() for character in wanted)
    exact: list[int] = []
    partial: list[int] = []
    for number, text in enumerate(token_texts):
        token = text.strip().casefold()
        if token == wanted:
            exact.append(number)
        elif (len(wanted) > 2 and token.startswith(wanted)) or (anywhere and wanted in token):
            partial.append(number)
    return (exact + partial)[:_MOST_TOKENS]


def _hits(connection: Connection, model_id: int, query: str, token_texts: Sequence[str]) -> Any:
    """Feature ids with a whole-number score, by all three ways of matching; None when there is no way."""
    labels = found(connection.dialect.name, "label_search", query)
    contexts = found(connection.dialect.name, "window_search", query)
    tokens = matching_tokens(query, token_texts)
    if labels is None and contexts is None and not tokens:
        return None
    scores: dict[int, int] = {}
    shown = select(Source.current_run_id).where(Source.model_id == model_id)
    for run in connection.execute(select(IndexRun).where(IndexRun.id.in_(shown))):
        score = np.zeros(run.n_features)
        if tokens:
            shares = features_on_tokens(connection, run.id, tokens, run.n_features)
            score += np.where(shares > 0, _TOKEN_WEIGHT * (1 + shares), 0)
        if contexts is not None:
            score += features_in_windows(connection, run.id, contexts, run.n_features)
        hit = np.flatnonzero(score)
        scores.update(zip((hit + run.first_feature_id).tolist(), score[hit].astype(int).tolist(), strict=True))
    if labels is not None:
        labelled = (
            select(Feature.id)
            .join(Source, (Source.id == Feature.source_id) & (Source.current_run_id == Feature.run_id))
            .join(Label, (Label.source_id == Feature.source_id) & (Label.number == Feature.number))
            .where(Source.model_id == model_id, Label.id.in_(labels))
            # what a program wrote counts only as long as no person has written something else
            .where(Label.is_primary | (Label.origin == Origin.HUMAN))
        )
        for feature_id in connection.scalars(labelled):
            scores[feature_id] = scores.get(feature_id, 0) + _LABEL_WEIGHT
    return numbers_as_rows(connection.dialect.name, {"feature_id": list(scores), "score": list(scores.values())})

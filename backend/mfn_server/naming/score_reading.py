"""What is shown of scores: of the words that stand, the last time by scorer and reader; and how far labels agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from mfn_core.naming.measures import kappa
from mfn_server.access.roles import Person
from mfn_server.campaigns.blind import hidden_from
from mfn_server.features.reading import check_feature, source_named
from mfn_server.labels.fold import fold
from mfn_server.labels.log import events_of
from mfn_server.naming.score_schemas import (
    BehaviouralAgreement,
    FeatureScores,
    KappaView,
    LabelScores,
    ScoredLabel,
    ScoreList,
    ScoreView,
)
from mfn_server.naming.score_store import last_scores, scores_of_features
from mfn_server.naming.scorers import CHANCE, SCORERS, Scorer


def feature_scores(connection: Connection, model_id: int, key: str, index: int, person: Person) -> FeatureScores:
    """Scores of a feature's labels; none at all where something is hidden of it from whoever asks, since a score is
    what a program says of the feature. Raises APIError (404)."""
    source = source_named(connection, model_id, key)
    check_feature(source.key, source.n_features, index)
    place = (source.id, index)
    if place in hidden_from(connection, person, [place]).places:
        return FeatureScores(source=key, index=index, labels=[], agreement=[])
    state = fold(events_of(connection, place))
    stand = {stream: label.revision for stream, label in state.labels.items() if label.text}
    of: dict[int, list[Any]] = {stream: [] for stream in stand}
    for row in scores_of_features(connection, [place]):
        if stand.get(row.label) == row.revision:
            of[row.label].append(row)
    labels = [
        LabelScores(label=stream, revision=stand[stream], scores=_latest(rows)) for stream, rows in of.items() if rows
    ]
    return FeatureScores(source=key, index=index, labels=labels, agreement=_agreement(of))


def score_list(
    connection: Connection, model_id: int, person: Person, scorer: Scorer, *, descending: bool, at: int, limit: int
) -> ScoreList:
    """A page of labels by what they score, without features of which something is hidden from whoever asks."""
    hidden = hidden_from(connection, person).places
    rows = [
        row
        for row in last_scores(connection, model_id, scorer, descending=descending)
        if (row.source_id, row.number) not in hidden
    ]
    items = [
        ScoredLabel(
            source=row.key,
            layer=row.layer,
            index=row.number,
            label=row.label,
            text=row.text,
            origin=row.origin,
            score=score_view(row),
        )
        for row in rows[at : at + limit]
    ]
    return ScoreList(items=items, total=len(rows))


def _latest(rows: Sequence[Any]) -> list[ScoreView]:
    """Of rows of one label, the latest first: one by scorer and reader."""
    found: dict[tuple[int, str], ScoreView] = {}
    for row in rows:
        found.setdefault((SCORERS.index(row.scorer), row.reader), score_view(row))
    return [view for _, view in sorted(found.items(), key=lambda each: each[0])]


def score_view(row: Any) -> ScoreView:
    """One score, from a row of `scores_of_features`."""
    names = ("scorer", "version", "reader", "value", "low", "high", "n", "unread", "why", "shuffled", "random")
    corpus = str(row.told["corpus"])
    return ScoreView(
        **{name: getattr(row, name) for name in names},
        chance=CHANCE[row.scorer],
        precision=row.details.get("precision"),
        recall=row.details.get("recall"),
        corpus=corpus if corpus.startswith("hf:") else Path(corpus).name,
        documents=(row.data or {}).get("documents", 0),
        seed=row.told["seed"],
        cost=row.cost,
        seconds=row.seconds,
        created_at=row.created_at,
    )


def _agreement(of: Mapping[int, Sequence[Any]]) -> list[BehaviouralAgreement]:
    """Of every two labels that were asked the same questions of detection, by the same reader if there is one."""
    answered = {
        label: [row for row in rows if row.scorer == "detection" and row.value is not None]
        for label, rows in of.items()
    }
    found = []
    for one, other in combinations(sorted(answered), 2):
        pairs = [
            (a, b)
            for a in answered[one]
            for b in answered[other]
            if (a.questions, a.version) == (b.questions, b.version)
        ]
        if pairs:
            best = max(
                pairs, key=lambda pair: (pair[0].reader == pair[1].reader, min(each.created_at for each in pair))
            )
            found.append(between((one, other), *best))
    return found


def between(labels: tuple[int, int], a: Any, b: Any) -> BehaviouralAgreement:
    """How far two labels agree, from rows of detection that answer the same questions."""
    answers = [(x, y, so) for x, y, so in zip(a.details["told"], b.details["told"], a.details["true"], strict=True)]
    told = np.array([[x == "1", y == "1", so == "1"] for x, y, so in answers if "?" not in (x, y)], np.bool_)
    x, y, so = told.reshape(-1, 3).T
    return BehaviouralAgreement(
        labels=labels,
        readers=(a.reader, b.reader),
        n=len(so),
        between=_kappa(x, y),
        with_truth=(_kappa(x, so), _kappa(y, so)),
    )


def _kappa(one: Any, other: Any) -> KappaView:
    found = kappa(one, other) if len(one) else None
    if found is None:
        return KappaView(value=None, low=None, high=None)
    return KappaView(value=found.value, low=found.low, high=found.high)

"""Which features a query is about, and how much: by their labels, the tokens they fire on, and their contexts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, select

from mfn_server.db.browse_build import TermKind
from mfn_server.db.browse_store import levels_of
from mfn_server.db.postings import features_on_tokens
from mfn_server.db.search import found, may_be_unfinished, search_words
from mfn_server.db.tables import Label, Origin
from mfn_server.features.catalogue import Catalogue
from mfn_server.features.columns import Columns
from mfn_server.features.token_texts import TokenTexts

# Relevance of a match: a label says what a feature is, a token shows it (up to twice as much by its share of the
# firings), a context only mentions the word (1 point, or 2 where many do: see `browse_build`).
_LABEL, _TOKEN = 10_000, 1_000


def scores_of(connection: Connection, catalogue: Catalogue, query: str, tokens: TokenTexts) -> NDArray[np.int16] | None:
    """How relevant each feature is to a query: int16 [n], 0 where it has nothing to do with it.

    None when nothing can be found this way: no word in the query, and no token.
    """
    columns = catalogue.columns
    words, ids = search_words(query, query=True), tokens.matching(query)
    if not words and not ids:
        return None
    scores = np.zeros(columns.n, np.int16)
    if words:
        scores += _in_contexts(connection, columns, words, may_be_unfinished(words[-1]))
        scores[labelled_rows(connection, catalogue, query)] += _LABEL
    if ids:
        shares = on_tokens(connection, columns, ids)
        scores += np.where(shares > 0, _TOKEN * (1 + np.minimum(shares, 1)), 0).astype(np.int16)
    return scores


def _in_contexts(connection: Connection, columns: Columns, words: list[str], unfinished: bool) -> NDArray[np.uint8]:
    """How strongly all the words belong to each feature: the weakest of them counts. uint8 [n]."""
    least: NDArray[np.uint8] | None = None
    for place, word in enumerate(words):
        last = place == len(words) - 1
        levels = _spread(
            columns,
            lambda run_id, n, word=word, last=last: levels_of(
                connection, run_id, n, TermKind.WORD, word, unfinished=last and unfinished
            ),
        )
        least = levels if least is None else np.minimum(least, levels)
    assert least is not None
    return least


def on_tokens(connection: Connection, columns: Columns, ids: list[int]) -> NDArray[np.float32]:
    """Which share of its firings falls on some tokens, as far as each is among those it fires on most: float32 [n]."""
    out = np.zeros(columns.n, np.float32)
    for run_id, n in columns.runs.items():
        columns.spread(run_id, features_on_tokens(connection, run_id, ids, n), out)
    return out


def with_tag(connection: Connection, columns: Columns, tag: str) -> NDArray[np.bool_]:
    """Which features have a stored context in a document with a tag: bool [n]."""
    return _spread(columns, lambda run_id, n: levels_of(connection, run_id, n, TermKind.TAG, tag)) > 0


def labelled_rows(
    connection: Connection, catalogue: Catalogue, query: str, *, shown_alone: bool = False
) -> NDArray[np.int64]:
    """Rows of features with a label that holds every word of a query, the last one as the beginning of a word.

    What a program wrote counts only as long as no person has written something else. With `shown_alone` nothing counts
    but the label that lists show.
    """
    labels = found(connection.dialect.name, "label_search", query)
    if labels is None:
        return np.zeros(0, np.int64)
    counts = Label.is_primary if shown_alone else Label.is_primary | (Label.origin == Origin.HUMAN)
    return _rows(connection, catalogue, _places().where(Label.stream.in_(labels), counts))


def rows_by_author(connection: Connection, catalogue: Catalogue, author: str) -> NDArray[np.int64]:
    """Rows of features with a standing label by an author."""
    return _rows(connection, catalogue, _places().where(Label.author == author, Label.text != ""))


def _places() -> Select[*tuple[Any, ...]]:
    return select(Label.source_id, Label.number)


def _rows(connection: Connection, catalogue: Catalogue, statement: Select[*tuple[Any, ...]]) -> NDArray[np.int64]:
    """Features that labels are about; none of which something is hidden, since one's own may be worded by others."""
    places = np.array([tuple(row) for row in connection.execute(statement)], np.int64).reshape(-1, 2)
    rows = catalogue.columns.rows_of(places[:, 0], places[:, 1])
    return rows if not catalogue.hidden.places else rows[~np.isin(rows, catalogue.hidden_rows())]


def _spread(columns: Columns, levels: Any) -> NDArray[np.uint8]:
    out = np.zeros(columns.n, np.uint8)
    for run_id, n in columns.runs.items():
        columns.spread(run_id, levels(run_id, n), out)
    return out

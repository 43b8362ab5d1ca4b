"""Words to search for, and full-text search over labels, alike on SQLite (FTS5) and PostgreSQL (tsvector).

Text is cut into search words here, not by the database, so that both find the same, and so that a query is never
parsed: whatever a person types, a bare quotation mark too, becomes a list of words. Case and accents are dropped;
scripts written without spaces are cut into overlapping pairs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import islice
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    ColumnElement,
    Connection,
    Select,
    TableClause,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects import postgresql

SearchTable = Literal["label_search"]
SEARCH_TABLES: tuple[SearchTable, ...] = ("label_search",)

_CHUNK = 5000
_LONGEST = 64  # characters of a word that count; PostgreSQL's lexemes have a limit of 2 KB
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


def search_words(raw: str, *, query: bool = False) -> list[str]:
    """The words of a text as they are indexed, or with `query` as they are looked for.

    >>> search_words('Café "au lait"')
    ['cafe', 'au', 'lait']
    >>> search_words("東京都"), search_words("東京都", query=True)
    (['東京', '京都', '都'], ['東京', '京都'])
    """
    decomposed = unicodedata.normalize("NFKD", raw.casefold())
    plain = unicodedata.normalize("NFC", "".join(c for c in decomposed if not unicodedata.combining(c)))
    words: list[str] = []
    for word in _WORD.findall(plain):
        if _IS_UNSPACED.match(word):
            last = len(word) - 1 if query and len(word) > 1 else len(word)
            words += [word[i : i + 2] for i in range(last)]
        else:
            words.append(word[:_LONGEST])
    return words


def may_be_unfinished(word: str) -> bool:
    """Whether the last word of a query may stand for all that begin so: from three letters on, two where words are not
    set apart. What begins with a single letter is in every context.
    """
    return len(word) > 2 or _IS_UNSPACED.match(word) is not None


def create_search_tables(connection: Connection) -> None:
    """Make the search tables of the first migration; they are no part of SQLAlchemy's metadata.

    That of windows is gone since: contexts are searched by feature (see `term_sets`).
    """
    for name in ("window_search", "label_search"):
        if connection.dialect.name == "sqlite":
            # `ascii` splits at our spaces alone: every other character of a word counts as part of it
            connection.exec_driver_sql(
                f"CREATE VIRTUAL TABLE {name} USING fts5(words, detail=none, columnsize=0, "
                "tokenize=\"ascii tokenchars '_'\")"
            )
        else:
            connection.exec_driver_sql(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, words tsvector NOT NULL)")
            connection.exec_driver_sql(f"CREATE INDEX ix_{name}_words ON {name} USING gin (words)")


def _table(dialect: str, name: SearchTable) -> tuple[TableClause, ColumnClause[int]]:
    """The search table and its key, which FTS5 calls rowid."""
    key: ColumnClause[int] = column("rowid" if dialect == "sqlite" else "id", BigInteger)
    return table(name, key, column("words")), key


def add_to_search(connection: Connection, name: SearchTable, rows: Iterable[tuple[int, str]]) -> None:
    """Make texts findable under their ids."""
    on_sqlite = connection.dialect.name == "sqlite"
    searched, key = _table(connection.dialect.name, name)
    words: ColumnElement[Any] = bindparam(
        "search_words", type_=Text if on_sqlite else postgresql.ARRAY(postgresql.TEXT)
    )
    if not on_sqlite:
        words = func.array_to_tsvector(words)
    statement = insert(searched).values({key: bindparam("search_id"), searched.c.words: words})
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        found_words = ((number, search_words(raw)) for number, raw in chunk)
        connection.execute(
            statement,
            [
                {"search_id": number, "search_words": " ".join(words) if on_sqlite else sorted(set(words))}
                for number, words in found_words
            ],
        )


def remove_from_search(connection: Connection, name: SearchTable, first: int, last: int) -> None:
    """Forget the ids from `first` to `last`, both included."""
    searched, key = _table(connection.dialect.name, name)
    connection.execute(delete(searched).where(key.between(first, last)))


def found(dialect: str, name: SearchTable, query: str) -> Select[int] | None:
    """A select of the ids whose text holds every word of the query, the last one as a beginning of a word.

    None when the query has no word in it (punctuation alone): then nothing can be found this way.
    """
    words = search_words(query, query=True)
    if not words:
        return None
    searched, key = _table(dialect, name)
    # words hold letters, digits and underscores alone, so that the quotation marks cannot be closed from within
    if dialect == "sqlite":
        match = " ".join(f'"{word}"' for word in words) + "*"
        return select(key.label("id")).where(literal_column(name).op("MATCH")(match))
    match = " & ".join(f"'{word}'" for word in words) + ":*"
    return select(key.label("id")).where(searched.c.words.op("@@")(cast(match, postgresql.TSQUERY)))

"""Search words and full-text search: whatever is typed, the same is found on both databases, and nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mfn_server.db.search import add_to_search, found, remove_from_search, search_words
from mfn_server.db.session import Database

TEXTS = {
    1: 'She said "hello, world" at the café.',
    2: "東京都の夜",
    3: "don't stop the snow_plough",
    4: "HELLO again; worldwide",
    5: "การเดินทาง",
}


def find(database: Database, query: str) -> set[int] | None:
    statement = found(database.engine.dialect.name, "label_search", query)
    if statement is None:
        return None
    with database.read() as connection:
        return set(connection.scalars(statement))


@pytest.fixture
def filled(database: Database) -> Database:
    with database.write() as connection:
        add_to_search(connection, "label_search", TEXTS.items())
    return database


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("hello", {1, 4}),
        ("HELLO world", {1, 4}),
        ("world hello", {1}),
        ("cafe", {1}),
        ("CAFÉ", {1}),
        ("hel", {1, 4}),
        ("hel world", set()),  # only the last word may be unfinished
        ("京都", {2}),
        ("東京都", {2}),
        ("夜", {2}),
        ("京夜", set()),
        ("don't", {3}),
        ("snow_plough", {3}),
        ("เดิน", {5}),
        ("AND", set()),
        ("hello OR snow", set()),
        ("NEAR(hello world)", set()),
        ("words: hello", set()),
        ('"', None),
        ("*", None),
        ("   ", None),
        ("'; DROP TABLE label; --", set()),
    ],
)
def test_finds(filled: Database, query: str, expected: set[int] | None) -> None:
    assert find(filled, query) == expected


def test_what_was_removed_is_not_found(filled: Database) -> None:
    with filled.write() as connection:
        remove_from_search(connection, "label_search", 1, 3)
    assert find(filled, "hello") == {4}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40))
@example('"')
@example("\\")
@example("a'b\\")
@example(":*")
def test_no_query_raises(filled: Database, query: str) -> None:
    find(filled, query)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=30))
def test_every_text_finds_itself(filled: Database, raw: str) -> None:
    with filled.write() as connection:
        remove_from_search(connection, "label_search", 9, 9)
        add_to_search(connection, "label_search", [(9, raw)])
    result = find(filled, raw)
    assert result is None or 9 in result
    assert (result is None) == (search_words(raw) == [])

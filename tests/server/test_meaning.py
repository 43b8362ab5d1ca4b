"""Vectors of words and features against dense linear algebra in float64, and search by meaning through HTTP."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from mfn_core.indexing.types import CorpusIndex, LayerIndex
from mfn_server.db.browse_build import Terms
from mfn_server.db.context_rows import windows_of
from mfn_server.db.meaning import DIMENSIONS, WindowVectors, feature_vectors, fit_words, quantised
from mfn_server.db.session import Database
from mfn_server.db.tables import FeatureColumn, WordVector
from tests.server.saying import name_feature
from tests.server.test_context_rows import contexts_of

TOPICS = ("ship sail harbour wave captain", "flour egg oven sugar bake", "code return print loop array")


def windows(n: int, seed: int = 0) -> list[set[str]]:
    """Windows of one topic each, and a few words that are anywhere."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        topic = TOPICS[i % len(TOPICS)].split()
        found.append({*rng.choice(topic, 3), *rng.choice(["the", "and", "was", "then"], 2)})
    return found


def dense(terms: Terms) -> np.ndarray:
    """[windows, names] of 0 and 1, float64."""
    matrix = np.zeros((len(terms.offsets) - 1, len(terms.names)))
    for row, (begin, end) in enumerate(zip(terms.offsets[:-1], terms.offsets[1:], strict=True)):
        matrix[row, terms.ids[begin:end]] = 1
    return matrix


def reference(terms: Terms, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights, and the projector onto the first right singular vectors, by a full decomposition."""
    matrix = dense(terms)
    weight = np.log(len(matrix) / matrix.sum(0))
    rows = matrix * weight
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    right = np.linalg.svd(rows)[2][:rank].T
    return weight, right


def test_words_are_where_a_full_decomposition_puts_them() -> None:
    terms = Terms.of(windows(300))
    words = fit_words(terms)
    assert words is not None
    rank = len(terms.names) - 1
    weight, right = reference(terms, rank)
    unit = right / np.linalg.norm(right, axis=1, keepdims=True)
    expected = (unit @ unit.T) * np.outer(weight, weight)  # axes may be turned, angles and lengths may not
    ours = words.vectors[words.number].astype(np.float64)
    np.testing.assert_allclose(ours @ ours.T, expected, atol=1e-4)
    again = fit_words(terms)
    assert again is not None
    assert np.array_equal(again.vectors, words.vectors), "the same every time"


def test_words_of_a_topic_are_near_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfn_server.db.meaning.DIMENSIONS", 4)
    terms = Terms.of(windows(300))
    words = fit_words(terms)
    assert words is not None
    unit = {name: v / np.linalg.norm(v) for name, v in zip(terms.names, words.vectors[words.number], strict=True)}
    assert unit["ship"] @ unit["captain"] > 0.8
    assert unit["ship"] @ unit["flour"] < 0.3


def test_a_word_of_one_window_has_no_vector_and_nothing_comes_of_nothing() -> None:
    terms = Terms.of([*windows(30), {"once", "the"}])
    words = fit_words(terms)
    assert words is not None
    assert words.number[terms.names.index("once")] == -1
    assert fit_words(Terms.of([])) is None
    assert fit_words(Terms.of([{"a"}, {"b"}])) is None


def test_a_feature_is_the_sum_of_its_contexts() -> None:
    terms = Terms.of([*windows(60), {"once"}])
    words = fit_words(terms)
    assert words is not None
    rng = np.random.default_rng(1)
    feature = np.sort(rng.integers(0, 7, 40)).astype(np.int32)  # contexts of one may be cut by a block's end
    feature[feature == 3] = 4  # and one has none
    window, peak = rng.integers(0, 61, 40), rng.random(40).astype(np.float32) + 0.1
    maximum = np.full(8, 1.1, np.float32)
    contexts = contexts_of(feature, document=window, peak_value=peak)
    layer = SimpleNamespace(contexts=contexts, maximum=maximum, n_features=8)
    every = SimpleNamespace(contexts=contexts_of(np.zeros(61, np.int32), document=np.arange(61)))
    places = windows_of(cast(CorpusIndex, SimpleNamespace(layers=[every])))
    matrix = dense(terms)
    vectors = np.where(words.number[:, None] >= 0, words.vectors[words.number], 0).astype(np.float64)
    sums = np.zeros((8, DIMENSIONS))
    for j, w, p in zip(feature, window, peak, strict=True):
        total = matrix[w] @ vectors
        length = np.linalg.norm(total)
        sums[j] += total / length * p / maximum[j] if length else 0
    for kept in (1000, 0):
        found = feature_vectors(cast(LayerIndex, layer), places, WindowVectors(terms, words, kept))
        np.testing.assert_allclose(found, quantised(sums.astype(np.float32)), atol=1)
        assert not found[3].any()
        assert not found[7].any()


def test_a_direction_in_bytes_keeps_its_angles() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, DIMENSIONS)).astype(np.float32)
    bytes_ = quantised(vectors).astype(np.float64)
    cosines = (bytes_ * vectors).sum(1) / np.linalg.norm(bytes_, axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosines.min() > 0.999
    assert not quantised(np.zeros((1, DIMENSIONS), np.float32)).any()


def search(client: TestClient, words: str, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = client.get(
        "/api/features", params={"q": words, "by": "meaning", "limit": 200, **more}
    ).json()
    return body


def test_search_by_meaning_finds_by_labels_and_by_contexts(client: TestClient) -> None:
    rows = client.get("/api/features", params={"limit": 200}).json()["items"]
    found = search(client, "harbour ship")["items"]
    assert found
    first = client.get(f"/api/features/{found[0]['source']}/{found[0]['index']}").json()
    texts = ["".join(c["tokens"]) for c in first["contexts"]]
    assert any("harbour" in text or "ship" in text for text in texts)
    target = next(row for row in rows if row["index"] not in {item["index"] for item in found[:3]})
    for text in ("quiet night", "the harbour"):  # the later one is shown
        name_feature(client, f"/api/features/{target['source']}/{target['index']}", text)
    again = search(client, "ship harbour")
    assert again["items"][0]["label"] == "the harbour", "a label says more than contexts"
    paged: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while len(paged) < again["total"]:
        page = search(client, "ship harbour", **{**cursor, "limit": 7})
        paged += page["items"]
        cursor = {"cursor": page["next_cursor"]}
    assert paged == again["items"]
    assert {row["layer"] for row in search(client, "harbour", layer=1)["items"]} == {1}


def test_words_that_the_corpus_does_not_have_mean_nothing(client: TestClient) -> None:
    assert search(client, "zzzz !?")["items"] == []
    assert search(client, '"')["items"] == []


def test_a_run_without_vectors_finds_nothing_by_meaning(
    indexed: Database, database_url: str, make_client: Callable[..., TestClient]
) -> None:
    with indexed.write() as connection:
        connection.execute(delete(WordVector))
        connection.execute(delete(FeatureColumn).where(FeatureColumn.name == "meaning"))
    client = make_client(database_url)
    assert search(client, "harbour")["total"] == 0
    assert client.get("/api/features").json()["total"] > 0

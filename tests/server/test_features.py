"""The feature list and the feature page, through HTTP, on both databases, against the index's own arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.testclient import TestClient

from mfn_core import MFNModel
from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.session import Database
from mfn_server.features.schemas import FeatureList, FeaturePage, FeatureRows
from mfn_server.features.token_texts import TokenTexts
from tests.server.saying import say

Store = Callable[[Database, CorpusIndex], int]
Maker = Callable[..., TestClient]


def all_pages(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        body = client.get("/api/features", params={**query, **({"cursor": cursor} if cursor else {})}).json()
        items += body["items"]
        cursor = body["next_cursor"]
        if cursor is None:
            assert len(items) == body["total"]
            return items


def label(client: TestClient, row: dict[str, Any], text: str, **more: Any) -> Any:
    return say(client, f"/api/features/{row['source']}/{row['index']}", text=text, **more)


def key(row: dict[str, Any]) -> tuple[str, int]:
    return row["source"], row["index"]


def test_the_list_shows_every_living_feature_once(client: TestClient, tiny_index: CorpusIndex) -> None:
    items = all_pages(client, limit=7)
    alive = sum(int((layer.firing_count > 0).sum()) for layer in tiny_index.layers)
    assert len({key(row) for row in items}) == len(items) == alive
    rates = [row["rate"] for row in items]
    assert rates == sorted(rates, reverse=True)
    everything = all_pages(client, limit=200, status="all")
    dead = all_pages(client, limit=200, status="dead")
    assert len(everything) == sum(layer.n_features for layer in tiny_index.layers)
    assert {key(row) for row in dead} == {key(row) for row in everything} - {key(row) for row in items}
    assert all(row["snippet"] is None and row["max"] == 0 for row in dead)


@pytest.mark.parametrize("sort", ["telling", "rate", "max", "mean", "token_r2", "index", "label"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_order_pages_without_gap_or_repeat(client: TestClient, sort: str, order: str) -> None:
    whole = all_pages(client, limit=200)
    for row, text in zip(whole[::9], ["pear", "Apple", "fig", "apple", "zoo"], strict=False):
        label(client, row, text)
    paged = all_pages(client, limit=5, sort=sort, order=order)
    assert [key(r) for r in paged] == [key(r) for r in all_pages(client, limit=200, sort=sort, order=order)]
    assert {key(r) for r in paged} == {key(r) for r in whole}
    if sort == "telling":
        assert [row["label"] is None for row in paged] == sorted(row["label"] is None for row in paged)
    elif sort == "label":
        texts = [row["label"] for row in paged]
        named = [text.lower() for text in texts if text]
        assert texts[len(named) :] == [None] * (len(texts) - len(named)), "those without a label come last"
        assert named == sorted(named, reverse=order == "desc")
    else:
        values = [row[sort] for row in paged if row[sort] is not None]
        assert values == sorted(values, reverse=order == "desc")


def test_filters_hold_together(client: TestClient, tiny_index: CorpusIndex) -> None:
    source = client.get("/api/model").json()["sources"][1]
    rows = all_pages(client, source=source["key"], min_rate=0.05, max_rate=0.3)
    rate = tiny_index.layers[1].firing_count / tiny_index.n_tokens
    assert {row["index"] for row in rows} == set(np.flatnonzero((rate >= 0.05) & (rate <= 0.3)).tolist())
    assert {key(row) for row in all_pages(client, layer=1)} == {
        key(row) for row in all_pages(client, source=source["key"])
    }
    assert all_pages(client, layer=7) == all_pages(client, source="none") == []


def test_token_r2_orders_and_filters(client: TestClient, tiny_index: CorpusIndex) -> None:
    r2, firings = tiny_index.layers[1].token_r2, tiny_index.layers[1].half_firings
    assert r2 is not None
    assert firings is not None
    wanted = (r2 <= 0.3) & (r2 >= -0.2) & (firings >= 2)
    rows = all_pages(client, layer=1, max_token_r2=0.3, min_token_r2=-0.2, min_half_firings=2, sort="token_r2")
    assert {row["index"] for row in rows} == set(np.flatnonzero(wanted).tolist())
    assert len(rows) > 2
    assert [row["token_r2"] for row in rows] == sorted(r2[wanted].tolist()), "the least first, unless told otherwise"
    assert [row["half_firings"] for row in rows] == firings[[row["index"] for row in rows]].tolist()
    page = client.get(f"/api/features/{rows[0]['source']}/{rows[0]['index']}").json()
    assert (page["token_r2"], page["half_firings"]) == (rows[0]["token_r2"], rows[0]["half_firings"])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_where_token_r2_is_not_known_comes_last(client: TestClient, tiny_index: CorpusIndex, order: str) -> None:
    rows = all_pages(client, status="all", sort="token_r2", order=order, limit=7)
    assert {key(row) for row in rows} == {key(row) for row in all_pages(client, status="all", limit=200)}
    known = [row["token_r2"] for row in rows if row["token_r2"] is not None]
    assert 0 < len(known) < len(rows)
    assert [row["token_r2"] for row in rows[len(known) :]] == [None] * (len(rows) - len(known))
    assert known == sorted(known, reverse=order == "desc")


def test_what_it_fires_together_with_and_before(client: TestClient, tiny_index: CorpusIndex) -> None:
    rows = all_pages(client, limit=200)
    named = label(client, rows[0], "a partner")
    assert named.status_code == 201
    partners = 0
    for row in rows[::5]:
        page = client.get(f"/api/features/{row['source']}/{row['index']}").json()
        layer, j = tiny_index.layers[row["layer"]], row["index"]
        assert layer.cofiring_ids is not None
        assert layer.cofiring_joint is not None
        assert layer.cofiring_lift is not None
        assert layer.next_token_share is not None
        listed = layer.cofiring_ids[j] >= 0
        assert [other["index"] for other in page["cofiring"]] == layer.cofiring_ids[j][listed].tolist()
        assert [other["joint"] for other in page["cofiring"]] == layer.cofiring_joint[j][listed].tolist()
        assert [o["lift"] for o in page["cofiring"]] == pytest.approx(layer.cofiring_lift[j][listed].tolist(), rel=1e-3)
        for other in page["cofiring"]:
            assert other["source"] == row["source"]
            assert other["top_tokens"]
            is_named = (other["source"], other["index"]) == key(rows[0])
            assert other["label"] == ("a partner" if is_named else None)
            partners += is_named
        share = layer.next_token_share[j]
        assert [t["share"] for t in page["next_tokens"]] == pytest.approx(share[share > 0].tolist(), abs=1e-4)
        assert page["sampled_tokens"] == tiny_index.n_tokens
        assert page["sampled_firings"] == page["firing_count"]
    assert partners, "the one with a label is somebody's partner"


def validated(schema: type[BaseModel], answer: Response) -> Any:
    """An answer as its schema has it, without what it leaves out."""
    return schema.model_validate_json(answer.text, strict=True).model_dump(mode="json", exclude_unset=True)


def test_answers_are_what_the_schemas_say(client: TestClient) -> None:
    """They are sent as they are put together, and not validated on the way."""
    rows = client.get("/api/features", params={"limit": 200}).json()["items"]
    assert len(rows) > 20
    label(client, rows[0], "a label")
    found = client.get("/api/features", params={"limit": 200})
    assert (
        FeatureList.model_validate_json(found.text, strict=True).model_dump(mode="json", exclude_unset=True)
        == found.json()
    )
    names = [f"{row['source']}:{row['index']}" for row in rows[:9]]
    named = client.get("/api/features/rows", params={"f": names})
    assert validated(FeatureRows, named) == named.json()
    for row in rows[::3]:
        page = client.get(f"/api/features/{row['source']}/{row['index']}")
        assert validated(FeaturePage, page) == page.json()
        assert bool(page.json()["labels"]) == (row is rows[0])


def test_a_page_says_what_was_counted_on_a_sample(
    database: Database, database_url: str, store_index: Store, make_client: Maker, tiny_index: CorpusIndex
) -> None:
    share = np.ones(tiny_index.layers[0].n_features, np.float32)
    share[2] = 0.0625
    layers = [dataclasses.replace(tiny_index.layers[0], counted_share=share), *tiny_index.layers[1:]]
    store_index(database, dataclasses.replace(tiny_index, layers=layers))
    client = make_client(database_url)
    source = next(row["source"] for row in all_pages(client) if row["layer"] == tiny_index.layers[0].layer)
    assert [client.get(f"/api/features/{source}/{j}").json()["counted_share"] for j in (1, 2)] == [1, 0.0625]


def test_an_index_without_a_sample_says_nothing_of_it(
    database: Database, database_url: str, store_index: Store, make_client: Maker, tiny_index: CorpusIndex
) -> None:
    names = ("cofiring_ids", "cofiring_lift", "cofiring_joint", "next_token_ids", "next_token_share", "sampled_firings")
    bare: dict[str, Any] = dict.fromkeys((*names, "sampled_tokens"))
    layers = [dataclasses.replace(layer, **bare) for layer in tiny_index.layers]
    store_index(database, dataclasses.replace(tiny_index, layers=layers))
    client = make_client(database_url)
    row = all_pages(client)[0]
    page = client.get(f"/api/features/{row['source']}/{row['index']}").json()
    names = ("cofiring", "next_tokens", "sampled_tokens", "sampled_firings")
    assert [page[name] for name in names] == [None] * 4


@pytest.mark.parametrize(
    ("n_tokens", "seldom", "often"),
    [
        (2_999_999, "undetermined", "alive"),
        (3_000_000, "ultra_rare", "alive"),
        (10_000_000, "ultra_rare", "alive"),
        (20_000_000, "ultra_rare", "ultra_rare"),
    ],
)
def test_ultra_rare_is_said_only_of_what_can_be_known(
    database: Database,
    database_url: str,
    store_index: Store,
    make_client: Maker,
    tiny_index: CorpusIndex,
    n_tokens: int,
    seldom: str,
    often: str,
) -> None:
    """Features with 0, 1, 2, 3, ... firings; `seldom` is one with 2 and `often` one with 10."""
    first = tiny_index.layers[0]
    counts = np.minimum(np.arange(first.n_features), 10)
    layers = [dataclasses.replace(first, firing_count=counts), *tiny_index.layers[1:]]
    store_index(database, dataclasses.replace(tiny_index, layers=layers, n_tokens=n_tokens))
    client = make_client(database_url)
    rows = {row["firing_count"]: row for row in all_pages(client, layer=0, status="all", limit=200)}
    assert [rows[count]["status"] for count in (0, 2, 10)] == ["dead", seldom, often]
    assert rows[3]["status"] == (
        "undetermined" if n_tokens < 3_000_000 else "alive" if n_tokens <= 3_000_000 else seldom
    )
    page = client.get(f"/api/features/{rows[2]['source']}/{rows[2]['index']}").json()
    assert page["status"] == seldom
    every = all_pages(client, layer=0, status="all", limit=200)
    for status in ("dead", "ultra_rare", "undetermined"):
        found = all_pages(client, layer=0, status=status, limit=3)
        assert {key(row) for row in found} == {key(row) for row in every if row["status"] == status}
    firing = {key(row) for row in every if row["firing_count"]}
    assert {key(row) for row in all_pages(client, layer=0)} == firing, "what is alive fires, however seldom"


def test_a_row_says_what_the_index_says(client: TestClient, tiny_index: CorpusIndex, tiny_model: MFNModel) -> None:
    row = all_pages(client, layer=0)[0]
    layer, j = tiny_index.layers[0], row["index"]
    assert row["firing_count"] == layer.firing_count[j]
    assert (row["max"], row["mean"]) == (layer.maximum[j], layer.mean[j])
    assert sum(row["sparkline"]) == layer.histogram[j].sum()
    assert len(row["sparkline"]) == 16
    assert [t["id"] for t in row["promoted"]] == layer.promoted_ids[j, :3].tolist()
    snippet = row["snippet"]
    assert snippet["values"][snippet["peak"]] == pytest.approx(row["max"], rel=1e-3)
    assert max(snippet["values"]) == snippet["values"][snippet["peak"]]
    assert "".join(snippet["tokens"]) in "".join(
        client.get(f"/api/features/{row['source']}/{j}").json()["contexts"][0]["tokens"]
    )


def test_the_page_shows_what_the_model_does(client: TestClient, tiny_index: CorpusIndex, tiny_model: MFNModel) -> None:
    """Contexts as shown, value by value, against a fresh forward pass over their documents."""
    for row in all_pages(client, limit=200)[::11]:
        page = client.get(f"/api/features/{row['source']}/{row['index']}").json()
        assert page["contexts"][0]["peak_value"] == pytest.approx(page["max"], abs=1e-4)
        assert [c["peak_value"] for c in page["contexts"]] == sorted(
            (c["peak_value"] for c in page["contexts"]), reverse=True
        )
        for context in page["contexts"] + [c for band in page["bands"] for c in band["contexts"]]:
            ids = tiny_index.documents[context["document"]].tolist()
            values = tiny_model.codes(ids)[row["layer"]].value_of(row["index"]).tolist()
            values[0] = 0.0  # the first position counts in nothing
            part = values[context["start"] : context["start"] + len(context["tokens"])]
            assert context["values"] == pytest.approx(part, rel=1e-3, abs=1e-4)
            assert context["truncated_left"] == (context["start"] > 0)
            assert context["truncated_right"] == (context["start"] + len(part) < len(ids))
            assert context["title"] == f"text {context['document']}"
            assert context["tags"] == [f"tag{context['document']}"]
        assert sum(band["share"] for band in page["bands"]) == pytest.approx(1)
        assert sum(page["histogram"]["counts"]) == page["firing_count"]
        assert len(page["histogram"]["edges"]) == len(page["histogram"]["counts"]) + 1
        assert page["n_tokens"] == tiny_index.n_tokens


def test_previous_and_next_walk_over_the_living(client: TestClient, tiny_index: CorpusIndex) -> None:
    source = client.get("/api/model").json()["sources"][0]["key"]
    alive = np.flatnonzero(tiny_index.layers[0].firing_count).tolist()
    walked = [alive[0]]
    while (index := client.get(f"/api/features/{source}/{walked[-1]}").json()["next"]) is not None:
        walked.append(index)
    assert walked == alive
    pages = [client.get(f"/api/features/{source}/{index}").json()["previous"] for index in alive]
    assert pages == [None, *alive[:-1]]


def test_search_finds_contexts_tokens_and_labels(client: TestClient) -> None:
    rows = all_pages(client, limit=200)
    unlabelled = all_pages(client, q="harbour", limit=200)
    assert unlabelled
    shown = client.get(f"/api/features/{unlabelled[0]['source']}/{unlabelled[0]['index']}").json()
    contexts = shown["contexts"] + [c for band in shown["bands"] for c in band["contexts"]]
    assert any("harbour" in "".join(c["tokens"]) for c in contexts)
    target = next(row for row in rows if key(row) not in {key(r) for r in unlabelled[:1]})
    assert label(client, target, "words about a Harbour").status_code == 201
    assert key(all_pages(client, q="harbour", limit=200)[0]) == key(target), "a label says more than a context"
    assert key(all_pages(client, q='"HARB', limit=200)[0]) == key(target), "the last word may be unfinished"
    quoted = all_pages(client, q='"', limit=200)
    assert all(any('"' in t["text"] or "“" in t["text"] for t in row["top_tokens"]) for row in quoted)
    assert all_pages(client, q="zzzz") == []


def test_search_pages_in_order_of_relevance(client: TestClient) -> None:
    paged = all_pages(client, q="the", limit=4)
    assert len(paged) > 8
    assert [key(r) for r in paged] == [key(r) for r in all_pages(client, q="the", limit=200)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=30))
def test_no_search_raises(client: TestClient, query: str) -> None:
    assert client.get("/api/features", params={"q": query, "limit": 1}).status_code == 200


def test_a_query_means_these_tokens() -> None:
    tokens = TokenTexts(["<|end|>", "The", " the", " then", "a", " there", '"', ' "', '."', "⟨e2 96⟩", " "])
    assert tokens.matching("the") == [1, 2, 3, 5]
    assert tokens.matching('"') == [6, 7, 8]
    assert tokens.matching("a") == [4]
    assert tokens.matching("e2") == []
    assert tokens.matching(" ") == []
    assert tokens.exactly("THE ") == [1, 2]
    assert tokens.exactly("th") == []


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "nonsense"},
        {"cursor": "WyJyYXRlLWRlc2MiXQ"},
        {"cursor": "WyJyYXRlLWRlc2MiLCAiYSIsIDAsIDAsIDBd"},
        {"cursor": "WyJyYXRlLWRlc2MiLCBOYU4sIDAsIDAsIDBd"},
        {"limit": 0},
        {"limit": 201},
        {"sort": "colour"},
        {"min_rate": "nan"},
        {"max_rate": 2},
        {"max_token_r2": 1.1},
        {"min_token_r2": "-inf"},
        {"min_half_firings": -1},
        {"q": "a\0b"},
        {"unknown": 1},
    ],
)
def test_a_wrong_list_request_says_which_field(bare_client: TestClient, query: dict[str, Any]) -> None:
    answer = bare_client.get("/api/features", params=query)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == next(iter(query))


def test_a_cursor_of_another_order_is_refused(client: TestClient) -> None:
    cursor = client.get("/api/features", params={"limit": 1}).json()["next_cursor"]
    answer = client.get("/api/features", params={"cursor": cursor, "sort": "max"})
    assert answer.json()["error"]["code"] == "invalid_cursor"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("{sk}/48", "unknown_feature"),
        ("nope/1", "unknown_source"),
        ("{sk}/x", "invalid_request"),
        ("{sk}/-1", "invalid_request"),
    ],
)
def test_an_unknown_feature_is_a_clear_404_or_422(client: TestClient, path: str, code: str) -> None:
    source = client.get("/api/model").json()["sources"][0]["key"]
    answer = client.get(f"/api/features/{path.format(sk=source)}")
    assert answer.json()["error"]["code"] == code
    assert answer.status_code == (422 if code == "invalid_request" else 404)


def test_without_an_index_pages_say_so(bare_client: TestClient) -> None:
    source = bare_client.get("/api/model").json()["sources"][0]["key"]
    answer = bare_client.get(f"/api/features/{source}/3")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "index_not_ready")
    assert answer.headers["retry-after"]
    assert bare_client.get("/api/features").json() == {"items": [], "total": 0, "start": 0, "next_cursor": None}
    assert bare_client.get("/api/health").json()["index"]["state"] == "missing"


def test_ties_are_kept_apart(client: TestClient) -> None:
    """Many features share a rate; a page may end between them."""
    rows = all_pages(client, limit=1)
    assert any(a["rate"] == b["rate"] for a, b in pairwise(rows))
    assert len({key(row) for row in rows}) == len(rows)


def test_rows_of_chosen_features_are_those_of_the_list(client: TestClient) -> None:
    every = all_pages(client, status="all")
    wanted = [every[i] for i in (7, 0, len(every) - 1, 7)]
    names = [f"{row['source']}:{row['index']}" for row in wanted]
    answer = client.get("/api/features/rows", params={"f": names})
    assert answer.json() == {"items": wanted}
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert client.get("/api/features/rows", params={"f": names}, headers=tag).status_code == 304
    assert client.get("/api/features/rows", params={"f": names[:1]}, headers=tag).status_code == 200


@pytest.mark.parametrize(
    ("names", "status", "code"),
    [
        ([], 422, "invalid_request"),
        (["nonsense"], 422, "invalid_request"),
        (["mfn.resid_mid.0-00000000:x"], 422, "invalid_request"),
        (["mfn.resid_mid.0-00000000:1"], 404, "unknown_source"),
        (["{source}:99999999999"], 422, "invalid_request"),
        (["{source}:99999"], 404, "unknown_feature"),
        (["{source}:1"] * 101, 422, "invalid_request"),
    ],
)
def test_rows_that_cannot_be_had(client: TestClient, names: list[str], status: int, code: str) -> None:
    source = client.get("/api/model").json()["sources"][0]["key"]
    answer = client.get("/api/features/rows", params={"f": [name.format(source=source) for name in names]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)

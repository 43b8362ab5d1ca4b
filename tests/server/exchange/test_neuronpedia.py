"""Neuronpedia's files: each field as that project has it, both ways."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mfn_core import MFNModel
from mfn_core.errors import ConfigError
from mfn_core.indexing.types import CorpusIndex
from mfn_core.tokens import token_strings
from mfn_server.atlas.file import AtlasEntry, AtlasHeader, write_atlas
from mfn_server.atlas.install import Loaded, load_atlas
from mfn_server.db.registry import register
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.exchange.neuronpedia import exporting
from mfn_server.exchange.neuronpedia.dashboards import DashboardError, read_batch, write_batch
from mfn_server.exchange.neuronpedia.explanations import Explanation, read_explanations, write_explanations
from mfn_server.exchange.neuronpedia.exporting import Corpus, dashboard, write_dashboards
from mfn_server.exchange.neuronpedia.labels import explanations_of, install_explanations, layers_of
from mfn_server.exchange.neuronpedia.naming import name_of
from mfn_server.model_facts import ModelFacts
from tests.server.saying import name_feature
from tests.server.test_cli import Mfn, one_line_error

# As SAEDashboard writes it: with the fields of an attention SAE, and one that this version passes over.
ACTIVATION = {
    "bin_min": -1,
    "bin_max": 2.25,
    "bin_contains": -1,
    "tokens": ["<bos>", " the", " ship", "\n"],
    "values": [0.0, 0.0, 2.25, 0.5],
    "qualifying_token_index": 2,
    "dfa_values": [0.25, 0.5, 0.125, 0.0],
    "dfa_maxValue": 0.5,
    "dfa_targetIndex": 1,
}
FEATURE = {
    "feature_index": 12,
    "neuron_alignment_indices": [7, 30],
    "neuron_alignment_values": [0.112, 0.109],
    "neuron_alignment_l1": [0.005, 0.004],
    "correlated_neurons_indices": [3],
    "correlated_neurons_l1": [0.02],
    "correlated_neurons_pearson": [0.03],
    "correlated_features_indices": [11, 14],
    "correlated_features_l1": [0.4, 0.2],
    "correlated_features_pearson": [0.5, 0.1],
    "neg_str": [" dog", "ly"],
    "neg_values": [-0.75, -0.5],
    "pos_str": [" sail", " harbour"],
    "pos_values": [1.5, 1.25],
    "frac_nonzero": 0.0125,
    "freq_hist_data_bar_values": [0.25, 0.75, 1.25],
    "freq_hist_data_bar_heights": [30, 4, 1],
    "logits_hist_data_bar_heights": [10, 20],
    "logits_hist_data_bar_values": [-0.25, 0.25],
    "n_prompts_total": 1000,
    "n_tokens_in_prompt": 128,
    "dataset": "someone/some-text",
    "decoder_weights_dist": [0.5, 0.5],
    "activations": [ACTIVATION],
    "vector": [0.5, -0.5],
}
BATCH = {"model_id": "gpt2-small", "layer": 6, "sae_set": "res-jb", "sae_id_suffix": None, "features": [FEATURE]}


def test_every_field_of_a_batch_is_read(tmp_path: Path) -> None:
    path = tmp_path / "batch-0.json"
    path.write_text(json.dumps(BATCH))
    batch = read_batch(path)
    for name in ("model_id", "layer", "sae_set", "sae_id_suffix"):
        assert getattr(batch, name) == BATCH[name], name
    (feature,) = batch.features
    for name, value in FEATURE.items():
        if name != "activations":
            assert getattr(feature, name) == value, name
    (activation,) = feature.activations
    for name, value in ACTIVATION.items():
        assert getattr(activation, name) == value, name
    assert set(type(feature).model_fields) == set(FEATURE)
    assert set(type(activation).model_fields) == set(ACTIVATION)
    assert set(type(batch).model_fields) == set(BATCH)
    write_batch(path, batch)
    assert json.loads(path.read_text()) == BATCH


def test_an_older_batch_lacks_fields_and_has_others(tmp_path: Path) -> None:
    path = tmp_path / "batch-0.json"
    activation = {name: ACTIVATION[name] for name in ("bin_min", "bin_max", "bin_contains", "tokens", "values")}
    left_out = ("n_prompts_total", "decoder_weights_dist", "vector", "dataset")
    feature = {name: value for name, value in FEATURE.items() if name not in left_out}
    feature |= {"activations": [activation], "num_tokens_for_dashboard": 5000, "freq_bar_colors": ["#ff0000"]}
    path.write_text(json.dumps({"model_id": "m", "layer": 0, "sae_set": "s", "features": [feature]}))
    (found,) = read_batch(path).features
    assert (found.n_prompts_total, found.decoder_weights_dist, found.vector) == (0, [], None)
    assert (found.activations[0].qualifying_token_index, found.activations[0].dfa_values) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": [{**FEATURE, "feature_index": -1}]}, "features.0.feature_index: "),
        ({"features": [{**FEATURE, "pos_values": ["x"]}]}, "features.0.pos_values.0: "),
        ({"features": [{**FEATURE, "activations": [{**ACTIVATION, "values": [1.0]}]}]}, "4 tokens with 1 values"),
        ({"layer": "six"}, "layer: "),
        ({"model_id": "a\0"}, "model_id: must not contain the NUL"),
    ],
)
def test_a_batch_that_is_wrong_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "batch-0.json"
    path.write_text(json.dumps(BATCH | change))
    with pytest.raises(DashboardError) as caught:
        read_batch(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_batch(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match="cannot be read"):
        read_batch(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff{")
    with pytest.raises(DashboardError, match="Invalid JSON"):
        read_batch(tmp_path / "x.json")


@pytest.fixture
def texts(tiny_model: MFNModel) -> list[str]:
    assert tiny_model.tokenizer is not None
    return token_strings(tiny_model.tokenizer)


def test_every_field_of_a_dashboard(tiny_index: CorpusIndex, texts: list[str]) -> None:
    layer, corpus = tiny_index.layers[1], Corpus(tiny_index, "the texts", texts)
    number = int(layer.firing_count.argmax())
    rows = np.flatnonzero(layer.contexts.feature == number)
    found = dashboard(corpus, layer, number, range(rows[0], rows[-1] + 1))
    assert found.feature_index == number
    assert found.neg_str == [texts[token] for token in layer.suppressed_ids[number]]
    assert np.allclose(found.neg_values, layer.suppressed_logits[number], rtol=1e-5)
    assert found.neg_values == sorted(found.neg_values)
    assert found.pos_str == [texts[token] for token in layer.promoted_ids[number]]
    assert np.allclose(found.pos_values, layer.promoted_logits[number], rtol=1e-5)
    assert found.frac_nonzero == layer.firing_count[number] / tiny_index.n_tokens
    filled = np.flatnonzero(layer.histogram[number])
    edges = layer.bin_edges
    middles = [(float(edges[i]) + float(edges[i + 1])) / 2 for i in range(filled[0], filled[-1] + 1)]
    assert np.allclose(found.freq_hist_data_bar_values, middles, rtol=1e-5)
    assert found.freq_hist_data_bar_heights == layer.histogram[number, filled[0] : filled[-1] + 1].tolist()
    assert sum(found.freq_hist_data_bar_heights) == layer.histogram[number].sum()
    assert (found.n_prompts_total, found.n_tokens_in_prompt, found.dataset) == (8, 16, "the texts")
    unknown = {"neuron_alignment", "correlated_neurons", "correlated_features", "logits_hist", "decoder_weights"}
    for name in type(found).model_fields:
        if any(name.startswith(begin) for begin in unknown):
            assert getattr(found, name) == [], name
    assert found.vector is None
    assert len(found.activations) == len(rows)
    contexts = layer.contexts
    for row, activation in zip(rows, found.activations, strict=True):
        begin, length = contexts.start[row], contexts.length[row]
        ids = tiny_index.documents[contexts.document[row]][begin : begin + length]
        assert activation.tokens == [texts[token] for token in ids]
        assert activation.qualifying_token_index == contexts.peak[row]
        assert np.float32(activation.values[contexts.peak[row]]) == pytest.approx(contexts.peak_value[row], rel=1e-5)
        fires = np.flatnonzero(activation.values).tolist()
        part = slice(contexts.offsets[row], contexts.offsets[row + 1])
        assert fires == contexts.positions[part].tolist()
        others = contexts.positions[part] != contexts.peak[row]
        back = np.array([activation.values[i] for i in fires], np.float16)
        assert back[others].tolist() == contexts.values[part][others].tolist(), "half precision comes back exactly"
        if contexts.kind[row] == 0:
            assert (activation.bin_min, activation.bin_contains) == (-1, -1)
            assert activation.bin_max == pytest.approx(layer.maximum[number], rel=1e-5)
        else:
            counts, band = layer.band_count[number], contexts.band[row]
            assert (activation.bin_min, activation.bin_max) == pytest.approx(layer.band_edges[number, band : band + 2])
            assert activation.bin_contains == counts[band] / counts.sum()


def test_batches_hold_every_feature_that_fires(
    tiny_index: CorpusIndex, tiny_facts: ModelFacts, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "BATCH", 10)
    count = write_dashboards(Corpus(tiny_index, "texts", texts), tiny_facts, tmp_path / "out")
    assert count == len(list((tmp_path / "out").glob("*/batch-*.json")))
    for layer, source in zip(tiny_index.layers, tiny_facts.sources, strict=True):
        place = tmp_path / "out" / name_of(source).id
        assert place.name == f"{layer.layer}-mfn-resid-mid__{source.key[-8:]}"
        batches = [read_batch(path) for path in sorted(place.glob("batch-*.json"))]
        for batch in batches:
            assert (batch.model_id, batch.layer, batch.sae_set) == ("tiny", layer.layer, "mfn-resid-mid")
            assert batch.sae_id_suffix == source.key[-8:]
            assert len(batch.features) <= 10
            for feature in batch.features:
                assert len(feature.activations) == (layer.contexts.feature == feature.feature_index).sum()
        written = [feature.feature_index for batch in batches for feature in batch.features]
        skipped = json.loads((place / "skipped_indexes.json").read_text())
        assert sorted(written) == np.flatnonzero(layer.firing_count).tolist()
        assert skipped["skipped_indexes"] == np.flatnonzero(layer.firing_count == 0).tolist()
        assert (skipped["model_id"], skipped["layer"]) == ("tiny", str(layer.layer))
        # what Neuronpedia's own converter takes without asking whether it is there
        raw = json.loads((place / "batch-0.json").read_text())
        assert {"model_id", "layer", "sae_id_suffix", "features"} <= raw.keys()
        assert set(FEATURE) - {"vector"} == raw["features"][0].keys()
        assert {name for name in ACTIVATION if not name.startswith("dfa")} == raw["features"][0]["activations"][
            0
        ].keys()


# As Neuronpedia exports it, with what is derived from the text.
LINE = {
    "id": "cm0abc",
    "modelId": "gpt2-small",
    "layer": "6-res-jb",
    "index": "12",
    "authorId": "clkht01d40000jv08hvalcvly",
    "description": " ships and\nharbours ",
    "embedding": [0.5, 0.25],
    "typeName": "oai_token-act-pair",
    "explanationModelName": "gpt-4o-mini",
    "umap_x": 0.5,
    "umap_cluster": 3,
    "notes": "checked twice",
    "createdAt": "2025-01-02T03:04:05",
}


def test_every_field_of_an_explanation(tmp_path: Path) -> None:
    path = tmp_path / "batch-0.jsonl"
    path.write_text(json.dumps(LINE) + "\n\n" + json.dumps({**LINE, "index": 13, "description": " \n"}) + "\n")
    (found,) = read_explanations(path)
    derived = ("embedding", "umap_x", "umap_cluster")
    kept = {name: value for name, value in LINE.items() if name not in derived}
    assert set(Explanation.model_fields) == set(kept)
    for name, value in (kept | {"index": 12, "description": "ships and harbours"}).items():
        assert getattr(found, name) == value, name
    write_explanations(tmp_path / "out", [found])
    (line,) = gzip.decompress((tmp_path / "out" / "batch-0.jsonl.gz").read_bytes()).decode().splitlines()
    assert json.loads(line) == kept | {"description": "ships and harbours"}
    assert list(read_explanations(tmp_path / "out" / "batch-0.jsonl.gz")) == [found]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "line 1: Invalid JSON"),
        (json.dumps({**LINE, "index": "-3"}).encode(), "line 1: index: "),
        (json.dumps({**LINE, "index": "x"}).encode(), "line 1: index: "),
        (
            json.dumps(LINE).encode() + b"\n" + json.dumps({**LINE, "description": None}).encode(),
            "line 2: description:",
        ),
        (json.dumps({**LINE, "description": "x" * 2001}).encode(), "line 1: description: String should have at most"),
        (json.dumps({**LINE, "description": "a\0b"}).encode(), "line 1: description: must not contain the NUL"),
    ],
)
def test_an_explanation_that_is_wrong_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    for path, raw in ((tmp_path / "a.jsonl", content), (tmp_path / "a.jsonl.gz", gzip.compress(content))):
        path.write_bytes(raw)
        with pytest.raises(ConfigError) as caught:
            list(read_explanations(path))
        assert str(caught.value).startswith(f"{path}, {message}")
        assert "\n" not in str(caught.value)


def test_a_file_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(LINE).encode() * 100)[:-20])
    with pytest.raises(ConfigError, match="damaged"):
        list(read_explanations(path))
    path.write_bytes(b"no gzip")
    with pytest.raises(ConfigError, match="damaged"):
        list(read_explanations(path))


def explanation(**change: Any) -> Explanation:
    return Explanation.model_validate(LINE | change)


def test_whose_features_are_explained(tiny_facts: ModelFacts) -> None:
    ours = [explanation(layer=name_of(source).id) for source in tiny_facts.sources]
    assert layers_of(tiny_facts, ours, None) == [0, 1]
    assert layers_of(tiny_facts, [explanation()], 1) == [1]
    assert layers_of(tiny_facts, [], None) == []
    for explained, layer, message in (
        ([explanation()], None, "'6-res-jb' is no source of tiny"),
        ([explanation()], 2, "tiny has no features in layer 2"),
        ([explanation(), explanation(layer="7-res-jb")], 1, "explain 2 sources"),
        ([explanation(index="48")], 1, "no feature 48 in layer 1: it has features 0 to 47"),
        (ours, 1, "is layer 0 of tiny, not 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            layers_of(tiny_facts, explained, layer)


Install = Callable[..., int]


@pytest.fixture
def install(indexed: Database, tiny_facts: ModelFacts) -> Install:
    def install(*lines: dict[str, Any]) -> int:
        placed = [(1, explanation(**line)) for line in lines]
        with indexed.write() as connection:
            return install_explanations(connection, register(connection, tiny_facts).model_id, tiny_facts, placed)

    return install


def page(client: TestClient, tiny_facts: ModelFacts, feature: int = 12) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/features/{tiny_facts.sources[1].key}/{feature}").json()
    return found


def name(client: TestClient, tiny_facts: ModelFacts, text: str, feature: int = 12) -> None:
    name_feature(client, f"/api/features/{tiny_facts.sources[1].key}/{feature}", text)


def test_explanations_become_automatic_labels(
    client: TestClient, indexed: Database, install: Install, tiny_facts: ModelFacts
) -> None:
    assert install({}, {}, {"index": "3", "explanationModelName": None, "description": "snow"}) == 2
    found = page(client, tiny_facts)
    assert (found["label"], found["label_origin"]) == ("ships and harbours", "automatic")
    (label,) = found["labels"]
    assert (label["author"], label["origin"], label["reason"]) == (
        "neuronpedia/gpt-4o-mini",
        "automatic",
        "checked twice",
    )
    assert (label["confidence"], label["unclear"]) == (None, False)
    assert page(client, tiny_facts, 3)["labels"][0]["author"] == "neuronpedia"
    listed = client.get("/api/features", params={"q": "harbours", "status": "labelled"}).json()
    assert [row["index"] for row in listed["items"] if row["label"]] == [12]
    sources = client.get("/api/model").json()["sources"]
    assert [(source["n_labelled"], source["n_automatic"]) for source in sources] == [(0, 0), (2, 2)]
    assert install({}, {"index": "3", "explanationModelName": None, "description": "snow"}) == 0
    with indexed.read() as connection:
        assert connection.scalar(select(func.count()).select_from(LabelEvent)) == 2


@pytest.mark.parametrize("person_first", [True, False])
def test_a_person_comes_first(client: TestClient, install: Install, tiny_facts: ModelFacts, person_first: bool) -> None:
    steps = [lambda: name(client, tiny_facts, "quays"), lambda: install({})]
    for step in steps if person_first else steps[::-1]:
        step()
    found = page(client, tiny_facts)
    assert (found["label"], found["label_origin"]) == ("quays", "human")
    assert [label["origin"] for label in found["labels"]] == ["human", "automatic"]
    sources = client.get("/api/model").json()["sources"]
    assert (sources[1]["n_labelled"], sources[1]["n_automatic"]) == (1, 0)


def test_one_of_several_is_shown_and_an_atlas_leaves_the_others(
    client: TestClient, indexed: Database, install: Install, tiny_facts: ModelFacts, tmp_path: Path
) -> None:
    def load(*entries: dict[str, Any]) -> Loaded | None:
        path = tmp_path / "atlas.jsonl"
        header = AtlasHeader(model=tiny_facts.fingerprint)
        write_atlas(path, header, [AtlasEntry.model_validate(entry) for entry in entries])
        with indexed.write() as connection:
            model_id = register(connection, tiny_facts).model_id
        return load_atlas(indexed, model_id, tiny_facts, path)

    boats = {"layer": 1, "feature": 12, "label": "boats", "seen": "all of ten", "confidence": "high"}
    unclear = {"layer": 1, "feature": 12, "unclear": True, "seen": "nothing in common"}
    install({}, {"description": "sails"})
    assert page(client, tiny_facts)["label"] == "sails"
    assert load(boats) == (1, 0)
    assert page(client, tiny_facts)["label"] == "boats"
    assert load(boats) == (0, 0)
    assert {label["text"] for label in page(client, tiny_facts)["labels"]} == {"boats", "sails", "ships and harbours"}
    assert load(unclear) == (1, 0)
    assert page(client, tiny_facts)["label"] == "sails", "what says nothing is not shown"
    assert load() == (0, 1)
    assert page(client, tiny_facts)["label"] == "sails"
    items = client.get("/api/features", params={"limit": 200, "status": "all"}).json()["items"]
    assert len({(row["source"], row["index"]) for row in items}) == len(items), "each feature is listed once"
    with indexed.read() as connection:
        assert connection.scalar(select(func.count()).where(Label.is_primary)) == 1


def test_labels_become_explanations_and_come_back_as_automatic_ones(
    client: TestClient, indexed: Database, install: Install, tiny_facts: ModelFacts, tmp_path: Path
) -> None:
    install({}, {"index": "3", "description": "snow", "notes": None})
    name(client, tiny_facts, "quays")
    with indexed.write() as connection:
        found = explanations_of(connection, register(connection, tiny_facts).model_id, tiny_facts)
    source = name_of(tiny_facts.sources[1])
    assert found[name_of(tiny_facts.sources[0])] == []
    by_text = {each.description: each for each in found[source]}
    assert [each.description for each in found[source]] == ["snow", "quays", "ships and harbours"]
    person, program = by_text["quays"], by_text["ships and harbours"]
    for each in found[source]:
        assert (each.modelId, each.layer, each.authorId) == ("tiny", source.id, LINE["authorId"])
        assert each.createdAt
    assert (person.index, person.typeName, person.explanationModelName) == (12, None, None)
    assert person.notes == "written by a person (ann) in MFN Studio"
    assert person.id
    assert (program.id, program.typeName, program.explanationModelName, program.notes) == (
        *("cm0abc", "oai_token-act-pair", "gpt-4o-mini"),
        "checked twice",
    )
    assert by_text["snow"].notes is None
    write_explanations(tmp_path / "out", found[source])
    again = list(read_explanations(tmp_path / "out" / "batch-0.jsonl.gz"))
    assert again == found[source]
    assert layers_of(tiny_facts, again, None) == [1, 1, 1]
    with indexed.write() as connection:
        model_id = register(connection, tiny_facts).model_id
        assert install_explanations(connection, model_id, tiny_facts, [(1, each) for each in again]) == 1
    labels = page(client, tiny_facts)["labels"]
    assert [(label["text"], label["origin"]) for label in labels] == [
        ("quays", "human"),
        ("quays", "automatic"),
        ("ships and harbours", "automatic"),
    ]


def test_the_commands(mfn: Mfn, tiny_bundle: Path, corpus: Path, tmp_path: Path, tiny_facts: ModelFacts) -> None:
    db, file, out = tmp_path / "a.sqlite3", tmp_path / "e.jsonl", tmp_path / "out"
    file.write_text(json.dumps(LINE) + "\n" + json.dumps({**LINE, "index": "3"}) + "\n")
    assert mfn("index", tiny_bundle, corpus, "--db", db, "--name", "stories")[0] == 0
    given = ("import-explanations", tiny_bundle, file, "--db", db)
    assert "'6-res-jb' is no source of tiny; if its features are a layer's, say --layer N" in one_line_error(
        mfn(*given)
    )
    code, text, _ = mfn(*given, "--layer", 1)
    assert (code, text.strip()) == (0, f"2 of 2 explanations are new; they are automatic labels in {db}")
    assert mfn(*given, "--layer", 1)[1].startswith("0 of 2 ")
    code, text, _ = mfn("export-index", tiny_bundle, out, "--db", db, "--neuronpedia")
    assert (code, text.strip()) == (0, f"2 batches of dashboards and 2 explanations are in {out}")
    batch = read_batch(out / name_of(tiny_facts.sources[1]).id / "batch-0.json")
    assert (batch.layer, batch.features[0].dataset) == (1, "stories")
    other = tmp_path / "b.sqlite3"
    folders = [out / name_of(source).id / "explanations" for source in tiny_facts.sources]
    assert not folders[0].exists(), "nothing is explained there"
    (tmp_path / "empty").mkdir()
    nothing = one_line_error(mfn("import-explanations", tiny_bundle, tmp_path / "empty", "--db", other))
    assert "there are no explanations in" in nothing
    code, text, _ = mfn("import-explanations", tiny_bundle, folders[1], "--db", other)
    assert (code, text.strip()) == (0, f"2 of 2 explanations are new; they are automatic labels in {other}")
    assert "cannot be read" in one_line_error(mfn("import-explanations", tiny_bundle, tmp_path / "none", "--db", db))

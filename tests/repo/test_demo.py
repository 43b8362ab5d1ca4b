"""What ships as the demo belongs together: model, card, corpus, finished index, presets."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mfn_core import Intervention, MFNConfig, MFNLayerConfig, MFNModel, Scope
from mfn_core.data.corpus import read_corpus
from mfn_core.indexing import build_index
from mfn_core.indexing.types import ContextKind, CorpusIndex, LayerIndex
from mfn_server.db.migrate import open_database
from mfn_server.index_file import load_index
from mfn_server.indexing import IndexOrder, run_index
from mfn_server.model_facts import ModelFacts
from mfn_server.weights.command import sources_by_layer
from mfn_server.weights.store import stored_weights

DEMO = Path(__file__).resolve().parents[2] / "demo"
CORPUS = DEMO / "corpus" / "corpus.jsonl.xz"


@pytest.fixture(scope="module")
def model() -> MFNModel:
    return MFNModel.from_pretrained(DEMO / "model")


@pytest.fixture(scope="module")
def index() -> CorpusIndex:
    return load_index(DEMO / "index" / "index.npz.xz")


def test_the_card_is_this_models(model: MFNModel) -> None:
    card = json.loads((DEMO / "model" / "card.json").read_text())
    assert card["fingerprint"] == model.fingerprint
    for number, layer in model.coders.items():
        assert layer.alpha == 1.0
        torch.testing.assert_close(layer.W_dec.norm(dim=-1), torch.ones(layer.n_features), rtol=2e-3, atol=2e-3)
        assert {"fvu", "l0", "dead"} <= set(next(row for row in card["layers"] if row["layer"] == number))


def test_the_index_is_of_this_model_and_this_corpus(model: MFNModel, index: CorpusIndex) -> None:
    assert index.model_fingerprint == model.fingerprint
    assert [layer.layer for layer in index.layers] == sorted(model.coders)
    assert index.n_tokens >= 600_000
    texts = [document.text for document in read_corpus(CORPUS)]
    assert len(texts) == len(index.documents)
    for ordinal in random.Random(0).sample(range(len(texts)), 100):
        np.testing.assert_array_equal(index.documents[ordinal], model.encode_text(texts[ordinal]))


def test_its_contexts_are_what_the_model_computes(model: MFNModel, index: CorpusIndex) -> None:
    rng = random.Random(1)
    compared = differing = 0
    for layer in index.layers:
        contexts = layer.contexts
        for row in rng.sample(range(len(contexts.feature)), 40):
            ids = index.documents[contexts.document[row]]
            if len(ids) > index.settings.seq_len:
                continue  # later chunks of a long text are read with less before them
            start = int(contexts.start[row])
            values = model.codes(ids.tolist())[layer.layer].value_of(int(contexts.feature[row])).numpy()
            stored = np.zeros(len(values), np.float32)
            span = slice(contexts.offsets[row], contexts.offsets[row + 1])
            stored[start + contexts.positions[span].astype(int)] = contexts.values[span].astype(np.float32)
            window = slice(max(start, 1), start + int(contexts.length[row]))
            compared += 1
            # Where two features nearly tie for the last of the K places, another batch may choose the other one.
            differing += not np.allclose(values[window], stored[window], rtol=2e-3, atol=2e-3)
    assert compared > 100
    assert differing <= compared * 0.05


@pytest.mark.slow
def test_building_the_index_anew_gives_the_shipped_one(model: MFNModel, index: CorpusIndex) -> None:
    anew = build_index(model, read_corpus(CORPUS), index.settings)
    assert anew.n_tokens == index.n_tokens
    for ours, theirs in zip(anew.layers, index.layers, strict=True):
        # Another machine's arithmetic moves a few near ties: the shares say how few.
        moved = np.abs(ours.firing_count - theirs.firing_count).sum() / theirs.firing_count.sum()
        assert moved < 1e-3, f"layer {ours.layer}: {moved:.2%} of the firings moved"
        other = ~np.isclose(ours.maximum, theirs.maximum, rtol=0.02, atol=0.02)
        assert other.mean() < 2e-3, f"layer {ours.layer}: the maxima of {np.flatnonzero(other)} moved"
        np.testing.assert_array_equal(ours.promoted_ids[:, 0], theirs.promoted_ids[:, 0])
        assert len(_strongest(ours) & _strongest(theirs)) > 0.995 * len(_strongest(theirs))


def _strongest(layer: LayerIndex) -> set[tuple[int, int, int]]:
    """(feature, document, start) of the strongest contexts."""
    contexts = layer.contexts
    top = contexts.kind == ContextKind.TOP
    rows = zip(contexts.feature[top], contexts.document[top], contexts.start[top], strict=True)
    return {(int(f), int(d), int(s)) for f, d, s in rows}


def test_every_preset_changes_what_is_written(model: MFNModel) -> None:
    presets = json.loads((DEMO / "presets.json").read_text())
    assert len(presets) >= 10
    layers = {model.source_key(number): number for number in model.coders}
    for preset in presets:
        chosen = [
            Intervention(layers[i["source"]], i["index"], i["mode"], i["value"], Scope(**i["scope"]))
            for i in preset["interventions"]
        ]
        plain = model.generate(preset["prompt"], max_new_tokens=12)
        assert model.generate(preset["prompt"], chosen, max_new_tokens=12) != plain, preset["name"]


def test_the_dense_model_reads_text_and_can_be_equipped() -> None:
    base = AutoModelForCausalLM.from_pretrained(DEMO / "dense", dtype=torch.float32, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(DEMO / "dense")
    written = [d.text for d in read_corpus(CORPUS) if d.meta["origin"] == "written"][:40]
    rows = [torch.tensor([[0, *tokenizer(text)["input_ids"]]])[:, :256] for text in written]
    with torch.no_grad():
        losses = [float(base(row, labels=row).loss) for row in rows]
        plain = base(rows[0]).logits
    assert np.mean(losses) < 4.5, "a model that knows nothing has 8.3, the logarithm of the vocabulary"
    equipped = MFNModel.equip(base, MFNConfig({n: MFNLayerConfig(64, 8, alpha=0.0) for n in range(6)}), tokenizer)
    with torch.no_grad():
        assert torch.equal(equipped(rows[0]).logits, plain)


@pytest.mark.slow
@torch.no_grad()
def test_importing_the_index_brings_what_the_weights_say(model: MFNModel, tmp_path: Path) -> None:
    """As `mfn demo` does at its first start; against products in float64."""
    url = f"sqlite:///{tmp_path / 'studio.sqlite3'}"
    order = IndexOrder(DEMO / "model", (), url, tmp_path, import_file=DEMO / "index" / "index.npz.xz", map="pca")
    run_index(order, lambda phase, share, note: None)
    with closing(open_database(url, make=False)) as database:
        sources = sources_by_layer(database, ModelFacts.of(model, DEMO / "model"))
        with database.read() as connection:
            record = stored_weights(connection, sources)
    assert record is not None
    assert sorted(record.layers) == sorted(model.coders)
    every = {n: torch.nn.functional.normalize(coder.directions.double(), dim=-1) for n, coder in model.coders.items()}
    for number, facts in record.layers.items():
        assert facts.left_out == ()
        reached = facts.downstream or facts.upstream
        assert facts.neighbours is not None
        assert facts.agreement is not None
        assert reached is not None
        for feature in random.Random(number).sample(range(facts.n_features), 20):
            cosines = every[number] @ every[number][feature]
            lowest = facts.neighbours.opposite
            assert lowest.features[feature].tolist() == cosines.argsort()[:8].tolist()
            np.testing.assert_allclose(lowest.values[feature], cosines.sort().values[:8], atol=1e-3)
            elsewhere = {n: directions @ every[number][feature] for n, directions in every.items() if n != number}
            best = max(elsewhere, key=lambda n: float(elsewhere[n].max()))
            nearest = facts.neighbours.nearest_elsewhere
            assert (nearest.layers[feature, 0], nearest.features[feature, 0]) == (best, int(elsewhere[best].argmax()))
            reads = model.coders[number].encoder_rows
            assert reads is not None
            own = torch.nn.functional.cosine_similarity(reads[feature].double(), every[number][feature], dim=0)
            assert facts.agreement[feature] == pytest.approx(float(own), abs=1e-6)

"""The whole way, from text through a random equipped Llama to an index, against its codes read one text at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.data.corpus import Document
from mfn_core.errors import CorpusError, MFNError
from mfn_core.indexing import IndexSettings, build_index, weight_facts
from mfn_core.indexing.build import IndexState, collect, index_tokens
from mfn_core.indexing.types import CorpusIndex

from .reference import Corpus, expect, expected_next, expected_partners, expected_sample, stored

OPTIONS = IndexSettings(n_top=5, window=8, seq_len=32, batch_rows=3, n_tokens=4, n_logits=6, n_neighbours=5)


@pytest.fixture(scope="module")
def model(tiny_model: MFNModel) -> MFNModel:
    """In float64, where no two pre-activations nearly tie, so that codes do not depend on the batch they are in."""
    return copy.deepcopy(tiny_model).double()


@pytest.fixture(scope="module")
def texts() -> list[Document]:
    words = [
        "the",
        "harbour",
        "was",
        "quiet",
        "that",
        "night",
        "and",
        "snow",
        "東京",
        "Köln",
        "{1:",
        "[2.5]}",
        "return",
    ]
    rng = np.random.default_rng(0)
    lengths = [1, 2, 3, 5, 8, 13, 21, 34, 3, 60]
    return [Document(" ".join(rng.choice(words, n)), {"title": f"text {i}"}) for i, n in enumerate(lengths)]


@pytest.fixture(scope="module")
def index(model: MFNModel, texts: list[Document]) -> CorpusIndex:
    return build_index(model, texts, OPTIONS)


def codes_one_by_one(model: MFNModel, index: CorpusIndex, layer: int) -> Corpus:
    """Each row that the index should have read, in a forward pass of its own, without batch or padding."""
    window, most, width = OPTIONS.window, OPTIONS.seq_len, model.coders[layer].k
    found: list[tuple[int, int, *tuple[np.ndarray, ...]]] = []
    for number, ids in enumerate(index.documents):
        codes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        rows = [(0, 0, ids[:most])]
        for start in range(most, len(ids), most - window):
            rows.append((start, window, np.append(0, ids[start - window + 1 : start + most - window])))
        for start, lead, row in rows:
            code = model.codes(row.tolist())[layer]
            for t in range(lead, len(row)):
                codes[start + t - lead] = code.indices[t].numpy(), code.values[t].float().numpy()
        assert sorted(codes) == list(range(len(ids)))
        for start in range(0, len(ids), window):
            tokens, counted = np.zeros(window, np.int64), np.zeros(window, np.bool_)
            following = np.full(window, -1)
            indices, values = np.zeros((window, width), np.int64), np.zeros((window, width), np.float32)
            for t, place in enumerate(range(start, min(start + window, len(ids)))):
                tokens[t], counted[t] = ids[place], place > 0
                if place + 1 < len(ids):
                    following[t] = ids[place + 1]
                indices[t], values[t] = codes[place]
            found.append((number, start, tokens, following, counted, indices, values))
    document, start, *columns = (np.array(column) for column in zip(*found, strict=True))
    return Corpus(document, start, *columns)


@pytest.mark.parametrize("layer", [0, 1])
def test_top_contexts_are_what_the_model_says(model: MFNModel, index: CorpusIndex, layer: int) -> None:
    corpus = codes_one_by_one(model, index, layer)
    found = index.layers[layer]
    assert found.layer == layer
    assert (found.firing_count > 0).sum() > 20
    for feature in range(found.n_features):
        truth = expect(corpus, feature, OPTIONS, found.bin_edges)
        assert found.firing_count[feature] == truth.count
        assert found.mean[feature] == pytest.approx(truth.mean, rel=1e-5)
        top = stored(found.contexts, feature, kind=0)
        assert [(c[0], c[1], c[2], c[4]) for c in top] == [(c[0], c[1], c[2], c[4]) for c in truth.top]
        assert [c[3] for c in top] == pytest.approx([c[3] for c in truth.top], rel=1e-6)


@pytest.mark.parametrize("layer", [0, 1])
def test_what_comes_next_and_fires_together_is_what_the_model_says(
    model: MFNModel, index: CorpusIndex, layer: int
) -> None:
    """Over windows, rows and documents: the next token of a chunk's last is the first of the next chunk."""
    corpus = codes_one_by_one(model, index, layer)
    found = index.layers[layer]
    sample = expected_sample(corpus, OPTIONS.max_sample_firings)
    assert found.sampled_tokens == len(sample) == index.n_tokens, "so small a corpus is in the sample as a whole"
    assert found.next_token_ids is not None
    assert found.next_token_share is not None
    assert found.cofiring_ids is not None
    assert found.sampled_firings is not None
    np.testing.assert_array_equal(found.sampled_firings, found.firing_count)
    for feature in range(found.n_features):
        after = expected_next(sample, feature)[: OPTIONS.n_tokens]
        n = len(after)
        assert found.next_token_ids[feature, :n].tolist() == [token for token, _ in after]
        assert found.next_token_share[feature, :n].tolist() == pytest.approx([share for _, share in after])
        assert (found.next_token_ids[feature, n:] == -1).all()
        partners = expected_partners(sample, feature, found.n_features)[: OPTIONS.n_cofiring]
        ids = found.cofiring_ids[feature]
        assert ids[ids >= 0].tolist() == [other for other, *_ in partners]
    assert (found.cofiring_ids[:, 0] >= 0).any()


def test_the_index_describes_itself(model: MFNModel, index: CorpusIndex, texts: list[Document]) -> None:
    assert [ids.tolist() for ids in index.documents] == [model.encode_text(text.text) for text in texts]
    assert index.meta[3] == {"title": "text 3"}
    assert index.n_tokens == sum(len(ids) - 1 for ids in index.documents)
    assert index.model_fingerprint == model.fingerprint
    for layer in index.layers:
        assert layer.firing_count.sum() == layer.histogram.sum() <= index.n_tokens * model.coders[layer.layer].k
        contexts = layer.contexts
        ends = contexts.start + contexts.length.astype(np.int64)
        assert (ends <= np.array([len(ids) for ids in index.documents])[contexts.document]).all()
        rows = np.repeat(np.arange(len(contexts)), np.diff(contexts.offsets))
        assert (contexts.positions < contexts.length[rows]).all()
        key = list(zip(contexts.feature, contexts.kind, contexts.band, contexts.rank, strict=True))
        assert key == sorted(set(key))


def test_shards_merge_to_the_same(model: MFNModel, index: CorpusIndex) -> None:
    settings = index.settings
    halves = []
    for parity in (0, 1):
        part = [(n, ids) for n, ids in enumerate(index.documents) if n % 2 == parity]
        halves.append(IndexState(model, settings))
        collect(model, part, halves[-1])
    both = halves[1].merge(halves[0])
    assert both.n_tokens == index.n_tokens
    for layer in index.layers:
        state = both.layers[layer.layer]
        np.testing.assert_array_equal(state.firing_count, layer.firing_count)
        rows = state.top.rows()
        top = layer.contexts.kind == 0
        np.testing.assert_array_equal(rows.group, layer.contexts.feature[top])
        np.testing.assert_array_equal(rows.place >> np.uint64(32), layer.contexts.document[top])


def test_weight_facts_are_the_direct_lens(model: MFNModel) -> None:
    facts = weight_facts(model, 1, n_logits=6, n_neighbours=5)
    decoder = model.coders[1].W_dec.detach()
    norm, unembedding = model.base.model.norm.weight.detach(), model.base.lm_head.weight.detach()
    logits = (decoder * norm) @ unembedding.T
    logits = logits - logits.mean(1, keepdim=True)
    for j in range(len(decoder)):
        order = logits[j].argsort(descending=True)
        assert facts.promoted_ids[j].tolist() == order[:6].tolist()
        assert facts.suppressed_ids[j].tolist() == order.flip(0)[:6].tolist()
        np.testing.assert_allclose(facts.promoted_logits[j], logits[j, order[:6]], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(facts.suppressed_logits[j], logits[j, order.flip(0)[:6]], rtol=1e-4, atol=1e-6)
        cosine = torch.cosine_similarity(decoder[j : j + 1], decoder, dim=-1)
        cosine[j] = -2
        assert facts.neighbour_ids[j].tolist() == cosine.argsort(descending=True)[:5].tolist()
        np.testing.assert_allclose(facts.neighbour_cos[j], cosine.sort(descending=True)[0][:5], rtol=1e-4, atol=1e-6)


def test_weight_facts_of_some_features_are_those_of_all(model: MFNModel) -> None:
    whole = weight_facts(model, 1, n_logits=6, n_neighbours=5)
    for some, all_ in zip(weight_facts(model, 1, 6, 5, features=[40, 3]), whole, strict=True):
        np.testing.assert_allclose(some, all_[[40, 3]], rtol=1e-5)


def tiny(model_type: str, site: str) -> MFNModel:
    """A random model of two blocks and width 16, with 12 features in its second block."""
    torch.manual_seed(3)
    base: PreTrainedModel
    if model_type == "gpt2":
        base = GPT2LMHeadModel(
            GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
        )
    else:
        base = Gemma2ForCausalLM(
            Gemma2Config(
                vocab_size=40,
                hidden_size=16,
                intermediate_size=24,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=8,
            )
        )
    with torch.no_grad():
        for parameter in base.parameters():  # norms too, whose fresh weights would hide their part
            parameter.normal_(0.0, 0.3)
    return MFNModel.equip(base.eval(), MFNConfig.uniform([1], MFNLayerConfig(12, 3, site=site)))


@pytest.mark.parametrize("model_type", ["gpt2", "gemma2"])
@pytest.mark.parametrize("site", ["resid_post", "mlp_hidden"])
@torch.no_grad()
def test_the_lens_is_the_change_of_the_logits_under_a_frozen_norm(model_type: str, site: str) -> None:
    model = tiny(model_type, site)
    facts = weight_facts(model, 1, n_logits=40, n_neighbours=3)
    norm, unembedding = model.family.final_norm(model.base), model.base.get_output_embeddings().weight
    assert norm is not None
    centred = isinstance(norm, torch.nn.LayerNorm)

    def unscaled(h: torch.Tensor) -> torch.Tensor:
        scale = h.std(correction=0) if centred else h.square().mean().sqrt()
        return unembedding @ ((norm(h) - (norm.bias if centred else 0.0)) * scale)

    h = torch.randn(16) * 100  # so that the norms' own epsilon does not matter
    written = model.coders[1].directions
    if site == "mlp_hidden":  # what the MLP's last matrix makes of a unit in each feature's direction
        down = model.family.down(model.base, 1).forward  # past the hook by which the code reads
        bias = down(torch.zeros(written.shape[1]))
        written = torch.stack([down(direction) - bias for direction in written])
    for j in range(12):
        change = unscaled(h + written[j]) - unscaled(h)
        change = change - change.mean()
        np.testing.assert_allclose(facts.promoted_logits[j], change[facts.promoted_ids[j]], atol=2e-3)
        np.testing.assert_allclose(facts.suppressed_logits[j], change[facts.suppressed_ids[j]], atol=2e-3)


def test_chunks_do_not_show(model: MFNModel) -> None:
    whole = weight_facts(model, 0, 4, 100)
    assert whole.neighbour_ids.shape[1] == model.coders[0].n_features - 1
    for a, b in zip(whole, weight_facts(model, 0, 4, 100, chunk=700), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_progress_is_told_and_reaches_the_end(model: MFNModel, texts: list[Document]) -> None:
    told: list[tuple[int, int | None]] = []
    index = build_index(model, texts, OPTIONS, lambda done, total: told.append((done, total)))
    assert told[-1] == (index.n_tokens, index.n_tokens)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_an_interruption_leaves_the_model_as_it_was(model: MFNModel, texts: list[Document]) -> None:
    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    model.train()
    try:
        with pytest.raises(KeyboardInterrupt):
            build_index(model, texts, OPTIONS, interrupt)
        assert model.training
    finally:
        model.eval()
    assert build_index(model, texts, OPTIONS).n_tokens


def test_bf16_stays_near(model: MFNModel, texts: list[Document], index: CorpusIndex) -> None:
    rough = build_index(model.float(), texts, IndexSettings(**{**vars(OPTIONS), "bf16": True}))
    model.double()
    for a, b in zip(rough.layers, index.layers, strict=True):
        assert np.abs(a.firing_count - b.firing_count).sum() < 0.1 * b.firing_count.sum()


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_an_empty_corpus_is_refused(model: MFNModel, texts: list[str]) -> None:
    with pytest.raises(CorpusError, match="no text"):
        build_index(model, (Document(text) for text in texts), OPTIONS)


def test_a_broken_corpus_is_the_corpus_error(model: MFNModel) -> None:
    def documents() -> Iterator[Document]:
        yield Document("one")
        raise CorpusError("line 2 is not JSON")

    with pytest.raises(CorpusError, match="line 2"):
        build_index(model, documents(), OPTIONS)


def test_a_model_gone_wrong_is_refused(model: MFNModel, index: CorpusIndex) -> None:
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.coders[0].b_enc[3] = float("inf")
    with pytest.raises(MFNError, match="non-finite"):
        index_tokens(broken, index.documents, index.meta, OPTIONS)

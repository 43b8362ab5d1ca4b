"""Equipped models: exactness against the plain model, caches, interventions read back, saving."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import BloomConfig, BloomForCausalLM, LlamaConfig, LlamaForCausalLM

from mfn_core import EditBuffers, Intervention, MFNConfig, MFNLayerConfig, MFNModel, Scope
from mfn_core.config import BlendInto
from mfn_core.errors import BundleError, ConfigError, UnknownFamilyError

CONFIG: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 40,
    "bos_token_id": 0,
    "eos_token_id": None,
    "pad_token_id": None,
}


def plain(tie: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**CONFIG, tie_word_embeddings=tie)).eval()


def equipped(
    alpha: float = 1.0, blend: BlendInto = "residual", layers: tuple[int, ...] = (0, 1, 2), tie: bool = True
) -> MFNModel:
    base = plain(tie)
    layer = MFNLayerConfig(48, 6, alpha=alpha, blend_into=blend)
    return MFNModel.equip(base, MFNConfig.uniform(list(layers), layer)).eval()


def ids(rows: int = 2, length: int = 9, seed: int = 3) -> torch.Tensor:
    return torch.randint(1, 61, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("blend", ["residual", "mlp"])
def test_alpha_zero_is_the_plain_model_bit_for_bit(dtype: torch.dtype, blend: BlendInto) -> None:
    reference, model = plain().to(dtype), equipped(0.0, blend).to(dtype)
    for record in (False, True):
        assert torch.equal(model(ids(), record=record).logits, reference(ids()).logits)
    greedy = {"max_new_tokens": 12, "do_sample": False}
    assert torch.equal(model.base.generate(ids(1), **greedy), reference.generate(ids(1), **greedy))


@pytest.mark.parametrize("blend", ["residual", "mlp"])
def test_alpha_one_is_the_blend_computed_by_hand(blend: BlendInto) -> None:
    model = equipped(1.0, blend).double()
    llama: Any = model.base.model
    h = llama.embed_tokens(ids())
    rotary = llama.rotary_emb(h, torch.arange(9)[None])
    mask = torch.full((9, 9), -torch.inf, dtype=h.dtype).triu(1)[None, None]
    for block in llama.layers:
        attended, _ = block.self_attn(block.input_layernorm(h), position_embeddings=rotary, attention_mask=mask)
        stream = h + attended
        codes, scale = block.mfn.encode(stream)
        rebuilt = scale * (codes.dense() @ block.mfn.W_dec + block.mfn.b_dec)
        skip = rebuilt if blend == "residual" else stream
        h = skip + block.mlp(block.post_attention_layernorm(rebuilt))
    expected = model.base.lm_head(llama.norm(h))
    torch.testing.assert_close(model(ids()).logits, expected, rtol=1e-10, atol=1e-10)


def test_equipping_some_blocks_leaves_the_others_plain() -> None:
    model = equipped(layers=(1,))
    out = model(ids(), record=True)
    assert set(out.traces) == {1}
    assert not hasattr(model.base.model.layers[0], "mfn")
    assert not torch.equal(out.logits, plain()(ids()).logits)


def test_cached_and_uncached_forward_agree() -> None:
    model = equipped().double()
    whole = model(ids(), record=True)
    first = model(ids()[:, :4], use_cache=True)
    rest = model(ids()[:, 4:], past_key_values=first.past_key_values, record=True)
    torch.testing.assert_close(torch.cat([first.logits, rest.logits], 1), whole.logits)
    for number, trace in whole.traces.items():
        torch.testing.assert_close(trace.codes.dense()[:, 4:], rest.traces[number].codes.dense())


def test_left_padding_changes_nothing() -> None:
    model = equipped().double()
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), ids()], dim=1)
    mask = torch.ones_like(padded)
    mask[:, :3] = 0
    torch.testing.assert_close(model(padded, attention_mask=mask).logits[:, 3:], model(ids()).logits)


def test_a_clamp_reads_back_and_moves_the_logits() -> None:
    model = equipped()
    edits = EditBuffers.allocate(model.n_features, rows=2)
    edits.write(0, [Intervention(1, 7, "set", 3.5)], prompt_length=9)
    with torch.inference_mode():
        before = model(ids(), record=True)
        after = model(ids(), edits=edits, record=True)
    assert (after.traces[1].codes.value_of(7)[0] == 3.5).all()
    torch.testing.assert_close(after.traces[1].raw_codes.dense(), before.traces[1].raw_codes.dense())
    assert not torch.equal(after.logits[0], before.logits[0])
    assert torch.equal(after.logits[1], before.logits[1])


def test_an_intervention_acts_through_generate_with_a_cache_as_without() -> None:
    model = equipped().double()
    chosen = [
        Intervention(0, 5, "set", 6.0, Scope("generation")),
        Intervention(2, 9, "add", 4.0, Scope("range", 10, 14)),
        Intervention(1, 3, "scale", 0.0, Scope("prompt")),
    ]
    texts = []
    for cached in (True, False):
        edits = EditBuffers.allocate(model.n_features, rows=1, dtype=torch.float64)
        edits.write(0, chosen, prompt_length=9)
        with model.run(edits):
            texts.append(model.base.generate(ids(1), max_new_tokens=10, do_sample=False, use_cache=cached))
    assert torch.equal(*texts)
    plain_text = model.base.generate(ids(1), max_new_tokens=10, do_sample=False)
    assert not torch.equal(texts[0], plain_text)


def test_a_run_ends_with_its_block_even_after_an_error() -> None:
    model = equipped()
    with pytest.raises(IndexError), model.run(record=True):
        raise IndexError
    assert model.stage.run is None
    with model.run(), pytest.raises(RuntimeError, match="already open"), model.run():
        pass


def test_a_copy_of_a_model_has_a_stage_of_its_own() -> None:
    model = equipped()
    other = copy.deepcopy(model)
    with other.run(record=True) as run:
        model(ids())
        assert not run.traces
        other.base(ids())
        assert set(run.traces) == {0, 1, 2}


@pytest.mark.parametrize("tie", [True, False])
def test_saving_and_loading_gives_the_same_model(tmp_path: Path, tie: bool) -> None:
    model = equipped(0.75, layers=(0, 2), tie=tie)
    model.set_k(4)
    model.save_pretrained(tmp_path)
    again = MFNModel.from_pretrained(tmp_path)
    assert torch.equal(again(ids()).logits, model(ids()).logits)
    assert again.config == model.config
    assert again.fingerprint == model.fingerprint
    assert again.source_key(0) == model.source_key(0) != model.source_key(2)


def test_the_fingerprint_follows_the_weights_not_the_dtype_they_are_loaded_in(tmp_path: Path) -> None:
    model = equipped()
    model.save_pretrained(tmp_path, dtype=torch.float16)
    full, half = (MFNModel.from_pretrained(tmp_path, dtype=t) for t in (torch.float32, torch.bfloat16))
    assert full.fingerprint == half.fingerprint == full.refresh_fingerprint() != model.fingerprint
    with torch.no_grad():
        model.coders[0].b_enc[0] += 1
    assert model.refresh_fingerprint() != full.fingerprint


def _break_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not safetensors")


def _drop_tensor(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mfn.b_enc")
    safetensors.torch.save_file(tensors, folder / "model.safetensors")


def _reshape_tensor(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["model.layers.1.mfn.b_enc"] = torch.zeros(3)
    safetensors.torch.save_file(tensors, folder / "model.safetensors")


def _other_config(**change: object) -> Any:
    def apply(folder: Path) -> None:
        data = json.loads((folder / "config.json").read_text())
        data.update(change)
        (folder / "config.json").write_text(json.dumps(data))

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_break_weights, "is broken"),
        (_drop_tensor, "lacks model.layers.1.mfn.b_enc"),
        (_reshape_tensor, "does not fit"),
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json is broken"),
        (_other_config(model_type="llama"), "holds no MFN model"),
        (_other_config(format_version=99), "format version 99"),
        (_other_config(base_config={"model_type": "nonsense"}), "cannot be understood"),
        (_other_config(mfn={"layers": {"0": {"n_features": 4, "k": 9}}}), "k must lie between"),
        (_other_config(mfn={"layers": {"0": {"n_features": 4, "k": 2, "x": 1}}}), "unknown settings: x"),
    ],
)
def test_a_broken_bundle_says_what_is_wrong(tmp_path: Path, spoil: Any, message: str) -> None:
    equipped().save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(BundleError, match=message) as caught:
        MFNModel.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_equipped_is_refused() -> None:
    with pytest.raises(ConfigError, match="no block 7"):
        MFNModel.equip(plain(), MFNConfig.uniform([7], MFNLayerConfig(8, 2)))
    bloom = BloomForCausalLM(BloomConfig(vocab_size=10, hidden_size=8, n_layer=1, n_head=1))
    with pytest.raises(UnknownFamilyError, match=r"bloom.*known: gemma2.*BloomBlock.*'transformer.h'") as caught:
        MFNModel.equip(bloom, MFNConfig.uniform(1, MFNLayerConfig(8, 2)))
    assert "\n" not in str(caught.value)


def test_text_needs_a_tokenizer() -> None:
    with pytest.raises(ConfigError, match="without a tokenizer"):
        equipped().encode_text("hello")

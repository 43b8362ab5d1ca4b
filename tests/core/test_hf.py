"""Bundles as models of transformers: loading, saving, generating, training, a hub."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    pipeline,
)

from mfn_core import Intervention, MFNConfig, MFNForCausalLM, MFNLayerConfig, MFNModel, MFNPretrainedConfig
from mfn_core.errors import BundleError, ConfigError, UnknownFamilyError
from mfn_core.interventions import EditBuffers

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 8, "pad_token_id": 0}


def loaded(folder: Path, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, **options)


def ids(rows: int = 2, length: int = 7) -> torch.Tensor:
    return torch.randint(3, 60, (rows, length), generator=torch.Generator().manual_seed(1))


def other_family(name: str) -> Any:
    """GPT-2 names its sizes in its own way; Gemma 2 reads settings in the part above the backbone."""
    torch.manual_seed(5)
    if name == "gpt2":
        shape = GPT2Config(
            n_embd=16, n_layer=2, n_head=2, n_positions=32, vocab_size=61, bos_token_id=0, eos_token_id=1
        )
        return GPT2LMHeadModel(shape).eval()
    config = Gemma2Config(
        vocab_size=61,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=32,
        sliding_window=4,
    )
    return Gemma2ForCausalLM(config).eval()


def test_the_auto_classes_load_a_bundle(tiny_bundle: Path, tiny_model: MFNModel) -> None:
    model = loaded(tiny_bundle)
    assert isinstance(model, MFNForCausalLM)
    assert isinstance(model, LlamaForCausalLM)
    assert not model.training
    assert isinstance(model.config, MFNPretrainedConfig)
    assert (model.config.vocab_size, model.config.hidden_size, model.config.model_type) == (300, 32, "mfn")
    assert set(safetensors.torch.load_file(tiny_bundle / "model.safetensors")) <= set(model.state_dict())
    assert list(model.state_dict()) == list(tiny_model.base.state_dict())
    assert torch.equal(model(ids()).logits, tiny_model(ids()).logits)
    assert model.equipped.fingerprint == tiny_model.fingerprint
    tokenizer = AutoTokenizer.from_pretrained(tiny_bundle)
    text = "The café was quiet, <|end|> and 東京都."
    assert tiny_model.tokenizer is not None
    assert tokenizer(text)["input_ids"] == tiny_model.tokenizer(text)["input_ids"]
    assert set(model.equipped.codes("a quiet night")) == {0, 1}


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_other_families_load_save_and_generate_alike(name: str, tmp_path: Path) -> None:
    equipped = MFNModel.equip(other_family(name), MFNConfig({1: MFNLayerConfig(40, 5)}))
    equipped.save_pretrained(tmp_path / "a")
    model = loaded(tmp_path / "a")
    assert torch.equal(model(ids()).logits, equipped(ids()).logits)
    assert torch.equal(model.generate(ids(), **GREEDY), equipped.base.generate(ids(), **GREEDY))
    model.save_pretrained(tmp_path / "b")
    again = MFNModel.from_pretrained(tmp_path / "b")
    assert again.fingerprint == equipped.fingerprint == model.equipped.fingerprint
    assert (again.d_model, model.equipped.d_model, model.equipped.max_context) == (16, 16, 32)


def test_both_sides_write_the_same_files(tiny_bundle: Path, tmp_path: Path) -> None:
    ours, theirs = MFNModel.from_pretrained(tiny_bundle), loaded(tiny_bundle)
    for equipped in (ours, theirs.equipped):
        equipped.set_k(3)
        equipped.set_alpha(0.5)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    names = {path.name for path in (tmp_path / "ours").iterdir()}
    assert names == {path.name for path in (tmp_path / "theirs").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} <= names
    for name in names:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
    again = loaded(tmp_path / "ours")
    assert (again.equipped.coders[0].k, again.equipped.coders[0].alpha) == (3, 0.5)
    assert torch.equal(again(ids()).logits, MFNModel.from_pretrained(tmp_path / "theirs")(ids()).logits)


def test_weights_in_several_files_are_read_and_replaced(tiny_bundle: Path, tmp_path: Path) -> None:
    model = loaded(tiny_bundle)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert not (tmp_path / "model.safetensors").exists()
    ours = MFNModel.from_pretrained(tmp_path)
    assert ours.fingerprint == loaded(tmp_path).equipped.fingerprint == model.equipped.fingerprint
    with torch.no_grad():
        ours.coders[0].b_dec += 1  # type: ignore[operator]
    ours.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]
    assert loaded(tmp_path).equipped.fingerprint == ours.refresh_fingerprint() != model.equipped.fingerprint


def test_generation_is_the_equipped_models(tiny_bundle: Path, tiny_model: MFNModel) -> None:
    model = loaded(tiny_bundle)
    expected = tiny_model.base.generate(ids(), **GREEDY)
    assert torch.equal(model.generate(ids(), **GREEDY), expected)
    assert torch.equal(model.generate(ids(), use_cache=False, **GREEDY), expected)
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), ids()], dim=1)
    mask = torch.ones_like(padded)
    mask[:, :3] = 0
    assert torch.equal(model.generate(padded, attention_mask=mask, **GREEDY)[:, 3:], expected)
    edits = EditBuffers.allocate(model.equipped.n_features, rows=2)
    edits.write(1, [Intervention(0, 5, "set", 9.0)], prompt_length=7)
    with model.equipped.run(edits):
        steered = model.generate(ids(), **GREEDY)
    assert torch.equal(steered[0], expected[0])
    assert not torch.equal(steered[1], expected[1])


def test_a_bundle_without_generation_settings_still_knows_where_a_text_ends(tiny_bundle: Path, tmp_path: Path) -> None:
    MFNModel.from_pretrained(tiny_bundle).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    assert loaded(tmp_path).generation_config.eos_token_id == 0


def test_a_pipeline_writes_text(tiny_bundle: Path, tiny_model: MFNModel) -> None:
    write = pipeline("text-generation", model=loaded(tiny_bundle), tokenizer=AutoTokenizer.from_pretrained(tiny_bundle))
    said = write("The ship", do_sample=False, max_new_tokens=6, return_full_text=False)
    ids_ = tiny_model.encode_text("The ship")[1:]
    expected = tiny_model.base.generate(torch.tensor([ids_]), **{**GREEDY, "max_new_tokens": 6})[0, len(ids_) :]
    assert tiny_model.tokenizer is not None
    assert said[0]["generated_text"] == tiny_model.tokenizer.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("map_", [None, "cpu", "auto", {"": "cpu"}])
@pytest.mark.parametrize(("asked", "stored"), [("auto", torch.bfloat16), (torch.float16, torch.float16)])
def test_dtype_and_device_arguments(tiny_bundle: Path, tmp_path: Path, map_: Any, asked: Any, stored: Any) -> None:
    MFNModel.from_pretrained(tiny_bundle).save_pretrained(tmp_path, dtype=torch.bfloat16)
    model = loaded(tmp_path, dtype=asked, device_map=map_)
    assert {parameter.dtype for parameter in model.parameters()} == {stored}
    assert model(ids()).logits.dtype == stored
    model.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again/config.json").read_text())["dtype"] == str(stored).removeprefix("torch.")


def test_attention_is_chosen_as_ever(tiny_bundle: Path) -> None:
    for wanted in ("eager", "sdpa"):
        model = loaded(tiny_bundle, attn_implementation=wanted)
        assert model.config._attn_implementation == wanted
        assert model.model.config._attn_implementation == wanted
    assert loaded(tiny_bundle).config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    assert model.model.config._attn_implementation == "eager"


def test_training_reaches_the_features_with_and_without_checkpointing(tiny_bundle: Path) -> None:
    model = loaded(tiny_bundle).double().train()
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            # transformers calls it by another name from 5.20 or so on, and warns of the old one.
            name = "activation_checkpointing_enable"
            getattr(model, name if hasattr(model, name) else "gradient_checkpointing_enable")()
        model.zero_grad()
        model(ids(), labels=ids()).loss.backward()
        grads.append(model.model.layers[0].mfn.W_enc.grad.clone())
    assert grads[0].abs().sum() > 0
    torch.testing.assert_close(grads[0], grads[1])


def test_new_models_come_from_a_configuration(tiny_bundle: Path) -> None:
    config = AutoConfig.from_pretrained(tiny_bundle)
    for model in (AutoModelForCausalLM.from_config(config, dtype=torch.float32), MFNForCausalLM(config)):
        assert isinstance(model, LlamaForCausalLM)
        assert model.equipped.n_features == {0: 48, 1: 48}
    other = copy.deepcopy(model)
    with other.equipped.run(record=True) as run:
        model(ids())
        assert not run.traces
        other(ids())
        assert set(run.traces) == {0, 1}
    model.resize_token_embeddings(310)
    assert model.config.vocab_size == 310
    with pytest.raises(ConfigError, match="needs a base_config"):
        MFNPretrainedConfig()
    with pytest.raises(ConfigError, match="format version 9"):
        MFNPretrainedConfig(base_config=config.base_config, format_version=9)
    with pytest.raises(UnknownFamilyError, match="bloom"):
        MFNForCausalLM(MFNPretrainedConfig(base_config={"model_type": "bloom", "n_layer": 1, "hidden_size": 8}))
    with pytest.raises(ConfigError, match="no causal LMs"):
        MFNForCausalLM(MFNPretrainedConfig(base_config={"model_type": "vit"}))


def test_a_configuration_says_what_is_its_own_and_what_the_bases(tiny_bundle: Path) -> None:
    config = AutoConfig.from_pretrained(tiny_bundle)
    assert config.codes == MFNConfig.uniform(2, MFNLayerConfig(48, 6))
    assert config.get_text_config().model_type == "llama"
    assert config.num_hidden_layers == 2
    assert copy.deepcopy(config).to_dict() == config.to_dict()
    assert not hasattr(config, "nonsense")


def _alter(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for name, tensor in change.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_that_do_not_fit_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    MFNModel.from_pretrained(tiny_bundle).save_pretrained(tmp_path)
    _alter(tmp_path, {"model.layers.0.mfn.b_enc": None})
    with pytest.raises(BundleError, match=r"lacks model\.layers\.0\.mfn\.b_enc"):
        loaded(tmp_path)
    _alter(tmp_path, {"model.layers.0.mfn.b_enc": torch.zeros(48), "model.stranger": torch.zeros(1)})
    with pytest.raises(BundleError, match=r"unknown tensor model\.stranger"):
        loaded(tmp_path)


def test_only_safetensors_are_read_and_nothing_is_executed(tiny_bundle: Path, tmp_path: Path) -> None:
    MFNModel.from_pretrained(tiny_bundle).save_pretrained(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text())
    data["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps(data))
    (tmp_path / "evil.py").write_text(
        f"open({str(tmp_path / 'executed')!r}, 'w')\nclass Config: ...\nclass Model: ...\n"
    )
    (tmp_path / "custom_generate").mkdir()
    (tmp_path / "custom_generate/generate.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    assert isinstance(loaded(tmp_path), MFNForCausalLM)
    assert not (tmp_path / "executed").exists()
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        loaded(tmp_path)


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CONFIGURE = "print(AutoConfig.from_pretrained({!r}).codes.layers[0].n_features)"


@pytest.mark.parametrize(
    "order",
    [
        "import mfn_core; from transformers import AutoConfig",
        "from transformers import AutoConfig; import mfn_core",
    ],
)
def test_plain_import_is_enough_in_either_order(tiny_bundle: Path, order: str) -> None:
    assert _python(f"{order}; {CONFIGURE.format(str(tiny_bundle))}") == "48"


@pytest.mark.slow
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "first",
    [
        "from transformers import AutoModelForCausalLM",
        "from transformers import AutoTokenizer",
        "from transformers import LlamaForCausalLM",
        "from transformers import pipeline",
        "import transformers.trainer",
        "import transformers.modeling_layers",
        "import transformers.generation",
        "from mfn_core.hf.modeling import MFNForCausalLM",
        "from mfn_core.hf.configuration import MFNPretrainedConfig",
        "from mfn_core import MFNModel",
        "import mfn_core.bundle",
    ],
)
def test_whatever_is_imported_first_all_registries_know_bundles(tiny_bundle: Path, first: str, last: bool) -> None:
    """Some of these modules are only half loaded when the registries are."""
    both = (first, "import mfn_core")
    code = f"""
{"; ".join(reversed(both) if last else both)}
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
print(type(AutoModelForCausalLM.from_pretrained({str(tiny_bundle)!r})).__name__)
print(len(AutoTokenizer.from_pretrained({str(tiny_bundle)!r})))
"""
    assert _python(code).split() == ["MFNForCausalLM", "300"]

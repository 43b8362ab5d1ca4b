"""`mfn equip` as a whole: a model that somebody else has saved becomes a bundle."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    BloomConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    ViTConfig,
)

from mfn_core import MFNForCausalLM, MFNModel
from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.training.trainer import Trainer
from mfn_server import cli
from tests.conftest import TINY_TEXTS

Mfn = Callable[..., tuple[int, str]]
STORIES = Path(__file__).resolve().parents[3] / "shared" / "models" / "stories260K"


def save(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    fit_tokenizer(TINY_TEXTS, 300).save_pretrained(folder)
    return folder


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
    shape = LlamaConfig(**sizes, vocab_size=300, max_position_embeddings=24, bos_token_id=0, eos_token_id=0)
    model = LlamaForCausalLM(shape)
    model.generation_config.eos_token_id = [0, 5]
    return save(model, tmp_path / "tiny-llama")


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24}
    return save(
        GPT2LMHeadModel(GPT2Config(**sizes, vocab_size=300, bos_token_id=0, eos_token_id=0)), tmp_path / "tiny-gpt2"
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    texts = [f"{text} ({n})" for n in range(6) for text in TINY_TEXTS]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def mfn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Mfn:
    """Runs `mfn equip` in this process, in a folder of its own. Gives the exit code and what it said."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["mfn", "equip", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, capsys.readouterr().err

    return run


def test_a_llama_becomes_a_bundle_with_a_card(mfn: Mfn, llama: Path, corpus: Path, tmp_path: Path) -> None:
    chosen = ("--layers", "0,2", "--features", "4x", "--k", 3, "--tokens", 1536)
    code, said = mfn(llama, *chosen, "--data", corpus, "--out", tmp_path / "run")
    assert code == 0, said
    assert re.search(r"held-out cross-entropy \d\.\d{4}", said)
    model = MFNModel.from_pretrained(tmp_path / "run/model")
    assert {number: coder.n_features for number, coder in model.coders.items()} == {0: 64, 2: 64}
    assert {(layer.k, layer.alpha, layer.config.site) for layer in model.mfn_layers.values()} == {(3, 1.0, "resid_mid")}
    assert model.base.generation_config.eos_token_id == [0, 5]
    before = load_file(llama / "model.safetensors")
    assert not torch.equal(model.base.model.layers[1].mlp.up_proj.weight, before["model.layers.1.mlp.up_proj.weight"])
    card = json.loads((tmp_path / "run/model/card.json").read_text())
    assert card["name"] == "tiny-llama-mfn"
    assert card["data"]["text"]["about"] == "texts.jsonl"
    assert [layer["layer"] for layer in card["layers"]] == [0, 2]
    text = "The harbour was quiet."
    assert model.tokenizer is not None
    assert model.tokenizer(text)["input_ids"] == AutoTokenizer.from_pretrained(llama)(text)["input_ids"]


def test_a_frozen_base_stays_as_it_is(mfn: Mfn, gpt2: Path, corpus: Path, tmp_path: Path) -> None:
    chosen = ("--layers", "all", "--features", 40, "--site", "resid_post", "--freeze", "--tokens", 960)
    code, said = mfn(gpt2, *chosen, "--data", corpus, "--held-out", corpus.rename(tmp_path / "other.jsonl"))
    assert code == 1
    assert "there is no corpus" in said
    corpus.write_text(json.dumps({"text": "Nothing of this was in the other text. " * 20}) + "\n")
    code, said = mfn(gpt2, *chosen, "--data", tmp_path / "other.jsonl", "--held-out", corpus)
    assert code == 0, said
    model: Any = MFNForCausalLM.from_pretrained(tmp_path / "runs/tiny-gpt2-mfn/model", dtype=torch.float32)
    assert {number: coder.config.site for number, coder in model.equipped.coders.items()} == {
        0: "resid_post",
        1: "resid_post",
    }
    for name, tensor in load_file(gpt2 / "model.safetensors").items():
        kept = model.state_dict()[name]
        torch.testing.assert_close(kept, tensor.half().float(), rtol=0, atol=0)


def test_an_interrupted_run_goes_on(
    mfn: Mfn, llama: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (llama, "--layers", 1, "--features", 32, "--k", 2, "--tokens", 1536, "--data", corpus, "--out", "run")
    save_checkpoint = Trainer.save

    def interrupted(trainer: Trainer) -> None:
        save_checkpoint(trainer)
        if trainer.step == 4:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", interrupted)
        code, said = mfn(*command)
    assert code == 130
    assert "The same command goes on" in said
    code, said = mfn(*command)
    assert code == 0, said
    assert "going on from step" in said
    assert MFNModel.from_pretrained(tmp_path / "run/model").n_features == {1: 32}
    for change, message in ((("--k", 3), "another config"), (("--data", llama), "text of another run")):
        code, said = mfn(*command, *change)
        assert code == 1
        assert re.fullmatch(f"Error: .*{message}.*", said.strip().splitlines()[-1]), said


def test_what_cannot_be_equipped_is_one_line(mfn: Mfn, llama: Path, corpus: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        code, said = mfn(*arguments)
        lines = [line for line in said.splitlines() if line.strip() and line != "reading text"]
        assert code == 1, said
        assert len(lines) == 1, said
        assert lines[0].startswith("Error: ")
        assert not (tmp_path / "runs").exists()
        return lines[0]

    def described(config: Any) -> Path:
        config.save_pretrained(tmp_path / config.model_type)
        fit_tokenizer(TINY_TEXTS, 300).save_pretrained(tmp_path / config.model_type)
        return tmp_path / config.model_type

    text = ("--layers", "all", "--data", corpus)
    assert "names block 3; the model has blocks 0 to 2" in refused(llama, "--layers", "1-3", "--data", corpus)
    assert "looks like 0-4,7 or all" in refused(llama, "--layers", "x", "--data", corpus)
    assert "--features looks like" in refused(llama, *text, "--features", "many")
    assert "--k must lie between 1 and the number of features (32)" in refused(
        llama, *text, "--features", "2x", "--k", 99
    )
    assert "--tokens looks like" in refused(llama, *text, "--tokens", "much")
    assert "tokens must be at least" in refused(llama, *text, "--tokens", "3")
    assert "--site must be one of resid_pre" in refused(llama, *text, "--site", "resid_final")
    assert "neither the folder of a model" in refused(tmp_path / "none", *text)
    bloom = described(BloomConfig(n_layer=1, n_head=1, hidden_size=8, vocab_size=300))
    assert "models of type 'bloom' cannot be equipped yet" in refused(bloom, *text)
    neox = described(GPTNeoXConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, vocab_size=300))
    assert "no site resid_mid" in refused(neox, *text)
    assert "is no causal language model" in refused(described(ViTConfig(hidden_size=8)), *text)
    (llama / "config.json").rename(tmp_path / "config.json")
    equipped = json.loads((tmp_path / "config.json").read_text())
    (llama / "config.json").write_text(
        json.dumps({"model_type": "mfn", "format_version": 1, "base_config": equipped, "mfn": {"layers": {}}})
    )
    assert "has layers of features already" in refused(llama, *text)
    (tmp_path / "config.json").rename(llama / "config.json")
    for file in llama.glob("tokenizer*"):
        file.unlink()
    assert "tokenizer" in refused(llama, *text)


def test_missing_text_is_one_line(mfn: Mfn, llama: Path, tmp_path: Path) -> None:
    code, said = mfn(llama, "--layers", "all", "--data", tmp_path / "none.txt", "--tokens", 1536)
    assert code == 1
    assert said.strip().splitlines()[-1].startswith("Error: there is no corpus")
    assert mfn(llama, "--layers", "all")[0] == 2


@pytest.mark.slow
@pytest.mark.skipif(not STORIES.is_dir(), reason="the model of stories is not here")
def test_a_model_that_nobody_here_wrote(mfn: Mfn, tmp_path: Path) -> None:
    """Seventy steps, with every block read from its code at the end: it knows this text better than the base did."""
    names, places = ("Lily", "Tom", "Mia", "Ben"), ("park", "garden", "kitchen", "forest", "shop")
    (tmp_path / "stories.txt").write_text(
        "\n".join(
            f"Once upon a time, {name} went to the {place}. {name} saw a {animal} and said hello. They were friends."
            for name in names
            for place in places
            for animal in ("dog", "cat", "bird", "frog", "bear", "bunny")
        )
    )
    chosen = ("--layers", "0-4", "--tokens", "150k", "--data", tmp_path / "stories.txt", "--out", tmp_path / "run")
    code, said = mfn(STORIES, *chosen)
    assert code == 0, said
    card = json.loads((tmp_path / "run/model/card.json").read_text())
    assert [(layer["layer"], layer["alpha"], layer["l0"]) for layer in card["layers"]] == [
        (n, 1.0, 16.0) for n in range(5)
    ]
    assert card["held_out"]["cross_entropy"] < card["held_out"]["base_cross_entropy"]
    assert MFNModel.from_pretrained(tmp_path / "run/model").n_features == dict.fromkeys(range(5), 1024)

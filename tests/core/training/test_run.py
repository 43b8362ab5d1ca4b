"""Whole runs on a few sentences: they learn, they resume exactly, their numbers are what they say."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.errors import ConfigError, MFNError
from mfn_core.training.checkpoint import load_latest
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import evaluate
from mfn_core.training.run import train
from mfn_core.training.trainer import Metrics, Trainer

SENTENCES = [
    f"The {adjective} {noun} went to the {place}. It was {feeling} there, and it stayed until the evening."
    for adjective in ("old", "young", "quick", "tired")
    for noun in ("fox", "hen", "miller", "sailor", "child")
    for place in ("river", "market", "hill")
    for feeling in ("happy", "cold")
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for split, part in (("train", SENTENCES[:100]), ("valid", SENTENCES[100:])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps({"text": s}) + "\n" for s in part))
    return folder


def config(**change: Any) -> TrainConfig:
    data: dict[str, Any] = {
        "tokens": 24 * 4 * 24,
        "batch": 4,
        "log_every": 1,
        "eval_every": 12,
        "checkpoint_every": 8,
        "optimizer": {"lr": 2e-2, "matrix_lr": 2e-2},
        "model": {"width": 16, "blocks": 2, "heads": 2, "mlp": 24, "context": 24, "vocabulary": 300},
        "mfn": {"layers": [0, 1], "n_features": 64, "k": 4, "k_first": 8, "auxk_k": 8, "dead_after": 300},
        "data": {
            "tokenizer_characters": 20_000,
            "valid_tokens": 480,
            "sources": {
                "sentences": {"share": 0.8, "train": "train.jsonl", "valid": "valid.jsonl"},
                "structured": {"share": 0.2},
            },
        },
    }
    data.update(change)
    return TrainConfig.from_json(data)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lines(folder: Path) -> list[Metrics]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("tokens_per_second", None)
    return rows


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.base.state_dict().items()}


def test_a_run_learns_and_ends_with_every_stream_replaced(tmp_path: Path, corpus: Path) -> None:
    trainer = train(config(), tmp_path / "run", corpus)
    steps = [row for row in lines(tmp_path / "run") if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 25))
    assert steps[-1]["utility"] < steps[0]["utility"] - 0.5
    assert (steps[0]["alpha"], steps[-1]["alpha"]) == (0.0, 1.0)
    assert (steps[0]["k"], steps[-1]["k"]) == (8, 4)
    assert any(share > 0 for row in steps for share in row["dead"].values())
    for layer in trainer.model.coders.values():
        torch.testing.assert_close(layer.W_dec.norm(dim=-1), torch.ones(64))
    recipe = json.loads((tmp_path / "run/data/recipe.json").read_text())
    assert recipe["train"]["sentences"]["documents"] > 0
    assert set(json.loads((tmp_path / "run/environment.json").read_text())) >= {"commit", "torch"}


@pytest.mark.parametrize("autocast", ["none", "bf16"])
@pytest.mark.parametrize(("stop", "number"), [(12, signal.SIGINT), (13, signal.SIGTERM)])
def test_resuming_is_bit_identical_to_not_having_stopped(
    tmp_path: Path, corpus: Path, autocast: str, stop: int, number: signal.Signals
) -> None:
    whole = train(config(autocast=autocast), tmp_path / "whole", corpus)

    def interrupt(metrics: Metrics) -> None:
        if metrics["step"] == stop:
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        train(config(autocast=autocast), tmp_path / "cut", corpus, interrupt)
    assert lines(tmp_path / "cut")[-1]["step"] == stop
    with (tmp_path / "cut/metrics.jsonl").open("a") as log:
        log.write('{"step": 1')  # a line that a crash cut off
    resumed = train(config(autocast=autocast), tmp_path / "cut", corpus)
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    mine, theirs = weights(resumed), weights(whole)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_after_a_crash_the_steps_since_the_last_checkpoint_are_done_again(tmp_path: Path, corpus: Path) -> None:
    whole = train(config(), tmp_path / "whole", corpus)

    def crash(metrics: Metrics) -> None:
        if metrics["step"] == 14:
            raise MemoryError  # not an interrupt: nothing is saved on the way out

    with pytest.raises(MemoryError):
        train(config(), tmp_path / "cut", corpus, crash)
    found = load_latest(tmp_path / "cut/checkpoints")
    assert found is not None
    assert found.step == 8
    (tmp_path / "cut/checkpoints/.draft-1").mkdir()  # what a kill in mid-write leaves behind
    resumed = train(config(), tmp_path / "cut", corpus)
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed).values(), weights(whole).values(), strict=True))


def test_a_folder_belongs_to_one_config(tmp_path: Path, corpus: Path) -> None:
    train(config(), tmp_path / "run", corpus)
    with pytest.raises(ConfigError, match="another config"):
        train(config(seed=1), tmp_path / "run", corpus)


def test_a_broken_checkpoint_is_named(tmp_path: Path, corpus: Path) -> None:
    train(config(), tmp_path / "run", corpus)
    newest = sorted((tmp_path / "run/checkpoints").iterdir())[-1]
    (newest / "tensors.safetensors").write_bytes(b"?")
    with pytest.raises(MFNError, match=newest.name):
        train(config(), tmp_path / "run", corpus)


def test_the_twins_share_their_first_weights_and_their_text(tmp_path: Path, corpus: Path) -> None:
    from mfn_core.training.building import new_model

    equipped = train(config(), tmp_path / "mfn", corpus)
    dense_config = config(mfn={"layers": []})
    dense = train(dense_config, tmp_path / "dense", corpus)
    np.testing.assert_array_equal(equipped.batches.take(5), dense.batches.take(5))
    assert not dense.model.coders
    fresh = new_model(config(), equipped.model.tokenizer).base.state_dict()
    for name, tensor in new_model(dense_config, dense.model.tokenizer).base.state_dict().items():
        assert torch.equal(tensor, fresh[name]), name


def test_evaluation_is_its_definition() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    base = LlamaForCausalLM(LlamaConfig(vocab_size=31, max_position_embeddings=12, **shape)).double()
    model = MFNModel.equip(base, MFNConfig.uniform(2, MFNLayerConfig(40, 5)))
    rows = np.random.default_rng(0).integers(1, 31, (7, 12)).astype(np.uint16)
    rows[:, 0] = 0
    score = evaluate(model, rows, batch=3)
    ids = torch.from_numpy(rows.astype(np.int64))
    with torch.inference_mode():
        out = model(ids, record=True)
    expected = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert score.loss == pytest.approx(float(expected), rel=1e-6)
    trace = out.traces[1]
    assert trace.x_hat is not None
    x, x_hat, scale = trace.x[:, 1:].flatten(0, 1), trace.x_hat[:, 1:].flatten(0, 1), trace.scale[:, 1:].flatten(0, 1)
    h = x * scale
    assert score.layers[1].fvu == pytest.approx(float((x - x_hat).square().sum() / (x - x.mean(0)).square().sum()))
    wrong = (h - x_hat * scale).square().sum() / (h - h.mean(0)).square().sum()
    assert score.layers[1].fvu_stream == pytest.approx(float(wrong))
    codes = trace.codes.dense()[:, 1:].flatten(0, 1)
    assert score.layers[1].l0 == pytest.approx(float((codes > 0).sum(-1).double().mean()))
    assert score.layers[1].dead == pytest.approx(float((codes > 0).any(0).logical_not().double().mean()))

"""Whole runs on a few sentences: they learn, they resume exactly, their numbers are what they say."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.errors import ConfigError, MFNError
from mfn_core.training.building import new_model
from mfn_core.training.checkpoint import load_latest
from mfn_core.training.evaluate import evaluate
from mfn_core.training.metrics import Metrics
from mfn_core.training.run import train

from .conftest import lines, same_weights, small

Folders = Callable[[str], Path]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, prepared: Path, corpus: Path) -> Callable[[str], Any]:
    """Uninterrupted runs by precision: the folder and the trainer."""
    done: dict[str, Any] = {}

    def run(autocast: str = "none") -> Any:
        if autocast not in done:
            folder = tmp_path_factory.mktemp(autocast)
            shutil.copytree(prepared, folder / "data")
            done[autocast] = folder, train(small(autocast=autocast), folder, corpus)
        return done[autocast]

    return run


def test_a_run_learns_and_ends_with_every_stream_replaced(whole: Any) -> None:
    folder, trainer = whole()
    steps = [row for row in lines(folder) if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 25))
    assert steps[-1]["utility"] < steps[0]["utility"] - 0.5
    assert (steps[0]["alpha"], steps[-1]["alpha"]) == (0.0, 1.0)
    assert (steps[0]["k"], steps[-1]["k"]) == (8, 4)
    assert any(share > 0 for row in steps for share in row["dead"].values())
    for layer in trainer.model.coders.values():
        torch.testing.assert_close(layer.W_dec.norm(dim=-1), torch.ones(64))
    recipe = json.loads((folder / "data/recipe.json").read_text())
    assert recipe["train"]["sentences"]["documents"] > 0
    assert set(json.loads((folder / "environment.json").read_text())) >= {"commit", "torch"}


@pytest.mark.parametrize(
    ("autocast", "stop", "number"),
    [("none", 13, signal.SIGINT), ("bf16", 12, signal.SIGTERM)],
)
def test_resuming_is_bit_identical_to_not_having_stopped(
    run_folder: Folders, corpus: Path, whole: Any, autocast: str, stop: int, number: signal.Signals
) -> None:
    def interrupt(metrics: Metrics) -> None:
        if metrics["step"] == stop:
            signal.raise_signal(number)

    cut, config = run_folder("cut"), small(autocast=autocast)
    with pytest.raises(KeyboardInterrupt):
        train(config, cut, corpus, interrupt)
    assert lines(cut)[-1]["step"] == stop
    with (cut / "metrics.jsonl").open("a") as log:
        log.write('{"step": 1')  # a line that a crash cut off
    resumed = train(config, cut, corpus)
    folder, uncut = whole(autocast)
    assert lines(cut) == lines(folder)
    assert same_weights(resumed.model, uncut.model)


def test_after_a_crash_the_steps_since_the_last_checkpoint_are_done_again(
    run_folder: Folders, corpus: Path, whole: Any
) -> None:
    def crash(metrics: Metrics) -> None:
        if metrics["step"] == 14:
            raise MemoryError  # not an interrupt: nothing is saved on the way out

    cut = run_folder("cut")
    with pytest.raises(MemoryError):
        train(small(), cut, corpus, crash)
    found = load_latest(cut / "checkpoints")
    assert found is not None
    assert found.step == 8
    (cut / "checkpoints/.draft-1").mkdir()  # what a kill in mid-write leaves behind
    resumed = train(small(), cut, corpus)
    folder, uncut = whole()
    assert lines(cut) == lines(folder)
    assert same_weights(resumed.model, uncut.model)


def test_a_folder_belongs_to_one_config_but_may_move_to_another_machine(
    run_folder: Folders, corpus: Path, whole: Any, tmp_path: Path
) -> None:
    folder = run_folder("run")
    shutil.copytree(whole()[0], folder, dirs_exist_ok=True)
    with pytest.raises(ConfigError, match="another config"):
        train(small(seed=1), folder, corpus)
    again = train(small(machine={"accumulate": 2}), folder, corpus)  # at its last step already
    assert same_weights(again.model, whole()[1].model)


def test_a_broken_checkpoint_is_named(run_folder: Folders, corpus: Path, whole: Any) -> None:
    folder = run_folder("run")
    shutil.copytree(whole()[0], folder, dirs_exist_ok=True)
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    (newest / "tensors.safetensors").write_bytes(b"?")
    with pytest.raises(MFNError, match=newest.name):
        train(small(), folder, corpus)


def test_the_twins_share_their_first_weights_and_their_text(tmp_path: Path, corpus: Path, whole: Any) -> None:
    equipped = whole()[1]
    config = small(mfn={"layers": []})
    dense = train(config, tmp_path / "dense", corpus)
    np.testing.assert_array_equal(equipped.batches.take(5), dense.batches.take(5))
    assert not dense.model.coders
    fresh = new_model(small(), equipped.model.tokenizer).base.state_dict()
    for name, tensor in new_model(config, dense.model.tokenizer).base.state_dict().items():
        assert torch.equal(tensor, fresh[name]), name


def test_a_loss_that_is_no_number_ends_the_run(run_folder: Folders, corpus: Path) -> None:
    config = small(optimizer={"lr": 1e30, "matrix_lr": 1e30, "warmup": 0.0}, machine={"tensorboard": False})
    with pytest.raises(MFNError, match="lower the learning rates"):
        train(config, run_folder("run"), corpus)


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


def test_seeds_may_share_their_text_and_take_it_in_orders_of_their_own(
    run_folder: Folders, tmp_path: Path, corpus: Path
) -> None:
    one, two = (train(small(tokens=480, seed=seed, data={"seed": 0}), tmp_path / str(seed), corpus) for seed in (0, 1))
    data = [tmp_path / str(seed) / "data" for seed in (0, 1)]
    for name in ("train.npy", "valid.npy", "tokenizer/tokenizer.json"):
        assert (data[0] / name).read_bytes() == (data[1] / name).read_bytes()
    packed = np.load(data[0] / "train.npy")
    assert np.array_equal(one.batches.take(1), packed[4:8])
    taken = np.concatenate([two.batches.take(step) for step in range(5)])
    assert not np.array_equal(taken, packed[:20])
    assert sorted(taken.tolist()) == sorted(packed.tolist())
    assert not same_weights(one.model, two.model)

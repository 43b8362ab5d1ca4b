"""Layers that enter a Transformer already trained, and runs that share what comes before."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mfn_core.errors import ConfigError
from mfn_core.training.checkpoint import load_latest
from mfn_core.training.config import TrainConfig
from mfn_core.training.export import export
from mfn_core.training.metrics import Metrics
from mfn_core.training.run import train
from mfn_core.training.trainer import DENSE

from .conftest import lines, same_weights, small

Folders = Callable[[str], Path]
ENTER = {"enter": 0.5, "alpha_from": 0.0, "alpha_until": 0.5}


def late(**change: Any) -> TrainConfig:
    """24 steps; layers enter after the twelfth."""
    change["mfn"] = {**ENTER, **change.get("mfn", {})}
    return small(optimizer={"hold": 0.5, "settle": 0.5, "settled": 0.5, "lr": 2e-2, "matrix_lr": 2e-2}, **change)


def dense(**change: Any) -> TrainConfig:
    return late(mfn={"layers": [], **change})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, prepared: Path, corpus: Path) -> dict[str, tuple[Path, Any]]:
    """A run whose layers enter late, and its dense twin, each from the first step on."""
    out = {}
    for name, config in (("late", late()), ("dense", dense())):
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(prepared, folder / "data")
        out[name] = folder, train(config, folder, corpus)
    return out


def test_before_layers_enter_a_run_is_its_dense_twin_bit_for_bit(whole: Any) -> None:
    mine, twin = (lines(whole[name][0]) for name in ("late", "dense"))
    first = [row for row in mine if row["step"] <= 12 and "loss" in row]
    assert [row["loss"] for row in first] == [row["loss"] for row in twin if row["step"] <= 12 and "loss" in row]
    assert not any("alpha" in row or "fvu" in row for row in first)
    later = [row for row in mine if row["step"] > 12 and "loss" in row]
    assert (later[0]["alpha"], later[-1]["alpha"]) == (0.0, 1.0)
    assert later[0]["loss"] != next(row for row in twin if row["step"] == 13)["loss"]


def test_layers_enter_at_what_passes_through_them(whole: Any) -> None:
    rows = [row for row in lines(whole["late"][0]) if "fvu" in row]
    assert all(fvu < 1.0 for fvu in rows[0]["fvu"].values())
    assert rows[-1]["utility"] < rows[0]["utility"] + 0.5


@pytest.mark.parametrize("stop", [12, 13])
def test_resuming_where_layers_enter_is_bit_identical(run_folder: Folders, corpus: Path, whole: Any, stop: int) -> None:
    def interrupt(metrics: Metrics) -> None:
        if metrics["step"] == stop and "loss" in metrics:
            signal.raise_signal(signal.SIGINT)

    cut = run_folder("cut")
    with pytest.raises(KeyboardInterrupt):
        train(late(), cut, corpus, interrupt)
    resumed = train(late(), cut, corpus)
    folder, uncut = whole["late"]
    assert lines(cut) == lines(folder)
    assert same_weights(resumed.model, uncut.model)


@pytest.mark.parametrize(("name", "source"), [("dense", "late"), ("late", "late")])
def test_a_branch_is_the_run_from_its_first_step_bit_for_bit(
    tmp_path: Path, corpus: Path, whole: Any, name: str, source: str
) -> None:
    config = dense() if name == "dense" else late()
    trainer = train(config, tmp_path / "run", corpus, begin=whole[source][0])
    folder, reference = whole[name]
    assert same_weights(trainer.model, reference.model)
    assert [row["loss"] for row in lines(tmp_path / "run") if "loss" in row] == [
        row["loss"] for row in lines(folder) if "loss" in row
    ]


def test_a_model_may_go_on_from_its_twin_cut_short(
    run_folder: Folders, tmp_path: Path, corpus: Path, whole: Any
) -> None:
    def interrupt(metrics: Metrics) -> None:
        if metrics["step"] == 12 and "loss" in metrics:
            signal.raise_signal(signal.SIGINT)

    twin = run_folder("twin")
    with pytest.raises(KeyboardInterrupt):
        train(dense(), twin, corpus, interrupt)
    said: list[str] = []
    trainer = train(late(), tmp_path / "run", corpus, note=said.append, begin=twin)
    assert said[0] == f"the first 12 steps are those of {twin}"
    assert same_weights(trainer.model, whole["late"][1].model)
    curves = export(tmp_path / "run", tmp_path / "model")["curves"]["training"]
    assert curves["gradient_norm"]["features"][:2] == [None, None], "which the twin's log does not have"
    again = train(late(), tmp_path / "run", corpus, begin=tmp_path / "nowhere")  # not looked at any more
    assert again.step == 24


def test_the_mean_of_weights_branches_too(run_folder: Folders, tmp_path: Path, corpus: Path) -> None:
    folder = run_folder("late")
    train(late(ema=0.9), folder, corpus)
    branched = train(TrainConfig.from_json({**dense().to_json(), "ema": 0.9}), tmp_path / "run", corpus, begin=folder)
    straight = train(TrainConfig.from_json({**dense().to_json(), "ema": 0.9}), run_folder("dense"), corpus)
    assert branched.average is not None
    assert straight.average is not None
    assert branched.average.mean.keys() == straight.average.mean.keys()
    assert all(torch.equal(branched.average.mean[name], value) for name, value in straight.average.mean.items())


def test_a_dense_twin_may_have_token_tables_from_where_layers_enter(
    run_folder: Folders, tmp_path: Path, corpus: Path, whole: Any
) -> None:
    config = dense(tables=[0, 1])
    straight = train(config, run_folder("straight"), corpus)
    losses = [row["loss"] for row in lines(tmp_path / "straight") if "loss" in row]
    bare = [row["loss"] for row in lines(whole["dense"][0]) if "loss" in row]
    assert losses[:14] == bare[:14]  # a table is zero at first, and its first rate is 0
    assert losses[14:] != bare[14:]
    assert all(coder.T.abs().max() > 0 for coder in straight.model.coders.values())
    branched = train(config, tmp_path / "run", corpus, begin=whole["late"][0])
    assert same_weights(branched.model, straight.model)


def test_where_nothing_learns_from_the_next_token_the_transformer_stays_what_it_was(
    tmp_path: Path, corpus: Path, whole: Any
) -> None:
    trainer = train(late(mfn={"utility": "none"}), tmp_path / "run", corpus, begin=whole["late"][0])
    found = load_latest(whole["late"][0] / DENSE)
    assert found is not None
    before, moved = found.part("model"), trainer.model.base.state_dict()
    features = {name for name in moved if ".mfn." in name}
    assert all(torch.equal(moved[name], before[name]) for name in moved.keys() - features)
    assert not any(torch.equal(moved[name], before[name]) for name in features)


def test_layers_of_another_size_may_enter(run_folder: Folders, tmp_path: Path, corpus: Path, whole: Any) -> None:
    config = late(mfn={"layers": [1], "n_features": 32, "token_lookup": True})
    straight = train(config, run_folder("straight"), corpus)
    branched = train(config, tmp_path / "run", corpus, begin=whole["late"][0])
    assert same_weights(branched.model, straight.model)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (late(seed=1), "differs in more than its layers"),
        (late(mfn={"enter": 0.25, "layers": [0, 1]}), "stands at step 12, and this run's layers enter at step 6"),
    ],
)
def test_what_cannot_be_gone_on_from(
    tmp_path: Path, corpus: Path, whole: Any, config: TrainConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run", corpus, begin=whole["late"][0])


def test_no_run_and_a_run_without_a_beginning_are_refused(
    run_folder: Folders, tmp_path: Path, corpus: Path, whole: Any
) -> None:
    with pytest.raises(ConfigError, match="not the folder of a training run"):
        train(late(), tmp_path / "run", corpus, begin=tmp_path / "nowhere")
    started = run_folder("started")
    (started / "config.json").write_text(
        json.dumps(
            small(optimizer={"hold": 0.5, "settle": 0.5, "settled": 0.5, "lr": 2e-2, "matrix_lr": 2e-2}).to_json()
        )
    )
    with pytest.raises(ConfigError, match="nothing from before layers"):
        train(late(), tmp_path / "run", corpus, begin=started)

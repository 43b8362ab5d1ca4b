"""A tiny grid from its file to its report: interrupted, taken up again, never trained twice."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfn_core.ablations.grid import Grid, load_grid
from mfn_core.ablations.measure import Figures, forward_flops, held_out_competition, read_figures, unigram_cost
from mfn_core.ablations.plan import check_folders, plan
from mfn_core.ablations.report import document, gather
from mfn_core.ablations.runner import Runner
from mfn_core.errors import ConfigError
from mfn_core.evidence.document import Document
from mfn_core.training.checkpoint import newest_step
from mfn_core.training.export import load_run
from mfn_core.training.log import read_metrics

from .conftest import GRID, written


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, grid: Grid, text: Path) -> Path:
    """The grid trained to its end, after it was interrupted while the first run was at it."""
    folder = tmp_path_factory.mktemp("out")
    planned = plan(grid)
    seen: list[str] = []

    def interrupt(what: str, share: float | None) -> None:
        seen.append(what)
        if read_metrics(folder / "full-s0" / "metrics.jsonl"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Runner(planned, folder, text).run(1, interrupt)
    stopped = newest_step(folder / "full-s0" / "checkpoints")
    assert stopped is not None
    assert 0 < stopped < planned[0].config.steps
    assert any("full-s0 at step" in what for what in seen)
    assert Runner(planned, folder, text).run(2) == {}
    assert f"going on from step {stopped} of" in (folder / "full-s0.log").read_text()
    return folder


@pytest.fixture(scope="module")
def figures(out: Path, grid: Grid) -> dict[str, Figures]:
    found = {each.name: read_figures(out / each.name, each.config) for each in plan(grid)}
    return {name: each for name, each in found.items() if each is not None}


def test_all_runs_are_finished_and_share_their_beginning(out: Path, figures: dict[str, Figures]) -> None:
    assert set(figures) == {"full-s0", "dense-s0", "no-rate-s0", "full-s1"}
    assert all(found.step == 120 for found in figures.values())
    assert len({found.held_out for found in figures.values()}) == 1
    logs = {name: [r for r in read_metrics(out / name / "metrics.jsonl") if "loss" in r] for name in figures}
    for rows in logs.values():
        assert [row["step"] for row in rows] == list(range(1, 121))  # nothing done twice
    first = [[row["loss"] for row in logs[name][:30]] for name in figures]
    assert first[0] == first[1] == first[2] != first[3]
    assert "rate" in logs["full-s0"][-1]
    assert "rate" not in logs["no-rate-s0"][-1]
    for name in ("dense-s0", "no-rate-s0"):
        assert "the first 30 steps are those of" in (out / f"{name}.log").read_text()


def test_what_is_finished_is_not_trained_again(
    out: Path, grid: Grid, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*args: Any, **settings: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", no)
    assert Runner(plan(grid), out, text).run(2) == {}


def test_a_run_with_other_settings_is_refused(out: Path, tmp_path: Path) -> None:
    changed = plan(load_grid(written(tmp_path, GRID.replace("mfn.rate = 0.5", "mfn.rate = 0.25"))))
    with pytest.raises(ConfigError, match=r"full-s0 was trained with other settings \(mfn.rate 0.5, now 0.25\)"):
        check_folders(changed, out)


def test_the_report_has_the_numbers_of_the_runs(out: Path, grid: Grid, figures: dict[str, Figures]) -> None:
    found = document(gather(grid, plan(grid), out))
    found.write(out / "ablations.json")
    assert Document.read(out / "ablations.json").to_json() == found.to_json()
    last = {
        name: next(r["valid"] for r in reversed(read_metrics(out / name / "metrics.jsonl")) if "valid" in r)
        for name in figures
    }
    tables = {table.key: {(row.get("run"), row.get("seed")): row for row in table.rows} for table in found.tables}
    for name, valid in last.items():
        run, seed = name.split("-s")
        row = tables["all/seeds"][(run, int(seed))]
        assert row["loss"] == valid["loss"]
        if seed == "0":
            assert row["above"] == valid["loss"] - last["dense-s0"]["loss"]
        for layer in valid["layers"].values():
            assert row["l0"] == pytest.approx(layer["l0"], abs=0.2)  # that leaves other first tokens out
    full = tables["all/runs"][("full", None)]
    assert full["loss"] == pytest.approx((last["full-s0"]["loss"] + last["full-s1"]["loss"]) / 2)
    assert full["loss_low"] < full["loss"] < full["loss_high"]
    earned, price = found.checks
    assert earned.status != "not measured"
    assert price.status == "not measured"  # one dense twin says nothing of the noise above it
    assert {figure.key for figure in found.figures} == {"losses/figure"}  # nothing varies K
    drawn = found.figures[0].figure["data"]
    assert [trace["x"] for trace in drawn] == [["full", "no-rate"]] * 6
    assert "all/missing" not in tables


def test_held_out_competition_against_its_formula(out: Path) -> None:
    saved = load_run(out / "full-s0")
    rows = np.asarray(saved.valid)[:4]
    found = held_out_competition(saved.model, rows, saved.start)
    ids = torch.from_numpy(rows.astype(np.int64))
    with torch.no_grad():
        traces = saved.model(ids, record=True).traces
    for number, trace in traces.items():
        z = trace.raw_codes.dense().double()
        keep = ids != saved.start
        power = z[keep].square().mean(0)
        chosen = z[:, ::4][keep[:, ::4]] / power.clamp(min=float(power.mean()) * 1e-4).sqrt()
        total = 0.0
        for t, u in ((t, u) for t in range(len(chosen)) for u in range(len(chosen)) if t != u):
            together = chosen[t] * chosen[u]
            total += float(together.sum() ** 2 - together.square().sum())
        expected = total / (z.shape[-1] * len(chosen) * (len(chosen) - 1))
        assert found[number] == pytest.approx(expected, rel=1e-4)


def test_unigrams_and_operations(out: Path) -> None:
    train = np.array([[0, 1, 1, 1], [0, 2, 1, 1]], dtype=np.uint16)  # counts 2, 5, 1, and one more of each
    assert unigram_cost(train, np.array([[0, 1, 2]]), 3) == pytest.approx(-(np.log(6 / 11) + np.log(2 / 11)) / 2)
    full, dense = (load_run(out / name).model for name in ("full-s0", "dense-s0"))
    encoders, decoders = 2 * (2 * 16 * 64), 2 * (2 * 4 * 16)
    assert forward_flops(full, 24) - forward_flops(dense, 24) == encoders + decoders
    blocks = 2 * 2 * (4 * 16 * 16 + 3 * 16 * 24)
    assert forward_flops(dense, 24) >= blocks + 2 * 16 * dense.vocab_size


def test_a_run_that_fails_says_why(tmp_path: Path, grid: Grid) -> None:
    planned = plan(grid)[:1]
    failed = Runner(planned, tmp_path / "out", tmp_path).run(1)
    assert list(failed) == ["full-s0"]
    assert "train.jsonl" in failed["full-s0"]
    (tmp_path / "out" / "full-s0" / "figures.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(ConfigError, match="no run of the grid is finished"):
        document(gather(grid, planned, tmp_path / "out", failed))

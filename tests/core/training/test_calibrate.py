"""New layers begin where their inputs are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from mfn_core.losses import Reconstruction
from mfn_core.model import MFNModel
from mfn_core.training.batches import PackedRows
from mfn_core.training.building import new_model
from mfn_core.training.calibrate import calibrate
from mfn_core.training.prepare import open_batches
from mfn_core.training.run import train

from .conftest import same_weights, small


@pytest.fixture
def rows(prepared: Path) -> Any:
    return np.load(prepared / "train.npy")


def fresh(prepared: Path, **change: Any) -> MFNModel:
    return new_model(small(**change), PreTrainedTokenizerFast.from_pretrained(prepared / "tokenizer")).double()


def traces(model: MFNModel, rows: Any) -> tuple[Any, torch.Tensor]:
    ids = torch.from_numpy(rows.astype(np.int64))
    model.set_alpha(0.0)
    return model(ids, branch="train").traces, ids != 0


def test_bias_is_the_mean_and_no_other_length_of_the_encoder_rebuilds_better(prepared: Path, rows: Any) -> None:
    model = fresh(prepared)
    before = {n: layer.W_enc.detach().clone() for n, layer in model.mfn_layers.items()}
    was = {n: Reconstruction()(t, traces(model, rows[:8])[1]) for n, t in traces(model, rows[:8])[0].items()}
    model.set_alpha(0.25)
    calibrate(model, rows[:8], 0)
    assert {layer.alpha for layer in model.mfn_layers.values()} == {0.25}
    seen, keep = traces(model, rows[:8])
    for number, layer in model.mfn_layers.items():
        torch.testing.assert_close(layer.b_dec, seen[number].x[keep].mean(0))
        factor = layer.W_enc / before[number]
        torch.testing.assert_close(factor, factor.mean().expand_as(factor))
        best = Reconstruction()(seen[number], keep)
        assert best < 0.9 * was[number]
        for other in (0.9, 1.1):
            with torch.no_grad():
                layer.W_enc.mul_(other)
            assert Reconstruction()(traces(model, rows[:8])[0][number], keep) > best
            with torch.no_grad():
                layer.W_enc.div_(other)


def test_a_model_without_layers_is_left_alone(prepared: Path, rows: Any) -> None:
    mine, theirs = (fresh(prepared, mfn={"layers": []}) for _ in range(2))
    calibrate(mine, rows[:4], 0)
    assert same_weights(mine, theirs)


def test_runs_begin_calibrated_unless_they_are_told_not_to(
    run_folder: Callable[[str], Path], prepared: Path, corpus: Path
) -> None:
    still = {"optimizer": {"lr": 1e-30, "matrix_lr": 1e-30, "mfn_lr": 1e-30}}
    models = {
        calibrated: train(small(mfn={"calibrate": calibrated}, **still), run_folder(str(calibrated)), corpus).model
        for calibrated in (True, False)
    }
    tokenizer = PreTrainedTokenizerFast.from_pretrained(prepared / "tokenizer")
    for model in models.values():
        model.set_alpha(1.0)
    new = new_model(small(), tokenizer)
    assert torch.allclose(models[False].mfn_layers[1].b_dec, new.mfn_layers[1].b_dec)
    assert models[True].mfn_layers[1].b_dec.abs().max() > 0.01


def test_a_preview_takes_nothing(prepared: Path, corpus: Path, rows: Any, tmp_path: Path) -> None:
    packed = PackedRows(rows, 4)
    assert np.array_equal(packed.preview(6), rows[:6])
    tokenizer = PreTrainedTokenizerFast.from_pretrained(prepared / "tokenizer")
    stream, untouched = (
        open_batches(small(data={"stream": True, "buffer": 8}), prepared, corpus, tokenizer) for _ in range(2)
    )
    seen = stream.preview(6)
    first = [stream.take(step) for step in range(3)]
    assert np.array_equal(np.concatenate(first)[:6], seen)
    assert all(np.array_equal(a, untouched.take(step)) for step, a in enumerate(first))

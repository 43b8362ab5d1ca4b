"""`mfn train` as a whole, on a few sentences."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mfn_core import MFNModel
from mfn_core.training.trainer import Trainer
from mfn_server.cli import main
from mfn_server.training import figures_of, run_training, time_left

CONFIG = """
name = "tiny"
tokens = 480
batch = 4
log_every = 2
eval_every = 5
checkpoint_every = 5
model = { width = 16, blocks = 2, heads = 2, mlp = 24, context = 12, vocabulary = 270 }
mfn = { layers = [0], n_features = 32, k = 4, k_first = 4 }
[machine]
tensorboard = false
[data]
tokenizer_characters = 20_000
valid_tokens = 96
deduplicate = false
[data.sources]
sentences = { share = 1.0, train = "s.jsonl", valid = "s.jsonl" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    (tmp_path / "s.jsonl").write_text("".join(json.dumps({"text": f"Line {n} of the text."}) + "\n" for n in range(20)))
    return tmp_path


def test_a_run_ends_with_a_model_and_an_interrupted_one_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (folder / "tiny.toml", ["seed=3"], folder / "run", folder)
    said = io.StringIO()
    step = Trainer._train_step

    def interrupted(trainer: Trainer) -> dict[str, object]:
        if trainer.step == 6:
            signal.raise_signal(signal.SIGINT)
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_training(*arguments, Console(file=said, width=200))
    assert "The same command goes on" in said.getvalue()
    assert not (folder / "run/model").exists()

    said = io.StringIO()
    run_training(*arguments, Console(file=said, width=200))
    assert "going on from step 7 of 10" in said.getvalue()
    assert "step 10: held-out cross-entropy" in said.getvalue()
    assert re.search(r"step 10 of 10, 0:00:00 left: loss \d\.\d{3}  [\d,]+ tokens/s  α 1.00", said.getvalue())
    model = MFNModel.from_pretrained(folder / "run/model")
    assert (model.coders[0].alpha, model.coders[0].k) == (1.0, 4)


def test_figures_fit_a_line() -> None:
    plain = {"step": 3, "loss": 2.6, "utility": 2.5, "tokens_per_second": 1234.5}
    assert figures_of(plain) == "loss 2.500  1,234 tokens/s"
    full = plain | {"alpha": 0.5, "fvu": {0: 0.1, 1: 0.3}, "dead": {0: 0.0, 1: 0.04}}
    assert figures_of(full).endswith("α 0.50  FVU ≤ 0.30  dead ≤ 4%")
    assert figures_of({"step": 3, "loss": 0.5, "tokens_per_second": 10.0}) == "loss 0.500  10 tokens/s"


def test_the_time_left_is_that_of_the_tokens_left() -> None:
    assert time_left({"step": 10, "tokens": 1000, "tokens_per_second": 2.0}, 20) == "0:08:20"


def test_the_command_replaces_settings_and_says_what_is_wrong_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for settings, code in ((["mfn.kk=3"], 1), (["name=other", "tokens=96"], 0)):
        arguments = [part for setting in settings for part in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", ["mfn", "train", "tiny.toml", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert ended.value.code == code, said
        if code:
            assert said.startswith("Error: unknown setting mfn.kk; ")
            assert said.count("\n") == 1
    assert "step 2 of 2" in said
    assert json.loads((folder / "runs/other/config.json").read_text())["tokens"] == 96

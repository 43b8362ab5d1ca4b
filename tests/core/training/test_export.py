"""From a run to a bundle: its weights, its figures, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mfn_core import MFNModel
from mfn_core.errors import MFNError
from mfn_core.training.card.__main__ import main as add_to_card
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import evaluate
from mfn_core.training.export import export, load_run, main
from mfn_core.training.run import train
from scripts.seeds import main as compare_seeds

TEXTS = [f"The {a} {b} sat by the {c}." for a in ("red", "old", "sly") for b in ("fox", "hen") for c in ("sea", "road")]


def config(name: str, layers: list[int], seed: int = 0) -> TrainConfig:
    return TrainConfig.from_json(
        {
            "name": name,
            "description": "A test | of cards.",
            "seed": seed,
            "tokens": 10 * 4 * 16,
            "batch": 4,
            "log_every": 2,
            "eval_every": 5,
            "checkpoint_every": 5,
            "model": {"width": 16, "blocks": 2, "heads": 2, "mlp": 24, "context": 16, "vocabulary": 280},
            "mfn": {"layers": layers, "n_features": 48, "k": 4, "k_first": 8, "dead_after": 200},
            "data": {
                "tokenizer_characters": 20_000,
                "valid_tokens": 160,
                "sources": {
                    "texts": {"share": 1, "train": "t.jsonl", "valid": "v.jsonl", "about": "made up; CC0"},
                    "structured": {"share": 1},
                },
            },
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers and its dense twin, ten steps each."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "t.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[:9]))
    (folder / "v.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[9:]))
    train(config("demo", [0, 1]), folder / "demo", folder)
    train(config("twin", []), folder / "twin", folder)
    return folder


def test_the_cards_figures_are_those_of_the_shipped_weights(runs: Path, tmp_path: Path) -> None:
    card = export(runs / "demo", tmp_path / "model", twin=runs / "twin")
    assert json.loads((tmp_path / "model/card.json").read_text()) == json.loads(json.dumps(card))
    shipped = MFNModel.from_pretrained(tmp_path / "model")
    saved = load_run(runs / "demo")
    assert card["fingerprint"] == shipped.fingerprint != saved.model.fingerprint
    for name, tensor in saved.model.base.state_dict().items():
        assert torch.equal(shipped.base.state_dict()[name], tensor.half().float()), name
    score = evaluate(shipped, saved.valid)
    assert card["held_out"]["cross_entropy"] == pytest.approx(score.loss, abs=1e-5)
    assert card["held_out"]["tokens"] == score.n_tokens
    for entry in card["layers"]:
        measured = score.layers[entry["layer"]]
        assert entry["fvu"] == pytest.approx(measured.fvu, abs=1e-4)
        assert entry["dead"] == pytest.approx(measured.dead, abs=1e-4)
        assert (entry["n_features"], entry["k"], entry["alpha"]) == (48, 4, 1.0)
    twin = load_run(runs / "twin").model
    twin.save_pretrained(tmp_path / "twin", torch.float16)
    expected = evaluate(MFNModel.from_pretrained(tmp_path / "twin"), saved.valid).loss
    assert card["held_out"]["dense_twin_cross_entropy"] == pytest.approx(expected, abs=1e-5)
    above = 100 * (score.loss / expected - 1)
    assert card["held_out"]["above_dense_twin_percent"] == pytest.approx(above, abs=1e-3)
    differences = []
    for row in saved.valid:
        both = (evaluate(m, row[None]).loss for m in (shipped, MFNModel.from_pretrained(tmp_path / "twin")))
        differences.append(next(both) - next(both))
    mean, error = np.mean(differences), np.std(differences, ddof=1) / len(differences) ** 0.5
    interval = [mean - 1.96 * error, mean + 1.96 * error]
    assert card["held_out"]["above_dense_twin_interval"] == pytest.approx(interval, abs=1e-4)
    assert f"over rows of the text: {interval[0]:.3f} to " in (tmp_path / "model/README.md").read_text()


def test_figures_that_begin_when_layers_enter_stand_in_the_card(runs: Path, tmp_path: Path) -> None:
    data = config("late", [0, 1]).to_json()
    late = TrainConfig.from_json(data | {"mfn": {**data["mfn"], "enter": 0.6, "alpha_from": 0.0, "alpha_until": 0.5}})
    train(late, tmp_path / "late", runs)
    card = export(tmp_path / "late", tmp_path / "model", twin=runs / "twin", large_twin=runs / "twin")
    curves = card["curves"]["training"]
    assert curves["step"] == [2, 4, 6, 8, 10]
    assert curves["alpha"][:3] == curves["fvu"]["0"][:3] == [None] * 3
    assert all(value is not None for value in curves["fvu"]["0"][3:])
    assert card["held_out"]["large_twin_cross_entropy"] == card["held_out"]["dense_twin_cross_entropy"]
    assert card["held_out"]["large_twin_parameters"] == card["parameters"]["transformer"]
    readme = (tmp_path / "model/README.md").read_text()
    assert f"{card['held_out']['large_twin_parameters']:,} parameters" in readme
    above = f"{card['held_out']['above_large_twin']:.3f}"
    assert f"| nats above a dense model of equal total size | measured | {above} |  | `" in readme
    assert "None" not in readme


QUANTILES = ("0.1", "0.25", "0.5", "0.75", "0.9")


def test_reports_of_later_measurements_are_added(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, report = tmp_path / "model", tmp_path / "report.json"
    own = export(runs / "demo", model)["fingerprint"]
    layer = {"dead": 0.01, "ultra_rare": 0.0234, "near_target": 0.5, "quantiles": {"0.5": 0.9}}
    report.write_text(json.dumps({"kind": "rates", "model": own, "tokens": 10_000_000, "layers": {"0": layer}}))
    assert add_to_card([str(model), str(report)]) == 0
    share = {"value": 0.95, "part": 19, "whole": 20, "interval": [0.75, 0.99]}
    row = {"concept": "format/dna", "layer": 1, "feature": 7, "precision": share, "recall": share, "base": share}
    high, low = ({"value": value, "error": 0.1, "interval": [value - 0.2, value + 0.2]} for value in (0.5, 0.01))
    unknown = {"value": 0.02, "error": None, "interval": None}
    control = {"feature": 3, "inside": unknown, "outside": low}
    ablated = {"inside": high, "outside": low, "specific": True, "control": control, "changes": True}
    rows = [{**row, "found": True, "ablated": ablated}, {**row, "found": False}]
    report.write_text(json.dumps({"kind": "concepts", "model": own, "concepts": rows}))
    assert add_to_card([str(model), str(report)]) == 0
    r2 = {
        "features": 1500,
        "quantiles": dict(zip(QUANTILES, (0.1, 0.2, 0.35, 0.5, 0.9), strict=True)),
        "under_0.3": 0.4,
    }
    none = {"features": 0, "quantiles": {}, "under_0.3": None}
    layers = {"0": {"alive": 2000, "dead": 48, "token_r2": r2}, "1": {"alive": 3, "dead": 0, "token_r2": none}}
    report.write_text(json.dumps({"kind": "index", "model": own, "tokens": 400_000, "layers": layers}))
    assert add_to_card([str(model), str(report)]) == 0
    figures = {"steered": 0.8, "others": 0.02, "prompts": 50, "perplexity": 15.0, "plain_perplexity": 10.0}
    goal = {"name": "War | peace", "turned": [[1, 7, 8.5, None], [0, 3, 4, 8]], "works": True}
    found = [{**goal, "greedy": figures, "sampled": {**figures, "steered": 0.6}}, {"works": False}]
    search = {"kind": "presets", "model": own, "prompts": ["a"] * 50, "temperature": 0.8, "found": found}
    report.write_text(json.dumps(search))
    assert add_to_card([str(model), str(report)]) == 0
    readme = (model / "README.md").read_text()
    assert "| 0 | 2,000 | 1,500 | 0.10 | 0.20 | 0.35 | 0.50 | 0.90 | 40% |" in readme
    assert "| 1 | 3 | 0 | – | – | – | – | – | – |" in readme
    assert "1 of 2 goals work" in readme
    turned = "| War \\| peace | L1/7 = 8.5, L0/3 = 4 for 8 tokens |"
    others = "2% (0%–10%)"
    assert f"{turned} 80% (67%–89%) | {others} | 1.50 × | 60% (46%–72%) | {others} | 1.50 × |" in readme
    assert "| 0 | 1.00% | 2.34% | 50.0% | 0.90 |" in readme
    assert "1 of 2 concepts are found" in readme
    dna = "| format/dna | L1/7 | 0.950 (0.75–0.99) | 0.950 (0.75–0.99) | 0.950 |"
    assert f"{dna} +0.500 (+0.30 to +0.70) | +0.010 (-0.19 to +0.21) | +0.020 | yes | found |" in readme
    assert f"{dna} – | – | – |  |  |" in readme
    assert "1 of those found cost more inside than outside beyond chance, and 1 of these more" in readme
    for what, asked, found, met in (
        ("dead features", "under 2%", "1.00%", "yes"),
        ("live features within 2 × of the target rate", "at least 80%", "50%", "no"),
        ("concepts found", "at least 44", "1 of 2", "no"),
        ("of these, change what they should when ablated", "all", "1", "yes"),
        ("goals that steering reaches", "at least 20", "1", "no"),
    ):
        assert f"| {what} | {asked} | {found} | {met} | `" in readme
    assert list(json.loads((model / "card.json").read_text())["measured"]) == ["rates", "concepts", "index", "presets"]
    for wrong, message in (
        ({"kind": "rates", "model": "other"}, "other weights"),
        ({"kind": "poem", "model": own}, "no report of a known kind"),
        ([], "is no report"),
    ):
        report.write_text(json.dumps(wrong))
        assert add_to_card([str(model), str(report)]) == 1
        assert message in capsys.readouterr().err
    assert (model / "README.md").read_text() == readme
    kept = export(runs / "demo", model, twin=runs / "twin")
    assert list(kept["measured"]) == ["rates", "concepts", "index", "presets"], "the same weights"
    assert "1 of 2 goals work" in (model / "README.md").read_text()
    assert "measured" not in export(runs / "twin", model)


def test_reports_on_labels_are_added(runs: Path, tmp_path: Path) -> None:
    model, atlas, detection = tmp_path / "model", tmp_path / "atlas.json", tmp_path / "detection.json"
    own = export(runs / "demo", model)["fingerprint"]
    counts = {"features": 1200, "unclear": 34, "confidence": {"high": 700, "medium": 400, "low": 100}, "checked": 20}
    share = {"value": 0.95, "part": 19, "whole": 20, "interval": [0.75, 0.99]}
    verdicts = {"held": share, "partly": {**share, "part": 1, "value": 0.05}, "not": {**share, "part": 0, "value": 0}}
    atlas.write_text(json.dumps({"kind": "atlas", "model": own, "how": "by a | reader", **counts, **verdicts}))
    summary = {"features": 120, "mean": {"value": 0.8125, "interval": [0.79, 0.83]}, "at_least_0.7": share}
    report = {
        "kind": "detection",
        "model": own,
        "corpus": "other.jsonl",
        "seed": 1,
        "strong": 0.5,
        **summary,
        "unanswered": 0,
    }
    detection.write_text(json.dumps({**report, "context": {**summary, "features": 40}}))
    beyond = tmp_path / "beyond.json"
    part = {"live": 1000, "counted": 900, "context": 800, "named": share, "detected": {**share, "part": 9, "whole": 15}}
    told = {**part, "share": {"value": 0.456, "interval": [0.3, 0.6]}}
    named = {"kind": "beyond", "model": own, "corpus": "other.jsonl", "strong": 0.8}
    beyond.write_text(json.dumps({**named, "layers": {"1": told}, "upper": {"layers": [1], **told}}))
    assert add_to_card([str(model), str(beyond), str(detection), str(atlas)]) == 0
    assert list(json.loads((model / "card.json").read_text())["measured"]) == ["atlas", "detection", "beyond"]
    readme = (model / "README.md").read_text()
    assert "1,200 features have an automatic label; 34 more were read and found unclear" in readme
    assert "700 high, 400 medium, 100 low. How they were written: by a | reader. Then 20 labels" in readme
    assert "| held | 19 | 0.950 (0.75–0.99) |" in readme
    assert "ten snippets of other.jsonl it fires, at 50% of its maximum or above, (" in readme
    assert "| all | 120 | 0.812 (0.79–0.83) | 0.950 (0.75–0.99) |" in readme
    assert "| fire by context | 40 | 0.812 (" in readme
    assert "| upper half | 1,000 | 800 | 19 of 20 | 9 of 15 | 46% (30%–60%) |" in readme
    assert "are nameable | at least 50% | 46% | no | `python -m scripts.atlas beyond` |" in readme
    assert "| features with a label | at least 400 | 1200 (34 more unclear) | yes |" in readme
    assert "not answered" not in readme
    detection.write_text(json.dumps({**report, "unanswered": 3, "context": None}))
    assert add_to_card([str(model), str(detection)]) == 0
    readme = (model / "README.md").read_text()
    assert "3 more were asked about and not answered" in readme
    assert "| fire by context |" not in readme


def test_dead_in_training_counts_features_silent_for_as_long_as_the_config_says(runs: Path) -> None:
    saved = load_run(runs / "demo")
    lines = [line for line in saved.metrics if "dead" in line]
    for number, share in saved.dead.items():
        assert 0 <= share <= 1
        assert share == pytest.approx(lines[-1]["dead"][str(number)], abs=0.1)  # one step apart


def test_the_card_says_where_the_model_comes_from(runs: Path, tmp_path: Path) -> None:
    card = export(runs / "demo", tmp_path / "model")
    assert "dense_twin_cross_entropy" not in card["held_out"]
    assert card["training"]["steps"] == card["training"]["steps_planned"] == 10
    assert card["training"]["tokens"] == 640
    assert set(card["training"]) >= {"seed", "commit", "torch", "losses"}
    assert card["data"]["texts"]["about"] == "made up; CC0"
    assert card["curves"]["training"]["step"] == [2, 4, 6, 8, 10]
    assert card["curves"]["held_out"]["step"] == [5, 10]
    assert len(card["curves"]["training"]["fvu"]["1"]) == 5
    assert TrainConfig.from_json(card["config"]) == config("demo", [0, 1])
    readme = (tmp_path / "model/README.md").read_text()
    assert readme.startswith("# demo\n")
    assert "made up; CC0" in readme
    assert card["fingerprint"] in readme
    for line in readme.splitlines():
        if line.startswith("| "):
            assert line.endswith(" |")


def test_a_dense_twin_has_a_bundle_too(runs: Path, tmp_path: Path) -> None:
    card = export(runs / "twin", tmp_path / "model")
    assert card["layers"] == []
    assert "fvu" not in card["curves"]["training"]
    assert not MFNModel.from_pretrained(tmp_path / "model").coders
    assert "Layers of features" not in (tmp_path / "model/README.md").read_text()


def test_an_older_bundle_is_replaced_and_nothing_else_is(runs: Path, tmp_path: Path) -> None:
    export(runs / "demo", tmp_path / "model")
    (tmp_path / "model/stray").write_text("of the older bundle")
    export(runs / "demo", tmp_path / "model")
    assert not (tmp_path / "model/stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "diary.txt").write_text("dear diary")
    with pytest.raises(MFNError, match="holds no bundle"):
        export(runs / "demo", mine)
    assert (mine / "diary.txt").read_text() == "dear diary"


def test_what_is_refused(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MFNError, match="not the folder of a training run"):
        export(tmp_path / "nowhere", tmp_path / "model")
    other: dict[str, Any] = config("other", [], seed=3).to_json()
    train(TrainConfig.from_json(other), tmp_path / "other", runs)
    with pytest.raises(MFNError, match="another text"):
        export(runs / "demo", tmp_path / "model", twin=tmp_path / "other")
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "model")]) == 1
    assert "not the folder of a training run" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert main([str(runs / "demo"), str(tmp_path / "model")]) == 0
    assert "held-out cross-entropy" in capsys.readouterr().out


def test_a_run_without_a_checkpoint_says_so(runs: Path, tmp_path: Path) -> None:
    early = tmp_path / "early"
    (early / "data").mkdir(parents=True)
    for name in ("config.json", "environment.json", "data/recipe.json", "data/model.json", "data/valid.npy"):
        (early / name).write_bytes((runs / "demo" / name).read_bytes())
    with pytest.raises(MFNError, match="no checkpoint yet"):
        export(early, tmp_path / "model")


def test_seeds_are_compared_with_their_own_twins(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config("demo", [0, 1], seed=1), tmp_path / "demo", runs)
    train(config("twin", [], seed=1), tmp_path / "twin", runs)
    assert compare_seeds([str(f) for f in (runs / "demo", runs / "twin", tmp_path / "demo", tmp_path / "twin")]) == 0
    printed = capsys.readouterr().out
    losses = [load_run(f).metrics[-1]["valid"]["loss"] for f in (runs / "demo", runs / "twin", tmp_path / "demo")]
    first = f"{losses[0]:.3f} {losses[1]:.3f} {losses[0] - losses[1]:.3f}"
    assert re.search(rf"^ *0 +{first.replace(' ', ' +')} ", printed, re.MULTILINE)
    assert re.search(rf"^ *mean +{(losses[0] + losses[2]) / 2:.3f} ", printed, re.MULTILINE)
    for wrong, message in (
        ([runs / "twin", runs / "demo"], "is not the dense twin of"),
        ([runs / "demo", tmp_path / "twin"], "is not the dense twin of"),
        ([runs / "demo", tmp_path], "is not the folder of a training run"),
    ):
        assert compare_seeds([str(folder) for folder in wrong]) == 1
        assert message in capsys.readouterr().err

"""From a run folder to a bundle that can be shipped: half-precision weights, tokenizer, card and README.

Every figure in the card is measured on the weights as they are shipped, after rounding, in single precision.

    python -m mfn_core.training.export runs/mfn-demo demo/model --twin runs/mfn-demo-tables
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from mfn_core.data.mix import TokenRows
from mfn_core.errors import MFNError
from mfn_core.model import MFNModel
from mfn_core.training import card, checkpoint
from mfn_core.training.building import objective_of, read_structure, same_model
from mfn_core.training.config import TrainConfig
from mfn_core.training.evaluate import evaluate
from mfn_core.training.metrics import Metrics, read_metrics
from mfn_core.training.objective import load_state

SHIPPED = torch.float16


@dataclass(frozen=True)
class SavedRun:
    """What a run folder holds.

    Attributes:
        config: of the run.
        model: at the newest checkpoint, in single precision, K and α as they stood.
        step: how many steps that is.
        dead: by block, share of features silent over the last `dead_after` training tokens.
        valid: [rows, context], the held-out text.
        start: the token that begins a document.
        recipe: what went into training and held-out text.
        environment: versions and commit.
        metrics: the lines of `metrics.jsonl` up to that step.
    """

    config: TrainConfig
    model: MFNModel
    step: int
    dead: dict[int, float]
    valid: TokenRows
    start: int
    recipe: dict[str, Any]
    environment: dict[str, str]
    metrics: list[Metrics]


def load_run(folder: Path) -> SavedRun:
    """Reads a run folder at its newest checkpoint.

    Raises:
        MFNError: the folder is no run folder, or has no checkpoint yet.
    """
    try:
        config = TrainConfig.from_json(_json(folder / "config.json"))
        recipe, environment = _json(folder / "data" / "recipe.json"), _json(folder / "environment.json")
        structure = read_structure(folder / "data")
        valid = np.load(folder / "data" / "valid.npy")
    except OSError as error:
        raise MFNError(f"{folder} is not the folder of a training run: {error.filename} is missing") from error
    found = checkpoint.load_latest(folder / "checkpoints")
    if found is None:
        raise MFNError(f"{folder} has no checkpoint yet: let the run come to its first one")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "data" / "tokenizer", local_files_only=True)
    model = same_model(config, structure, tokenizer)
    model.base.load_state_dict(found.part("model"))
    # Where a mean of the weights was kept, it is what is shipped. Afterwards, since tied weights have several names.
    model.base.load_state_dict(found.part("average"), strict=False)
    objective = objective_of(model, config)
    objective.begin(found.step)
    objective.constrain()
    objective.finish()
    load_state(objective, found.part("objective"))
    dead = {number: float(objective.dead(number).float().mean()) for number in objective.statistics}
    metrics = [line for line in read_metrics(folder / "metrics.jsonl") if line["step"] <= found.step]
    recipe["train"] = found.state.get("recipe", recipe.get("train"))
    return SavedRun(config, model.eval(), found.step, dead, valid, recipe["start"], recipe, environment, metrics)


def export(
    run: Path,
    folder: Path,
    twin: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    large_twin: Path | None = None,
) -> dict[str, Any]:
    """Writes the bundle of a run's newest checkpoint.

    Args:
        run: the run folder.
        folder: receives the bundle; an older bundle there is replaced in one step. If it has the same weights, what
            was measured on them since stays in the card.
        twin: run folder of the dense twin, whose cross-entropy on the same text is put beside the model's.
        progress: called with rows measured and rows in all.
        large_twin: run folder of a dense model with about as many parameters as Transformer and layers together.

    Returns:
        The card.

    Raises:
        MFNError: a folder is not what it should be, or the twin was held to another text.
    """
    _check_replaceable(folder)
    saved = load_run(run)
    beside = None if twin is None else _measure_twin(twin, saved)
    large = None if large_twin is None else _measure_twin(large_twin, saved)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=folder.parent) as space:
        draft = Path(space) / "new"
        saved.model.save_pretrained(draft, SHIPPED)
        shipped = MFNModel.from_pretrained(draft)
        score = evaluate(shipped, saved.valid, saved.start, progress=progress)
        facts = card.Facts(
            config=saved.config,
            step=saved.step,
            fingerprint=shipped.fingerprint,
            parameters=_count_parameters(shipped),
            score=score,
            twin=beside,
            large_twin=large,
            layers={number: coder.current_config for number, coder in shipped.coders.items()},
            dead_in_training=saved.dead,
            recipe=saved.recipe,
            environment=saved.environment,
            metrics=saved.metrics,
        )
        data = card.as_data(facts) | _measured_before(folder, shipped.fingerprint)
        (draft / "card.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (draft / "README.md").write_text(card.as_markdown(data), encoding="utf-8")
        if folder.exists():
            folder.rename(Path(space) / "old")
        draft.rename(folder)
    return data


def _measure_twin(folder: Path, saved: SavedRun) -> card.Twin:
    """A twin's score, its weights rounded as they would be shipped, and its size."""
    twin = load_run(folder)
    if not np.array_equal(twin.valid, saved.valid):
        raise MFNError(f"{folder} was held to another text than the model: their figures cannot be compared")
    if twin.step != saved.step:
        raise MFNError(f"{folder} stands at step {twin.step}, the model at {saved.step}: let both come to the same")
    with tempfile.TemporaryDirectory() as space:
        twin.model.save_pretrained(space, SHIPPED)
        shipped = MFNModel.from_pretrained(space)
        return card.Twin(evaluate(shipped, saved.valid, saved.start), sum(_count_parameters(shipped).values()))


def _count_parameters(model: MFNModel) -> dict[str, int]:
    features = sum(p.numel() for layer in model.coders.values() for p in layer.parameters())
    return {"transformer": sum(p.numel() for p in model.parameters()) - features, "features": features}


def _measured_before(folder: Path, fingerprint: str) -> dict[str, Any]:
    """Reports in the card of the bundle that is replaced, where it holds the same weights."""
    try:
        old = _json(folder / "card.json")
    except (OSError, ValueError):
        return {}
    same = old.get("fingerprint") == fingerprint and "measured" in old
    return {"measured": old["measured"]} if same else {}


def _check_replaceable(folder: Path) -> None:
    """Refuses to replace anything but nothing, an empty folder, or a bundle."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        if _json(folder / "config.json").get("model_type") == "mfn":
            return
    except (OSError, ValueError):
        pass
    raise MFNError(f"{folder} exists and holds no bundle: choose another folder")


def _json(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))


def main(arguments: list[str] | None = None) -> int:
    """The command line: see the module's docstring."""
    parser = argparse.ArgumentParser(description="Write the bundle of a training run.")
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("folder", type=Path, help="receives the bundle")
    parser.add_argument("--twin", type=Path, help="folder of the dense twin's run, to be compared with")
    parser.add_argument("--large-twin", type=Path, help="folder of the run of a dense model of equal total size")
    given = parser.parse_args(arguments)
    try:
        data = export(given.run, given.folder, given.twin, large_twin=given.large_twin)
    except MFNError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{given.folder}: held-out cross-entropy {data['held_out']['cross_entropy']:.4f} nats a token\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

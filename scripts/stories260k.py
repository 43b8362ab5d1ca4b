"""Equips a model that nobody here wrote, and measures what it costs: stories260K, α = 1 in all five blocks.

    python scripts/stories260k.py --shared ../shared --out FOLDER [--tokens 2500000] [--only NAME …]

Trains, one after the other, the plain model on the same text (its fair rival: the pretrained one has not seen this
text's mix), the equipped model with the base free and with the base frozen, and a grid over K and F. Each run has a
folder of its own under FOLDER and is resumed where it stood. Prints a table and writes `results.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mfn_core.config import MFNConfig
from mfn_core.model import MFNModel
from mfn_core.training.config import TrainConfig
from mfn_core.training.config.data import DataConfig, SourceConfig
from mfn_core.training.config.features import MFNTraining
from mfn_core.training.config.model import BaseConfig, ModelConfig
from mfn_core.training.evaluate import evaluate
from mfn_core.training.metrics import read_metrics
from mfn_core.training.optimizer import OptimizerConfig
from mfn_core.training.run import train

BLOCKS, WIDTH, CONTEXT = 5, 64, 256
HELD_OUT = 0.04  # of the training documents, by hash, beside the 26 validation documents


def write_corpora(shared: Path, folder: Path) -> None:
    """The stories as `train.jsonl` and `valid.jsonl`, blank lines closed up as the model's own text had them."""
    if (folder / "valid.jsonl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, list[str]] = {"train": [], "valid": []}
    for split in texts:
        for row in pq.read_table(shared / "data" / "text" / f"stories.{split}.parquet").to_pylist():
            for text in _stories(row["text"]):
                digest = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
                texts["valid" if split == "valid" or digest < HELD_OUT else "train"].append(text)
    for split, lines in texts.items():
        out = "".join(json.dumps({"text": text}) + "\n" for text in lines)
        (folder / f"{split}.jsonl").write_text(out, encoding="utf-8")


def _stories(text: str) -> Iterator[str]:
    for part in text.split("<|endoftext|>"):
        while "\n\n" in part:
            part = part.replace("\n\n", "\n")
        if part.strip():
            yield part.strip()


def configs(shared: Path, tokens: int) -> dict[str, TrainConfig]:
    """Every run by name."""
    plain = TrainConfig(
        name="stories260K",
        tokens=tokens,
        batch=4,  # many small steps: what a budget of this size lacks is steps
        autocast="none",  # at this width bf16 costs a CPU more than it saves, whatever units it has
        log_every=100,
        eval_every=1000,
        checkpoint_every=250,
        model=ModelConfig(context=CONTEXT),
        base=BaseConfig(str(shared / "models" / "stories260K")),
        data=DataConfig({"stories": SourceConfig(1.0, "train.jsonl", "valid.jsonl")}, valid_tokens=120_000),
        # The base is trained already: a quarter of what training from scratch takes moves it.
        optimizer=OptimizerConfig(lr=1e-3, matrix_lr=1e-3, mfn_lr=4e-3, weight_decay=0.0),
    )

    def equipped(k: int, times: int, freeze: bool = False, lookup: bool = True) -> TrainConfig:
        mfn = MFNTraining(
            layers=tuple(range(BLOCKS)),
            n_features=times * WIDTH,
            k=k,
            k_first=64,
            k_until=0.2,
            alpha_from=0.02,
            alpha_until=0.25,
            recon=1.0,
            rate=0.005,
            comp=0.002,
            stab=0.02,
            token_lookup=lookup,
        )
        # A base that moves as fast as it would alone runs away from its layers (docs/research/stories260k.md).
        slow = replace(plain.optimizer, lr=3e-4, matrix_lr=3e-4)
        return replace(plain, mfn=mfn, optimizer=slow, base=replace(plain.base, freeze=freeze))

    runs = {"plain": plain, "joint-k16-f16": equipped(16, 16), "frozen-k16-f16": equipped(16, 16, freeze=True)}
    runs["joint-k16-f16-no-lookup"] = equipped(16, 16, lookup=False)
    for k in (4, 8, 32, 64):
        runs[f"joint-k{k}-f16"] = equipped(k, 16)
    for times in (4, 8, 32):
        runs[f"joint-k16-f{times}"] = equipped(16, times)
    for k in (32, 64):
        runs[f"frozen-k{k}-f16"] = equipped(k, 16, freeze=True)
    return runs


def untouched(shared: Path, valid: Any, start: int) -> float:
    """Nats a token of the pretrained model as it came."""
    folder = shared / "models" / "stories260K"
    base: Any = AutoModelForCausalLM.from_pretrained(folder)
    model = MFNModel.equip(base.eval(), MFNConfig(), AutoTokenizer.from_pretrained(folder))
    return evaluate(model, valid, start).loss


def main() -> None:
    """Reads the arguments, trains, tells."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=2_500_000)
    parser.add_argument("--only", nargs="*", help="names of runs; the plain one is always there to compare with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a model of this size gains nothing from a second
    corpora = arguments.out / "corpora"
    write_corpora(arguments.shared, corpora)
    results: dict[str, Any] = {}
    for name, config in configs(arguments.shared, arguments.tokens).items():
        if arguments.only and name not in {*arguments.only, "plain"}:
            continue
        folder = arguments.out / name
        train(config, folder, corpora, note=lambda line, name=name: print(f"{name}: {line}", flush=True))  # type: ignore[misc]
        last = [line for line in read_metrics(folder / "metrics.jsonl") if "valid" in line][-1]
        results[name] = last["valid"]
        if name == "plain":
            start = json.loads((folder / "data" / "recipe.json").read_text(encoding="utf-8"))["start"]
            results["untouched"] = {"loss": untouched(arguments.shared, np.load(folder / "data" / "valid.npy"), start)}
        _tell(name, results)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _tell(name: str, results: dict[str, Any]) -> None:
    score, rivals = results[name], {rival: results[rival]["loss"] for rival in ("plain", "untouched")}
    more = ", ".join(f"{score['loss'] / ce - 1:+.1%} of {rival} {ce:.4f}" for rival, ce in rivals.items())
    print(f"{name}: {score['loss']:.4f} nats a token ({more})", flush=True)
    for layer, facts in score.get("layers", {}).items():
        print(f"  layer {layer}: {json.dumps(facts)}", flush=True)


if __name__ == "__main__":
    main()

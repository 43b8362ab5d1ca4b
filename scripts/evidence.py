"""The reports that ship: trains what a model is compared with, makes the texts it is tested on, and calls `mfn eval`.

    python -m scripts.evidence demo --data TEXT --concepts CONCEPTS --runs runs --out demo/evidence

`demo` is the shipped model; `small` is three seeds of `configs/demo-small.toml`, the only ones with seeds for P3. TEXT
and CONCEPTS are folders of parquet files that are no part of the project (docs/how-to/train.md says what lies there).
What is done already is not done again, so that the same command goes on after an interruption. Hours on two cores;
`--print` shows the commands and runs none.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_core.data.mix import sample_text
from mfn_core.errors import ConfigError, MFNError
from mfn_core.training.config import load_config
from mfn_core.training.prepare import sources_of

MFN = [sys.executable, "-m", "mfn_server.cli"]
CHARACTERS = 600_000  # of held-out text, in the shares of the training text
TEXT_SEED = 40_000  # of which texts, and of generated ones: no other seed in use is near
TUNED = ("sae.replace=true", "tokens=614_400", "optimizer.lr=3e-4", "optimizer.matrix_lr=3e-4")
"""Of the twin that is trained on with its SAEs in the stream's place; by a fraction of the text: it copes soon."""
LANGUAGES = ("cym", "ell_monotonic", "fin", "hun", "isl", "kat", "kaz", "lao", "pol", "tur")
"""Of `udhr_languages.parquet`: of the words of such a text at most one in fifty occurs in the training text of
languages."""
LANGUAGE_CHARACTERS = 12_000  # of each


@dataclass(frozen=True)
class Subject:
    """A model that is reported on.

    Attributes:
        config: what it was trained by.
        model: the folder of its bundle, where it ships; else it is trained, too.
        n_features, k: of its layers, and of the SAEs.
        blocks: how many it has, all with a layer.
        seeds: of the runs; the first is the model's own.
    """

    config: str
    model: str | None
    n_features: int
    k: int
    blocks: int
    seeds: tuple[int, ...] = (0,)


SUBJECTS = {
    "demo": Subject("configs/demo.toml", "demo/model", 3072, 32, 6),
    "small": Subject("configs/demo-small.toml", None, 1024, 24, 4, (0, 1, 2)),
}


@dataclass(frozen=True)
class Step:
    """A command, and the file or folder that is there once it is done; None for one that is always called."""

    command: Sequence[str]
    done: Path | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit status: that of the first command that fails."""
    parser = argparse.ArgumentParser(description="Trains what a model is compared with, and reports on it.")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--data", type=Path, required=True, help="folder of training and held-out text")
    parser.add_argument("--concepts", type=Path, required=True, help="folder of labelled text")
    parser.add_argument("--runs", type=Path, required=True, help="folder that receives runs and texts")
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the report")
    parser.add_argument("--train", action="store_true", help="train alone, without a report")
    parser.add_argument("--print", action="store_true", dest="show", help="show the commands, run none")
    given = parser.parse_args(arguments)
    steps = [*training(given.subject, given.data, given.runs)]
    if not given.train:
        steps.append(report(given.subject, given.concepts, given.runs, given.out))
    if not given.show and not given.train:
        try:
            make_texts(given.subject, given.data, given.concepts, given.runs)
        except MFNError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 1
    for step in steps:
        if not given.show and step.done is not None and step.done.exists():
            continue
        print(shlex.join(["mfn", *step.command]), flush=True)
        if not given.show:
            status = subprocess.run([*MFN, *step.command], check=False).returncode  # noqa: S603
            if status:
                return status
    return 0


def model_of(name: str, runs: Path, seed: int = 0) -> Path:
    """The bundle of a subject's model of that seed."""
    shipped = SUBJECTS[name].model
    return Path(shipped) if shipped else runs / f"{name}-{seed}" / "model"


def training(name: str, data: Path, runs: Path) -> Iterator[Step]:
    """Of each seed the model, where none ships; its dense twin; and the twin's SAEs, on the same text.

    Of the first seed also the twin trained on with its SAEs.
    """
    subject = SUBJECTS[name]
    for seed in subject.seeds:
        run, dense, saes = (runs / f"{name}-{seed}{part}" for part in ("", "-dense", "-saes"))

        def train(folder: Path, *settings: str, start: Path | None = None, seed: int = seed) -> Step:
            given = [f"seed={seed}", f"name=mfn-{folder.name}", *settings]
            chosen = [word for setting in given for word in ("--set", setting)]
            after = ["--from", str(start)] if start else []
            command = ["train", subject.config, "--data", str(data), "--run", str(folder), *chosen, *after]
            return Step(command, folder / "model" / "model.safetensors")

        if not subject.model:
            yield train(run)
        yield train(dense, "mfn.layers=[]", start=None if subject.model else run)
        layers = json.dumps(list(range(subject.blocks)))
        settings = {"layers": layers, "n_features": subject.n_features, "k": subject.k, "site": "resid_mid"}
        chosen = [f"sae.{key}={value}" for key, value in settings.items()]
        yield train(saes, f"base.path={dense / 'model'}", "mfn.layers=[]", *chosen)
        if seed == subject.seeds[0]:
            tuned = runs / f"{name}-{seed}-tuned"
            yield train(tuned, f"base.path={saes / 'model'}", "mfn.layers=[]", *chosen, *TUNED)


def report(name: str, concepts: Path, runs: Path, out: Path) -> Step:
    """`mfn eval` with all that was trained."""
    first, *others = SUBJECTS[name].seeds
    command = ["eval", str(model_of(name, runs)), str(runs / f"{name}-held-out.jsonl"), "--out", str(out)]
    command += ["--twin", str(runs / f"{name}-{first}-dense" / "model")]
    command += ["--sae", str(runs / f"{name}-{first}-saes" / "model")]
    command += ["--tuned-sae", str(runs / f"{name}-{first}-tuned" / "model"), "--concepts", str(concepts)]
    domains = {
        "movie reviews": concepts / "movie_reviews.parquet",
        "speeches": concepts / "speeches.parquet",
        "languages left out": runs / "languages-left-out.jsonl",
    }
    for domain, corpus in domains.items():
        command += ["--domain", f"{domain}={corpus}"]
    for seed in others:
        command += ["--seed-model", str(model_of(name, runs, seed))]
        command += ["--seed-sae", str(runs / f"{name}-{seed}-saes" / "model")]
    return Step(command)


def make_texts(name: str, data: Path, concepts: Path, runs: Path) -> None:
    """Writes held-out text in the shares of the training text, shuffled, and text of languages left out, unless they
    are there.

    Raises:
        ConfigError, CorpusError: a source is missing.
    """
    held_out, languages = runs / f"{name}-held-out.jsonl", runs / "languages-left-out.jsonl"
    runs.mkdir(parents=True, exist_ok=True)
    if not held_out.exists():
        config = load_config(Path(SUBJECTS[name].config))
        texts = sample_text(sources_of(config, data, "valid"), CHARACTERS, TEXT_SEED, config.data.max_document)
        random.Random(TEXT_SEED).shuffle(texts)
        _write(held_out, texts)
    if not languages.exists():
        _write(languages, _left_out(concepts / "udhr_languages.parquet"))


def _left_out(path: Path) -> list[str]:
    from pyarrow import parquet

    if not path.exists():
        raise ConfigError(f"{path} is missing: texts of languages that were left out of training come from there")
    rows = parquet.read_table(path).to_pylist()
    return [row["text"][:LANGUAGE_CHARACTERS] for row in rows if row["language"] in LANGUAGES]


def _write(path: Path, texts: Sequence[str]) -> None:
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    path.write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

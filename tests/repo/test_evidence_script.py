"""The script behind the reports that ship: its commands are whole, and its texts are what they are said to be."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mfn_server.cli import app
from scripts.evidence import LANGUAGES, SUBJECTS, main, make_texts, training

ROOT = Path(__file__).parents[2]


def _shown(subject: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[list[str]]:
    given = ["--data", "text", "--concepts", "concepts", "--runs", str(tmp_path), "--out", "out"]
    assert main([subject, *given, "--print", *more]) == 0
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_that_a_report_reads_is_trained_before_it(
    subject: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *trained, report = _shown(subject, tmp_path, capsys)
    made = {str(Path(line[line.index("--run") + 1]) / "model") for line in trained}
    seeds = SUBJECTS[subject].seeds
    assert len(made) == len(seeds) * (2 if SUBJECTS[subject].model else 3) + 1
    read = [
        report[at + 1]
        for at, word in enumerate(report)
        if word in ("--twin", "--sae", "--tuned-sae", "--seed-model", "--seed-sae")
    ]
    assert len(read) == 3 + 2 * (len(seeds) - 1)
    for model in (report[2], *read):
        assert model in made or model == SUBJECTS[subject].model
    assert _shown(subject, tmp_path, capsys, "--train") == trained


def test_the_options_exist() -> None:
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
    for command, options in {
        "train": ("--data", "--run", "--set", "--from"),
        "eval": ("--twin", "--sae", "--tuned-sae", "--concepts", "--domain", "--seed-model", "--seed-sae", "--out"),
    }.items():
        shown = runner.invoke(app, [command, "--help"]).output
        assert all(option in shown for option in options)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    first = next(training("small", Path("text"), tmp_path))
    assert first.done is not None
    assert not first.done.exists()
    assert first.done.parent.parent == tmp_path / "small-0"


def test_texts_are_held_out_ones_in_shares_and_languages_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.chdir(ROOT)
    data, concepts = tmp_path / "text", tmp_path / "concepts"
    data.mkdir()
    concepts.mkdir()
    for name in ("wikipedia", "gutenberg", "stories", "languages"):
        for split in ("train", "valid"):
            texts = [f"{split} {name} {number} " + "words " * 500 for number in range(20)]
            parquet.write_table(pa.table({"text": texts}), data / f"{name}.{split}.parquet")
    make = (data, concepts, tmp_path / "runs")
    assert main(["demo", *_flags(*make, tmp_path)]) == 1
    assert "udhr_languages.parquet is missing" in capsys.readouterr().err
    rows = {"text": [f"text {language}" for language in (*LANGUAGES, "eng")], "language": [*LANGUAGES, "eng"]}
    parquet.write_table(pa.table(rows), concepts / "udhr_languages.parquet")
    make_texts("demo", *make)
    held_out = _texts(tmp_path / "runs" / "demo-held-out.jsonl")
    assert not any(text.startswith("train") for text in held_out)
    length = {
        name: sum(len(t) for t in held_out if t.startswith(f"valid {name}")) for name in ("wikipedia", "gutenberg")
    }
    assert length["wikipedia"] == pytest.approx(2 * length["gutenberg"], rel=0.1)
    assert sorted(_texts(tmp_path / "runs" / "languages-left-out.jsonl")) == [f"text {name}" for name in LANGUAGES]


def _flags(data: Path, concepts: Path, runs: Path, out: Path) -> list[str]:
    return ["--data", str(data), "--concepts", str(concepts), "--runs", str(runs), "--out", str(out)]


def _texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]

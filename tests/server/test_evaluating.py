"""`mfn eval`: from texts and models to verdicts, what it says of what is missing, and going on where it stood."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfn_core.evidence.document import Document
from mfn_core.experiments import evidence
from mfn_core.model import MFNModel
from mfn_server import cli
from mfn_server.eval_report import EvalReport
from tests.conftest import TINY_TEXTS

Eval = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_bundle: Path, tmp_path: Path
) -> Eval:
    """Runs `mfn eval` on the tiny model, with labelled text of which one concept is a word and one the whole text."""
    monkeypatch.setenv("COLUMNS", "200")
    rng = random.Random(0)
    words = sorted({word for text in TINY_TEXTS for word in text.split()})
    with (tmp_path / "labels.jsonl").open("w") as file:
        for number in range(300):
            chosen = [rng.choice(words) for _ in range(6)]
            text = " ".join([*chosen, words[0]])
            marked = {"kind": "word", "spans": [[len(text) - len(words[0]), len(text), "first"]]}
            whole = {"kind": "topic", "concept": "a" if number % 2 else "b"}
            file.write(json.dumps({"id": f"t{number}", "text": text} | (marked if number % 3 else whole)) + "\n")
    for name in ("home", "other"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TINY_TEXTS))

    def run(*arguments: object) -> tuple[int, str, str]:
        given = ["mfn", "eval", tiny_bundle, tmp_path / "home.jsonl", "--formats", 0, "--sweeps", 0]
        given += ["--labels", tmp_path / "labels.jsonl", "--scripts", tmp_path / "other.jsonl"]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in (*given, *arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {verdict["name"]: verdict["status"] for verdict in report["verdicts"]}


def test_a_model_against_itself(evaluate: Eval, tiny_bundle: Path, tiny_model: MFNModel, tmp_path: Path) -> None:
    found = tmp_path / "report.json"
    same = ("--twin", tiny_bundle, "--sae", tiny_bundle, "--domain", f"other={tmp_path / 'other.jsonl'}")
    seeds = ("--seed-model", tiny_bundle, "--seed-sae", tiny_bundle) * 2
    code, text, _ = evaluate(*same, *seeds, "--sweeps", 2, "--json", found)
    assert code == 0
    report = json.loads(found.read_text())
    p1, p2, p3, p4, p5 = report["verdicts"]
    for verdict in report["verdicts"]:
        assert f"{verdict['name']} {verdict['status']}" in text
    assert report["settings"]["model"] == report["settings"]["twin"] == tiny_model.fingerprint
    assert p5["conditions"][0]["estimate"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": len(TINY_TEXTS)}
    assert p5["status"] == "holds"
    assert p5["tables"]["home"]["held-out text"]["tokens"] == p5["tables"]["domains"]["other"]["tokens"]
    assert p2["conditions"][0]["estimate"]["value"] == 0.0  # the same codes
    assert p2["status"] == "fails"
    by_source = {(row["source"], row["concept"]): row for row in p2["tables"]["concepts"]}
    for concept in {name for _, name in by_source}:
        assert by_source["MFN", concept]["auc"] == by_source["SAE", concept]["auc"]
    assert {name for source, name in by_source if source == "MFN"} >= {"topic/a", "topic/b"}
    assert [condition["status"] for condition in p3["conditions"]] == ["fails"] * 2 + ["holds"] * 2
    assert [condition["estimate"]["value"] for condition in p3["conditions"][:2]] == [0.0, 0.0]  # SAEs that are it
    assert {row["pair"] for row in p3["tables"]["aligned"]} == {"0–1", "0–2", "1–2"}
    assert {row["source"]: row["features"] for row in p4["tables"]["sources"]} == {"MFN": 2, "SAE": 2}
    layers = p1["tables"]["layers"]
    assert set(layers["MFN"]) == set(layers["random"]) == {str(n) for n in tiny_model.mfn_layers}
    beside = {table["key"]: table["rows"] for table in report["tables"] if table["key"].startswith("beside/")}
    assert [row["layer"] for row in beside["beside/layers"]] == sorted(tiny_model.mfn_layers)
    assert beside["beside/saes"] == beside["beside/layers"]  # the same codes
    above, divergence = beside["beside/cost"][2:]
    assert (above["nats"], above["nats_low"], divergence["nats"]) == (0.0, 0.0, pytest.approx(0.0, abs=1e-9))
    assert not found.with_name("report.json.journal").exists()


def test_what_is_missing_is_not_measured(evaluate: Eval, tmp_path: Path) -> None:
    assert evaluate("--json", tmp_path / "report.json")[0] == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert statuses(report)["P5"] == "not measured"
    assert report["verdicts"][2]["conditions"][0]["why_not"] == "no model of another seed was given"
    assert report["verdicts"][4]["conditions"][0]["why_not"] == "no dense twin was given"
    assert report["verdicts"][1]["conditions"][0]["status"] == "not measured"


def test_it_goes_on_where_it_stood(evaluate: Eval, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole, found = tmp_path / "whole.json", tmp_path / "report.json"
    assert evaluate("--json", whole)[0] == 0
    scored: list[str] = []
    real = evidence.p2.score_concept

    def breaks(concept: str, *rest: Any) -> Any:
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(concept)
        return real(concept, *rest)

    monkeypatch.setattr(evidence.p2, "score_concept", breaks)
    assert evaluate("--json", found)[0] != 0
    assert not found.exists()

    def notes(concept: str, *rest: Any) -> Any:
        scored.append(concept)
        return real(concept, *rest)

    monkeypatch.setattr(evidence.p2, "score_concept", notes)
    assert evaluate("--json", found)[0] == 0
    report, expected = (json.loads(path.read_text()) for path in (found, whole))
    assert report["verdicts"] == expected["verdicts"]
    assert len(scored) == len(expected["verdicts"][1]["tables"]["concepts"])  # none twice


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--domain", "reviews"], "NAME=CORPUS"),
        (["--domain", "reviews=/nowhere.txt"], "/nowhere.txt"),
        (["--seed-model", "/nowhere"], "/nowhere"),
        (["--concepts", "/nowhere.parquet"], "/nowhere.parquet cannot be read"),
        (["--json", "/nowhere/report.json"], "no such folder"),
        (["--json", "report.json", "--out", "reports"], "either --out or --json"),
    ],
)
def test_what_cannot_be_is_one_line(evaluate: Eval, arguments: list[str], says: str) -> None:
    one_line(evaluate(*arguments), says)


def test_saes_of_some_seeds_alone_are_refused(evaluate: Eval, tiny_bundle: Path) -> None:
    given = ("--seed-model", tiny_bundle, "--seed-sae", tiny_bundle)
    one_line(evaluate(*given), "SAEs are needed of all seeds or of none")


def one_line(found: tuple[int, str, str], says: str) -> None:
    code, _, errors = found
    assert code == 1
    assert says in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_report_is_two_files_and_is_not_computed_twice(
    evaluate: Eval, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "evidence"
    assert evaluate("--out", out, "--name", "a model/of <ours>")[0] == 0
    written = out / "a-model-of-ours.json", out / "a-model-of-ours.html"
    assert sorted(out.iterdir()) == sorted(written)
    document = Document.read(written[0])
    assert (document.kind, document.name) == ("eval", "a model/of <ours>")
    assert {table.key for table in document.tables} >= {"p1/layers", "p2/by_concept", "p2/concepts"}
    assert {figure.key for figure in document.figures} >= {"p1/rates", "p2/means", "p2/concepts"}
    html = written[1].read_text()
    assert "a model/of &lt;ours&gt;" in html
    for verdict in document.verdicts:
        assert f"{verdict['name']}</h2>" in html

    def fails(*_: Any) -> Any:
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr(evidence, "rates_and_overlap", fails)
        written[1].unlink()
        code, text, _ = evaluate("--out", out, "--name", "a model/of <ours>")
    assert code == 0
    assert "nothing has changed" in text
    assert f"P1 {document.verdicts[0]['status']}" in text
    assert written[1].read_text() == html
    report = EvalReport(out, None, "a model/of <ours>")
    assert report.kept(dict(document.settings)) is not None
    assert report.kept(dict(document.settings) | {"seed": 1}) is None  # other numbers
    written[0].write_text("{}")
    assert report.kept(dict(document.settings)) is None

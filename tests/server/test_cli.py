"""The `mfn` command: what it says when all is well, and one line when it is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from mfn_core import MFNModel
from mfn_server import cli
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.db.tables import Feature, IndexRun, Source
from mfn_server.index_file import load_index
from mfn_server.presets.shipped import read_shipped
from tests.conftest import TINY_TEXTS
from tests.server.comparing import INDEX_TABLES, same_tables

DEMO = Path(__file__).resolve().parents[2] / "demo"

Mfn = Callable[..., tuple[int, str, str]]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text, "title": f"t{i}"}) + "\n" for i, text in enumerate(TINY_TEXTS)))
    return path


@pytest.fixture
def mfn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Mfn:
    """Runs the command in this process. Gives the exit code, and what it printed to both streams."""
    monkeypatch.setenv("MFN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mfn", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def one_line_error(result: tuple[int, str, str]) -> str:
    code, _, errors = result
    lines = [line for line in errors.splitlines() if line.strip()]
    assert code == 1
    assert len(lines) == 1, errors
    assert lines[0].startswith("Error: ")
    return lines[0]


def test_help_names_every_command(mfn: Mfn) -> None:
    code, text, _ = mfn("--help")
    assert code == 0
    commands = ("demo", "serve", "train", "equip", "index", "weights", "info", "concepts", "rates", "eval", "presets")
    for command in (*commands, "find-presets"):
        assert re.search(rf"^\W*{command}\b", text, re.MULTILINE)
        assert mfn(command, "--help")[0] == 0


def test_version(mfn: Mfn) -> None:
    from mfn_server import __version__

    assert mfn("--version")[1].strip() == f"mfn {__version__}"


def test_index_then_info(mfn: Mfn, tiny_bundle: Path, tiny_model: MFNModel, corpus: Path, tmp_path: Path) -> None:
    db, file = tmp_path / "studio.sqlite3", tmp_path / "index.npz.xz"
    code, text, errors = mfn("index", tiny_bundle, corpus, "--db", db, "--export", file, "--name", "stories")
    assert (code, errors.strip()) == (0, "")
    assert "96 features" in text
    assert "token R², layer 1: " in text
    _, text, _ = mfn("info", db, "--json", tmp_path / "index.json")
    report = json.loads((tmp_path / "index.json").read_text())
    assert (report["kind"], report["model"], report["corpus"]) == ("index", tiny_model.fingerprint, "stories")
    assert {n: layer["alive"] + layer["dead"] for n, layer in report["layers"].items()} == {"0": 48, "1": 48}
    often = report["layers"]["1"]["token_r2"]["features"]
    assert re.search(rf"layer 1: .*of {often} features" if often else "layer 1: not known of any", text)
    assert re.search(r"index +current: stories, [\d,]+ tokens, \d+ features fire", text)
    assert re.search(r"token R² +layer 1: ", text)
    _, text, _ = mfn("info", tiny_bundle)
    assert tiny_model.fingerprint in text
    assert "48 features, K 6" in text
    assert load_index(file).model_fingerprint == tiny_model.fingerprint


def test_what_an_index_keeps_is_a_setting(mfn: Mfn, tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    db, file = tmp_path / "studio.sqlite3", tmp_path / "index.npz.xz"
    chosen = ("--top", 3, "--window", 8, "--bf16", "--device", "cpu")
    assert mfn("index", tiny_bundle, corpus, "--db", db, "--export", file, *chosen)[0] == 0
    index = load_index(file)
    assert (index.settings.n_top, index.settings.window, index.settings.bf16) == (3, 8, True)
    assert {int(layer.contexts.length.max()) for layer in index.layers} == {8}
    assert {int(layer.contexts.rank[layer.contexts.kind == 0].max()) for layer in index.layers} == {2}
    wrong = one_line_error(mfn("index", tiny_bundle, corpus, "--db", db, "--device", "warp"))
    assert "device warp cannot be used" in wrong
    assert "current: texts.jsonl" in mfn("info", db)[1], "what was there stays"


def test_a_report_is_of_one_index(mfn: Mfn, tiny_bundle: Path, tmp_path: Path) -> None:
    db = tmp_path / "studio.sqlite3"
    open_database(f"sqlite:///{db}").close()
    assert "holds 0 indexes" in one_line_error(mfn("info", db, "--json", tmp_path / "a.json"))
    assert "is no database" in one_line_error(mfn("info", tiny_bundle, "--json", tmp_path / "a.json"))


def test_an_exported_index_is_the_computed_one(mfn: Mfn, tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    built, imported, file = tmp_path / "a.sqlite3", tmp_path / "b.sqlite3", tmp_path / "index.npz.xz"
    assert mfn("index", tiny_bundle, corpus, "--db", built, "--export", file)[0] == 0
    assert mfn("index", tiny_bundle, "--import", file, "--db", imported)[0] == 0
    same_tables(built, imported, INDEX_TABLES)


@pytest.fixture
def labelled(tmp_path: Path) -> list[object]:
    """Two topics, a kind of word and two scripts, as options of `mfn concepts`."""
    rows = [
        {"id": f"{name}/{n}", "kind": "topic", "concept": name, "text": " ".join([text] * (n % 3 + 1))}
        for name, text in (("sea", TINY_TEXTS[5]), ("kitchen", TINY_TEXTS[7]))
        for n in range(12)
    ]
    rows += [{"id": f"s{n}", "kind": "syntax", "text": "see 12 жук", "spans": [[4, 6, "number"]]} for n in range(8)]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "scripts.jsonl").write_text(json.dumps({"text": "Ωμέγα " * 300}))
    return ["--labels", tmp_path / "labels.jsonl", "--scripts", tmp_path / "scripts.jsonl"]


def test_concepts_are_tabled_and_written(
    mfn: Mfn, tiny_bundle: Path, tmp_path: Path, labelled: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table.json"
    monkeypatch.setattr("mfn_server.progress.EVERY", 0.0)
    code, text, told = mfn("concepts", tiny_bundle, *labelled, "--formats", 2, "--ablate", "--json", table)
    assert code == 0
    found = {row["concept"]: row for row in json.loads(table.read_text())["concepts"]}
    kinds = {name for name in found if not name.startswith("format/")}
    assert kinds == {"topic/sea", "topic/kitchen", "syntax/number", "script/cyrillic", "script/greek"}
    ablated = {name for name, row in found.items() if "ablated" in row}
    assert ablated == {name for name, row in found.items() if row["found"]} >= {"topic/sea", "topic/kitchen"}
    sea = found["topic/sea"]
    assert sea["unit"] == "text"
    assert sea["recall"]["whole"] + found["topic/kitchen"]["recall"]["whole"] == sea["base"]["whole"]
    assert found["script/cyrillic"]["unit"] == "token"
    assert {"inside", "outside", "specific", "control", "above_control", "changes"} <= set(sea["ablated"])
    for name, row in found.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(name))
        assert f"L{row['layer']}/{row['feature']}" in line
        assert line.rstrip().endswith("found") == row["found"]
        if row["found"]:
            assert f"{row['ablated']['inside']['value']:+.3f}" in line
            assert (" changes" in line) == row["ablated"]["changes"]
    assert f"{sum(row['found'] for row in found.values())} of {len(found)} concepts found" in text
    for phase in (
        "reading text",
        "looking for",
        "reading the texts without ablation",
        f", {len(ablated)} of {len(ablated)} (",
    ):
        assert phase in told


KILLED = """
import os, signal, sys
from mfn_core.evaluation.journal import Journal
from mfn_server import cli

once = Journal.once

def kill_in_the_middle(journal, key, compute):
    if key.startswith("ablated/") and len(journal) == 2:
        with journal._path.open("a") as out:
            out.write('{"key": "ablated/')
            out.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    return once(journal, key, compute)

Journal.once = kill_in_the_middle
sys.argv = ["mfn", *sys.argv[1:]]
cli.main()
"""


def test_concepts_go_on_after_a_kill(
    mfn: Mfn, tiny_bundle: Path, tmp_path: Path, labelled: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, table = tmp_path / "whole.json", tmp_path / "table.json"
    journal = tmp_path / "table.json.journal"
    given = ["concepts", tiny_bundle, *labelled, "--formats", 0, "--ablate", "--json"]
    assert mfn(*given, whole)[0] == 0
    assert not (tmp_path / "whole.json.journal").exists()
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, given), str(table)], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not table.exists()
    assert len(journal.read_text().splitlines()) == 4, "settings, detectors, one concept and half a line"
    before = journal.read_bytes()
    assert "other settings (texts)" in one_line_error(mfn(*given[:-3], "2", *given[-2:], table))
    assert journal.read_bytes() == before
    monkeypatch.setattr("mfn_server.progress.EVERY", 0.0)
    code, _, told = mfn(*given, table)
    assert code == 0
    assert "looking for" not in told
    went_on, expected = (json.loads(path.read_text())["concepts"] for path in (table, whole))
    assert f"1 of {sum(row['found'] for row in expected) - 1} (" in told
    for row, other in zip(went_on, expected, strict=True):
        one, two = row.pop("ablated", None), other.pop("ablated", None)
        assert row == other
        assert (one is None) == (two is None) == (not row["found"])
        if one is not None:
            assert one["inside"]["value"] == pytest.approx(two["inside"]["value"], abs=1e-5)
            assert (one["control"]["feature"], one["texts"]) == (two["control"]["feature"], two["texts"])
    assert not journal.exists()
    journal.write_bytes(before)
    code, _, told = mfn(*given, table, "--anew")
    assert code == 0
    assert "looking for" in told


def test_presets_are_measured(mfn: Mfn, tiny_bundle: Path, tiny_model: MFNModel, tmp_path: Path) -> None:
    turned = {"source": tiny_model.source_key(1), "index": 7, "mode": "set", "value": 30.0}
    presets = [
        {"name": "never", "interventions": [turned], "test": {"pattern": "(?!)"}},
        {"name": "always", "interventions": [turned], "test": {"pattern": ""}},
        {"name": "untested", "interventions": [turned]},
    ]
    file, prompts, table = tmp_path / "presets.json", tmp_path / "prompts.txt", tmp_path / "table.json"
    file.write_text(json.dumps(presets))
    prompts.write_text("The ship\n\nSnow fell\n")
    given = ("presets", tiny_bundle, "--presets", file, "--prompts", prompts, "--tokens", 6)
    code, text, _ = mfn(*given, "--json", table)
    assert code == 0
    assert "0 of 2 presets show over 2 prompts" in text
    found = json.loads(table.read_text())
    assert [(row["name"], row["steered"]["part"], row["steered"]["whole"]) for row in found["presets"]] == [
        ("never", 0, 2),
        ("always", 2, 2),
    ]
    assert (found["tokens"], found["prompts"]) == (6, 2)
    file.write_text(json.dumps(presets[2:]))
    assert "no preset with a test" in one_line_error(mfn(*given))
    file.write_text(json.dumps([{**presets[0], "test": {"script": "greek", "pattern": "x"}}]))
    assert "exactly one" in one_line_error(mfn(*given))
    file.write_text(json.dumps([{**presets[0], "interventions": [{**turned, "source": "mlp.3"}]}]))
    assert "mlp.3" in one_line_error(mfn(*given))
    prompts.write_text("\n")
    file.write_text(json.dumps(presets))
    assert "no prompt" in one_line_error(mfn(*given))


def test_presets_are_searched_for(mfn: Mfn, tiny_bundle: Path, tiny_model: MFNModel, tmp_path: Path) -> None:
    goals, choosing, scoring = tmp_path / "goals.toml", tmp_path / "choosing.txt", tmp_path / "scoring.txt"
    goals.write_text(
        "[[steer]]\nid = 'form/any'\nname = 'Anything'\npattern = ''\n"
        "[[steer]]\nid = 'topic/sea'\nname = 'The sea'\nwords = 'ship\tsail harbour'\n"
    )
    choosing.write_text("The ship\nHe said\n")
    scoring.write_text("Snow fell\n")
    out, table = tmp_path / "found", tmp_path / "table.json"
    given = ["find-presets", tiny_bundle, "--out", out, "--goals", goals, "--corpus", DEMO / "concepts/discourse.jsonl"]
    given += ["--choice-prompts", choosing, "--prompts", scoring, "--tokens", 4, "--pieces", 20]
    code, text, _ = mfn(*given, "--json", table)
    assert code == 0
    assert re.search(r"form/any .*too loose", text)
    assert "0 of 2 work" in text
    assert read_shipped(out / "presets.json") == []
    assert [(row["goal"], row["works"]) for row in json.loads(table.read_text())["found"]] == [
        ("form/any", False),
        ("topic/sea", False),
    ]
    assert "(tokens)" in one_line_error(mfn(*given, "--tokens", 5))
    assert "there is no goal 'sky'" in one_line_error(mfn(*given, "--only", "sky"))
    scoring.write_text("He said\n")
    assert "'He said'" in one_line_error(mfn(*given))
    goals.write_text("[[steer]]\nid = 'x'\nname = 'x'\npattern = '('\n")
    assert "no regular expression" in one_line_error(mfn(*given))
    goals.write_text("[[steer]]\nid = 'x'\nname = 'x'\npattern = 'x'\n" * 2)
    assert "two goals" in one_line_error(mfn(*given))


def test_a_preset_that_was_found_can_be_served_and_measured_again(tiny_model: MFNModel, tmp_path: Path) -> None:
    from mfn_core.evaluation.steer_search.goals import Finding, turns_from_json
    from mfn_core.evaluation.steering import SteerEffect
    from mfn_core.intervals import Share
    from mfn_server.presets.finding import preset_of
    from mfn_server.presets.goals_file import GoalBody

    goal = GoalBody(id="script/greek", name="Greek", description="Greek letters.", script="greek")
    effect = SteerEffect("script/greek", Share(45, 50), Share(0, 50), Share(1, 50), 20.0, 12.0)
    found = Finding(goal.goal(), Share(0, 50), turns_from_json([[1, 7, 9.5, 8]]), 1.0, 1.2, "He", effect, effect)
    file = tmp_path / "presets.json"
    file.write_text(json.dumps([preset_of(tiny_model, goal, found, judged=True)]))
    (preset,) = read_shipped(file)
    assert preset.test is not None
    assert preset.test.test() == goal.test()
    (turned,) = preset.interventions
    assert (turned.source, turned.index, turned.value) == (tiny_model.source_key(1), 7, 9.5)
    assert turned.scope.stop == 8
    assert "first 8 new tokens" in preset.description
    assert "45 of 50 prompts" in preset.description
    assert "measured" not in preset.preset().model_dump()


def test_wrong_arguments_are_one_line(mfn: Mfn, tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    db = tmp_path / "studio.sqlite3"
    assert "there is no corpus" in one_line_error(mfn("index", tiny_bundle, tmp_path / "none.txt", "--db", db))
    assert "nothing to index" in one_line_error(mfn("index", tiny_bundle, "--db", db))
    assert "model folder" in one_line_error(mfn("index", tmp_path, corpus, "--db", db))
    assert "there is no index file" in one_line_error(mfn("index", tiny_bundle, "--import", tmp_path / "x", "--db", db))
    assert "neither a model nor a database" in one_line_error(mfn("info", tmp_path / "none"))
    assert "cannot read the config" in one_line_error(mfn("train", tmp_path / "none.toml"))
    assert "none.jsonl" in one_line_error(mfn("concepts", tiny_bundle, "--labels", tmp_path / "none.jsonl"))
    assert "no such folder" in one_line_error(mfn("concepts", tiny_bundle, "--json", tmp_path / "none" / "t.json"))
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    assert "no text" in one_line_error(mfn("index", tiny_bundle, empty, "--db", db))
    broken = tmp_path / "broken.sqlite3"
    broken.write_bytes(b"no database " * 1000)
    assert "damaged or is no database" in one_line_error(mfn("index", tiny_bundle, corpus, "--db", broken))
    assert "damaged or is no database" in one_line_error(mfn("info", broken))
    assert "damaged or is no database" in one_line_error(mfn("serve", tiny_bundle, "--port", "0", "--db", broken))
    assert mfn("serve", tiny_bundle, "--port", "high")[0] == 2


@pytest.fixture
def mfn_apart(tmp_path: Path) -> Mfn:
    """The same in a process of its own: a server that begins to run needs an event loop to itself."""

    def run(*arguments: object) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "mfn_server.cli", *map(str, arguments)],
            env={**os.environ, "MFN_HOME": str(tmp_path / "home"), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_broken_bundle_ends_the_server_with_one_line(mfn_apart: Mfn, tiny_bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    (broken / "config.json").write_text("{")
    result = mfn_apart("serve", broken, "--port", "0", "--db", tmp_path / "x.sqlite3", "--no-browser")
    assert "config.json is not JSON" in one_line_error(result)


def test_a_database_of_another_model_ends_the_server(
    mfn: Mfn, mfn_apart: Mfn, tiny_model: MFNModel, tiny_bundle: Path, corpus: Path, tmp_path: Path
) -> None:
    db, other = tmp_path / "studio.sqlite3", tmp_path / "other"
    assert mfn("index", tiny_bundle, corpus, "--db", db)[0] == 0
    changed = MFNModel.from_pretrained(tiny_bundle)
    changed.coders[0].b_dec.data += 1
    changed.save_pretrained(other)
    line = one_line_error(mfn_apart("serve", other, "--port", "0", "--db", db, "--no-browser"))
    assert "holds the index of another model (tiny)" in line


def test_a_taken_port_is_one_line(mfn: Mfn, tiny_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = one_line_error(mfn("serve", tiny_bundle, "--port", port, "--db", tmp_path / "x.sqlite3"))
    assert f"port {port} is in use already; choose another with --port" in line


def test_a_setting_that_makes_no_sense_is_one_line(
    mfn: Mfn, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path
) -> None:
    monkeypatch.setenv("MFN_MAX_BODY_BYTES", "many")
    assert "MFN_MAX_BODY_BYTES" in one_line_error(mfn("serve", tiny_bundle))


def _start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mfn_server.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_a_server_makes_its_index_while_it_runs(tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    """As `mfn demo` does at its first start; then it ends cleanly on SIGINT."""
    process = _start(
        *("serve", tiny_bundle, "--db", tmp_path / "db.sqlite3", "--port", "0", "--no-browser"),
        MFN_CORPUS=json.dumps([str(corpus)]),
    )
    try:
        assert process.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert match
        base = match.group()
        states = []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            states.append(_get(f"{base}/api/health")["index"]["state"])
            if states[-1] in ("ready", "error"):
                break
            time.sleep(0.2)
        assert states[0] == "building"
        assert states[-1] == "ready"
        listed = _get(f"{base}/api/features")
        assert listed["total"] > 10
        while _get(f"{base}/api/health")["busy"] and time.monotonic() < deadline:
            time.sleep(0.2)
        row = listed["items"][0]
        assert _get(f"{base}/api/features/{row['source']}/{row['index']}")["weights"], "or it is busy still"
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors


def test_a_killed_index_run_leaves_the_old_one(mfn: Mfn, tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    db = tmp_path / "studio.sqlite3"
    assert mfn("index", tiny_bundle, corpus, "--db", db)[0] == 0
    database = open_database(f"sqlite:///{db}")
    before = _current(database)
    long = tmp_path / "long.txt"
    long.write_text("\n".join(TINY_TEXTS * 3000))
    process = _start("index", tiny_bundle, long, "--db", db)
    _wait_for(lambda: _phase(database) == "indexing", process)
    other = mfn("index", tiny_bundle, corpus, "--db", db)
    assert "another process is indexing" in one_line_error(other)
    process.kill()
    process.communicate()
    assert _current(database) == before
    assert mfn("index", tiny_bundle, corpus, "--db", db)[0] == 0
    with database.read() as connection:
        assert connection.scalars(select(IndexRun.state)).all() == ["ready", "ready"], "the killed one is gone"
        assert connection.scalar(select(func.count()).select_from(Feature)) == 2 * 96
    database.close()


def _current(database: Database) -> set[int | None]:
    with database.read() as connection:
        return set(connection.scalars(select(Source.current_run_id)))


def _phase(database: Database) -> str | None:
    with database.read() as connection:
        return connection.scalar(select(IndexRun.phase).where(IndexRun.state == "building"))


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_rates_are_counted_on_a_corpus_and_on_the_text_of_a_run(mfn: Mfn, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(" ".join(TINY_TEXTS) * 30)
    code, text, _ = mfn("rates", tiny_bundle, tmp_path / "text.txt", "--tokens", 500, "--json", tmp_path / "rates.json")
    assert code == 0
    assert "within 2 ×" in text
    report = json.loads((tmp_path / "rates.json").read_text())
    assert 400 < report["tokens"] <= 500
    assert all(layer["tokens"] == report["tokens"] for layer in report["layers"].values())
    (tmp_path / "short.txt").write_text("too short")
    assert "give " in one_line_error(mfn("rates", tiny_bundle, tmp_path / "short.txt"))
    data = tmp_path / "run" / "data"
    data.mkdir(parents=True)
    np.save(data / "train.npy", np.arange(1, 61, dtype=np.uint16).reshape(5, 12))
    (data / "recipe.json").write_text('{"start": 1}')
    assert mfn("rates", tiny_bundle, tmp_path / "run", "--json", tmp_path / "rates.json")[0] == 0
    assert json.loads((tmp_path / "rates.json").read_text())["tokens"] == 59
    np.save(data / "train.npy", np.full((5, 12), 60_000, dtype=np.uint16))
    assert "another vocabulary" in one_line_error(mfn("rates", tiny_bundle, tmp_path / "run"))


def test_weights_are_worked_out_once(mfn: Mfn, tiny_bundle: Path, tmp_path: Path) -> None:
    db = tmp_path / "a.sqlite3"
    said = f"what the weights say of 96 features is in {db}: "
    assert mfn("weights", tiny_bundle, "--db", db)[:2] == (0, said + "computed\n")
    assert mfn("weights", tiny_bundle, "--db", db)[:2] == (0, said + "it was already\n")
    assert mfn("weights", tiny_bundle, "--db", db, "--most-pairs", 9215)[:2] == (0, said + "computed\n")
    left = sqlite3.connect(db).execute("SELECT left_out FROM source_weights").fetchall()
    assert len(left) == 2
    assert all("neighbours are left out: 9,216 pairs" in sentences for (sentences,) in left)
    assert mfn("weights", tiny_bundle, "--db", db)[:2] == (0, said + "it was already\n"), "unless asked for otherwise"
    assert mfn("weights", tiny_bundle, "--db", db, "--anew")[:2] == (0, said + "computed\n")
    assert sqlite3.connect(db).execute("SELECT DISTINCT left_out FROM source_weights").fetchall() == [("[]",)]


def test_weights_of_what_is_not_there(mfn: Mfn, tiny_bundle: Path, tmp_path: Path) -> None:
    assert "MFN_MAP: Input should be 'auto', 'pca' or 'umap'" in one_line_error(
        mfn("weights", tiny_bundle, "--db", tmp_path / "a.sqlite3", "--map", "tsne")
    )
    assert "no model" in one_line_error(mfn("weights", tmp_path / "none", "--db", tmp_path / "a.sqlite3"))

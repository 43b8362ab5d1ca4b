"""Evidence in folders: listed as it is on disk now, sent whole, and what is broken is told of instead of breaking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mfn_core.evidence.document import Document, Figure, Table
from mfn_server.app import create_app
from mfn_server.evidence import store
from mfn_server.evidence.curves import MOST_POINTS, curves
from mfn_server.settings import Settings


def document(name: str, summary: str = "Nothing was found.") -> Document:
    verdict = {"name": "P1", "claim": "", "status": "fails", "conditions": [], "tables": {}}
    figure = Figure("a", "A", "", {"data": [], "layout": {}})
    settings = {"model": "f" * 64, "odd": float("nan")}
    made = {"time": "2026-11-29T00:00:00+00:00"}
    return Document(
        "eval", name, f"<{name}>", summary, settings, made, [verdict], tables=[Table("t", "", [], [])], figures=[figure]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture(scope="module")
def client(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[TestClient]:
    """Nothing here waits for the model: evidence is there before it."""
    path = tmp_path_factory.mktemp("database") / "studio.sqlite3"
    app = create_app(Settings(model=tiny_bundle, database=str(path), evidence=[folder, folder / "nowhere"]))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(autouse=True)
def empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def keys(client: TestClient) -> list[str]:
    return [each["key"] for each in client.get("/api/evidence").json()["documents"]]


def test_what_lies_there_is_listed_and_sent_whole(client: TestClient, folder: Path) -> None:
    document("a model").write(folder / "x.json")
    found = client.get("/api/evidence").json()
    (item,) = found["documents"]
    assert (item["key"], item["kind"], item["title"], item["model"]) == ("a_model", "eval", "<a model>", "f" * 64)
    assert (item["verdicts"], item["tables"], item["figures"]) == ([{"name": "P1", "status": "fails"}], 1, 1)
    assert found["broken"] == [{"file": "nowhere", "reason": "there is no such folder"}]
    whole = client.get("/api/evidence/a_model")
    assert whole.json() == document("a model").to_json()
    assert client.get(f"/api/evidence/{item['digest'][:8]}").json() == whole.json()
    again = client.get("/api/evidence/a_model", headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for unknown in ("b", item["digest"][:7], "runs"):
        answer = client.get(f"/api/evidence/{unknown}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_evidence")


def test_changes_on_disk_are_seen(client: TestClient, folder: Path) -> None:
    assert keys(client) == []
    document("m").write(folder / "m.json")
    first = client.get("/api/evidence/m")
    document("m", "Something else was found.").write(folder / "m.json")
    second = client.get("/api/evidence/m", headers={"If-None-Match": first.headers["etag"]})
    assert second.json()["summary"] == "Something else was found."
    (folder / "m.json").unlink()
    assert keys(client) == []


def test_two_of_one_name_are_told_apart_and_a_copy_is_shown_once(client: TestClient, folder: Path) -> None:
    document("m").write(folder / "1.json")
    document("m").write(folder / "2.json")
    assert keys(client) == ["m"]
    document("m", "Another.").write(folder / "2.json")
    found = keys(client)
    assert len(set(found)) == 2
    assert {client.get(f"/api/evidence/{key}").json()["summary"] for key in found} == {
        "Nothing was found.",
        "Another.",
    }


def test_what_is_broken_is_told_of(client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document("m").write(folder / "good.json")
    (folder / "cut.json").write_text('{"mfn_evidence": 1,\n "kind')
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "other.json").write_text("[]")
    (folder / "bytes.json").write_bytes(b"\xff\xfe{")
    (folder / "gone.json").symlink_to(folder / "nowhere.json")
    (folder / "folder.json").mkdir()
    monkeypatch.setattr(store, "MOST_BYTES", 2000)
    (folder / "long.json").write_text(" " * 2001)
    found = client.get("/api/evidence").json()
    assert [each["key"] for each in found["documents"]] == ["m"]
    said = {each["file"].rpartition("/")[2]: each["reason"] for each in found["broken"]}
    assert set(said) == {"cut.json", "deep.json", "other.json", "bytes.json", "long.json", "nowhere"}
    assert "no field mfn_evidence" in said["other.json"]
    assert not any("\n" in reason or str(folder) in reason for reason in said.values())
    monkeypatch.setattr(store, "MOST_FILES", 2)
    assert client.get("/api/evidence").json()["left_out"] == 4


def test_html_is_a_file_that_may_do_nothing_here(client: TestClient, folder: Path) -> None:
    document("m/../é").write(folder / "m.json")
    (key,) = keys(client)
    answer = client.get(f"/api/evidence/{key}/html")
    assert "&lt;m/../é&gt;" in answer.text
    assert answer.headers["content-disposition"] == 'attachment; filename="m.html"'
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy


def test_curves_of_runs(client: TestClient, folder: Path) -> None:
    run = folder / "run 1"
    run.mkdir()
    lines = [{"step": step, "loss": 2.0 / (step + 1), "fvu": {"0": 0.5, "3": step}, "note": "x"} for step in range(3)]
    lines.append({"step": 2, "valid": {"loss": 1.5, "layers": {"3": {"fvu": float("nan"), "dead": 0.25}}}})
    log = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(log + '["no line"]\n{"step": 3, "lo')
    (run / "config.json").write_text('{"seed": 7}')
    found = client.get("/api/evidence").json()
    assert [(each["key"], each["name"]) for each in found["runs"]] == [("run_1", "run 1")]
    assert found["documents"] == []  # its config.json is none
    answer = client.get("/api/evidence/runs/run_1")
    told = answer.json()
    assert told["config"] == {"seed": 7}
    assert {curve["name"]: curve["series"] for curve in told["curves"]} == {
        "loss": [{"name": "", "steps": [0, 1, 2], "values": [2.0, 1.0, 2 / 3]}],
        "fvu": [
            {"name": "0", "steps": [0, 1, 2], "values": [0.5, 0.5, 0.5]},
            {"name": "3", "steps": [0, 1, 2], "values": [0.0, 1.0, 2.0]},
        ],
        "valid loss": [{"name": "", "steps": [2], "values": [1.5]}],
        "valid layers dead": [{"name": "3", "steps": [2], "values": [0.25]}],
    }
    etag = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/api/evidence/runs/run_1", headers=etag).status_code == 304
    with (run / "metrics.jsonl").open("a") as file:
        file.write('\n{"step": 4, "loss": 0.5}\n')
    assert client.get("/api/evidence/runs/run_1", headers=etag).json()["curves"][0]["series"][0]["steps"][-1] == 4
    (run / "metrics.jsonl").write_bytes(b"\xff\n")
    assert client.get("/api/evidence/runs/run_1").status_code == 404
    answer = client.get("/api/evidence/runs/other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_run")


def test_many_points_are_thinned_evenly_to_the_last(tmp_path: Path) -> None:
    count = 3 * MOST_POINTS
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {step}, "loss": {step}}}\n' for step in range(count)))
    (series,) = curves(tmp_path)["loss"]
    assert len(series.steps) == MOST_POINTS
    assert (series.steps[0], series.steps[-1]) == (0, count - 1)
    assert series.values == series.steps
    assert {after - before for before, after in zip(series.steps, series.steps[1:], strict=False)} <= {2, 3, 4}

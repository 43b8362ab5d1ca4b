"""`mfn index --ray`: the same rows as one process makes, also where a worker is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfn_core.errors import ConfigError
from mfn_core.indexing.ray_run import RayOptions, _check
from mfn_core.ray_cluster import connect, share_out
from mfn_server.cli import app
from mfn_server.db.migrate import open_database
from mfn_server.indexing import IndexOrder, run_index

from .test_index_resuming import quiet, rows, write_corpus


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:99999"]
)
def test_where_no_cluster_answers_it_is_said_at_once(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="no Ray cluster answers at"):
        connect(address, "indexing")


def nodes(*resources: dict[str, float]) -> list[dict[str, Any]]:
    return [{"Alive": True, "Resources": each} for each in resources] + [{"Alive": False, "Resources": {"CPU": 64.0}}]


def test_workers_find_a_place() -> None:
    two = nodes({"CPU": 16.0}, {"CPU": 8.0})
    assert share_out(two, None) == (2, {"num_cpus": 8})
    assert share_out(two, 3) == (3, {"num_cpus": 8})
    assert share_out(two, 4) == (4, {"num_cpus": 5})
    assert share_out(nodes({"CPU": 2.0}), 2) == (2, {"num_cpus": 1})
    assert share_out(nodes({"CPU": 2.0}), 5) == (5, {"num_cpus": 1})
    gpus = nodes({"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}, {"CPU": 4.0})
    assert share_out(gpus, None) == (6, {"num_gpus": 1, "num_cpus": 1})
    assert share_out(gpus, None, "cpu") == (3, {"num_cpus": 8})


def test_a_worker_with_another_model_is_refused() -> None:
    ours = {"model": "a", "torch": "2", "settings": {}, "dtype": "float32", "device": "cpu", "where": "here"}
    _check({**ours, "device": "cuda"}, ours)
    for name in ("model", "torch", "dtype"):
        with pytest.raises(ConfigError, match=f"has another {name} than this run"):
            _check({**ours, name: "b", "where": "there"}, ours)
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        RayOptions(workers=0)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (["m", "c", "--ray"], "local"),
        (["m", "c", "--ray", "--top", "3"], "local"),
        (["--ray", "head:6379", "m", "c"], "head:6379"),
        (["m", "c"], None),
    ],
)
def test_the_address_may_be_left_out(
    given: list[str], address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    asked: list[IndexOrder] = []
    monkeypatch.setattr("mfn_server.indexing.run_index", lambda order, progress: asked.append(order) or "done")
    assert CliRunner().invoke(app, ["index", *given, "--db", str(tmp_path / "x.db")]).exit_code == 0
    assert (asked[0].ray, asked[0].corpora) == (address, ("c",))


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if any("ray::ShardWorker" in part for part in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True])
def test_two_workers_make_the_rows_of_one_process(tiny_bundle: Path, tmp_path: Path, kill: bool) -> None:
    """A local cluster of two worker processes, one of which is killed while it has shards that nobody else has.

    The corpus is many files, .jsonl and .parquet, which processes of the cluster read.
    """
    pytest.importorskip("ray")
    corpus = tmp_path / "texts"
    corpus.mkdir()
    for file in range(6):
        lines = write_corpus(corpus / f"{file}.jsonl", 50, seed=file)
        if file % 2:
            rows_of = [json.loads(line) for line in lines.read_text().splitlines()]
            table = pa.table({name: [row[name] for row in rows_of] for name in rows_of[0]})
            pq.write_table(table, corpus / f"{file}.parquet", row_group_size=20)
            lines.unlink()
    alone, apart = tmp_path / "alone.sqlite3", tmp_path / "apart.sqlite3"
    run_index(
        IndexOrder(
            tiny_bundle, (str(corpus),), f"sqlite:///{alone}", tmp_path, shard_tokens=1000, device="cpu", map="pca"
        ),
        quiet,
    )
    given = (tiny_bundle, corpus, "--db", apart, "--shard", 1000, "--device", "cpu", "--workers", 2, "--ray")
    process = subprocess.Popen(
        [sys.executable, "-m", "mfn_server.cli", "index", *map(str, given)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MFN_HOME": str(tmp_path / "home"), "MFN_MAP": "pca"},
    )
    try:
        if kill:
            busy: list[psutil.Process] = []
            while len(busy) < 2:
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
                busy = [each for each in workers_of(process) if "index" in "".join(each.cmdline())]
            busy[0].send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert ("is lost" in errors) == kill, errors
    databases = [open_database(f"sqlite:///{path}") for path in (alone, apart)]
    mine, theirs = map(rows, databases)
    for name in mine:
        assert mine[name] == theirs[name], name
    for database in databases:
        database.close()

"""Memory that an index takes on its way out of a database into parquet tables, and back into another.

A synthetic index (see `benchmarks.synthetic`). Each part runs in a process of its own; its figure is the most that the
process had allocated at any time, beyond what it had before it began. Files that are mapped into memory are not
counted: the system takes them out of it where it needs the room.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Metric, Result
from benchmarks.synthetic.studio import make_studio

SIZES = (10_000, 100_000)
TOKENS = 1 << 20
PARTS = ("export", "export_at_once", "read", "check", "store")


def run(quick: bool, features: int | None = None, keep: Path | None = None) -> Result:
    """Measures indexes of 10,000 and of 100,000 features, or of as many as are named."""
    sizes = (features,) if features else (800,) if quick else SIZES
    metrics: dict[str, Metric] = {}
    with tempfile.TemporaryDirectory(prefix="mfn-bench-") as scratch:
        for size in sizes:
            folder = (keep or Path(scratch)) / f"{size}"
            studio = make_studio(folder, size, 1 << 14 if quick else TOKENS)
            for part in PARTS:
                command = [
                    sys.executable, "-m", "benchmarks.exchange", part, str(studio.model), studio.database,
                    str(Path(scratch) / f"tables-{size}"),
                ]  # fmt: skip
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                metrics[f"{size}_{part}"] = Metric(found / 2**20, "MiB")
    return Result(metrics, {"features": list(sizes), "tokens": 1 << 14 if quick else TOKENS})


def measure(part: str, model: Path, database_url: str, tables: Path) -> int:
    """Bytes, see above."""
    from mfn_core.model import MFNModel
    from mfn_server.db.index_store import IndexStore
    from mfn_server.db.migrate import open_database
    from mfn_server.exchange.checking import check_index
    from mfn_server.exchange.folder_reading import read_folder
    from mfn_server.exchange.folder_writing import write_folder
    from mfn_server.exchange.from_database import index_of_database, parts_of_database
    from mfn_server.model_facts import ModelFacts

    loaded = MFNModel.from_pretrained(model)
    facts, tokenizer = ModelFacts.of(loaded, model), loaded.tokenizer
    assert tokenizer is not None
    if part == "read":
        return _most(lambda: read_folder(tables, tables.parent))
    if part == "check":
        index = read_folder(tables, tables.parent)
        n_features = {source.layer: source.n_features for source in facts.sources}
        return _most(lambda: check_index(index, n_features, facts.vocab_size))
    if part == "store":
        database = open_database(f"sqlite:///{tables.with_suffix('.sqlite3')}")
        try:
            store, index = IndexStore(database), read_folder(tables, tables.parent)
            run_id = store.begin(facts, {})
            return _most(
                lambda: store.store(run_id, facts, index, "made up", lambda ids: str(tokenizer.decode(list(ids))))
            )
        finally:
            database.close()
    database = open_database(database_url)
    try:

        def write() -> None:
            if part == "export":
                write_folder(parts_of_database(database, facts).index, tables, [], "made up", "made up")
            else:
                whole = index_of_database(database, facts).index
                write_folder(whole, tables.with_name(tables.name + "-at-once"), [], "made up", "made up")

        return _most(write)
    finally:
        database.close()


def _most(work: Callable[[], object]) -> int:
    """The most that is allocated while `work` is done, beyond what was before."""
    before, most, done = _allocated(), 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, _allocated())

    thread = threading.Thread(target=look)
    thread.start()
    work()
    most = max(most, _allocated())
    done.set()
    thread.join()
    return max(most - before, 0)


def _allocated() -> int:
    """Memory of this process that no file stands behind, in bytes. Known on Linux alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise RuntimeError("this system does not tell how much memory is allocated")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))))

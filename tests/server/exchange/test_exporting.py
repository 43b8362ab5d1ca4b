"""`mfn export-index` and `mfn index --import`, and the way out of a database."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from mfn_core import MFNModel
from mfn_core.errors import MFNError
from mfn_core.indexing import IndexSettings, index_tokens
from mfn_core.indexing.types import CorpusIndex
from mfn_server.db.index_lock import IndexBusyError, index_lock
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database
from mfn_server.db.tables import IndexRun
from mfn_server.exchange.exporting import ExportOrder, run_export
from mfn_server.exchange.from_database import index_of_database
from mfn_server.index_file import load_index, save_index
from mfn_server.model_facts import ModelFacts
from tests.conftest import TINY_TEXTS
from tests.server.comparing import INDEX_TABLES, same, same_tables
from tests.server.test_cli import Mfn, one_line_error
from tests.server.test_index_store import Store


@pytest.fixture(scope="module")
def true_index(tiny_model: MFNModel) -> CorpusIndex:
    """Made as `mfn index` makes one."""
    documents = [np.array(tiny_model.encode_text(text), np.uint32) for text in TINY_TEXTS]
    meta = [{"title": f"text {n}", "tags": ["x"]} for n in range(len(documents))]
    return index_tokens(tiny_model, documents, meta, IndexSettings(window=16, n_top=3, n_tokens=5))


def test_a_database_gives_back_what_went_in(
    database: Database, store_index: Store, true_index: CorpusIndex, tiny_facts: ModelFacts
) -> None:
    store_index(database, true_index)
    found = index_of_database(database, tiny_facts)
    assert found.corpus == "texts"
    assert all(layer.token_pairs for layer in true_index.layers), "a 0 might be a default"
    same(found.index, true_index)


def test_figures_that_were_not_known(
    database: Database, store_index: Store, true_index: CorpusIndex, tiny_facts: ModelFacts
) -> None:
    layers = [replace(layer, token_r2=None, half_firings=None) for layer in true_index.layers]
    store_index(database, replace(true_index, layers=layers))
    same(index_of_database(database, tiny_facts).index, replace(true_index, layers=layers))


def test_a_database_without_an_index_or_its_settings(
    database: Database, store_index: Store, tiny_index: CorpusIndex, tiny_facts: ModelFacts
) -> None:
    with pytest.raises(MFNError, match="holds no index of tiny"):
        index_of_database(database, tiny_facts)
    store_index(database, tiny_index)
    with database.write() as connection:
        connection.execute(update(IndexRun).values(settings={}))
    with pytest.raises(MFNError, match="before its settings were kept"):
        index_of_database(database, tiny_facts)


def test_out_of_one_database_into_another(mfn: Mfn, tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    built, imported, file, out = (tmp_path / name for name in ("a.sqlite3", "b.sqlite3", "index.npz.xz", "tables"))
    assert mfn("index", tiny_bundle, corpus, "--db", built, "--export", file)[0] == 0
    code, text, _ = mfn("export-index", tiny_bundle, out, "--db", built)
    assert (code, text.strip()) == (0, f"96 features over {load_index(file).n_tokens:,} tokens are in {out}")
    assert mfn("index", tiny_bundle, "--import", out, "--db", imported)[0] == 0
    named = json.loads((out / "manifest.json").read_text())["corpus"]
    assert sqlite3.connect(imported).execute("SELECT name FROM corpus").fetchall() == [(named,)]
    same_tables(built, imported, (*INDEX_TABLES, "source_weights", "feature_weights"))
    words = pq.read_table(out / "vocabulary.parquet").column("text").to_pylist()
    assert len(words) == 300
    assert " the" in words
    again = tmp_path / "again"
    assert mfn("export-index", tiny_bundle, again, "--index", file)[0] == 0
    pairs = [layer.token_pairs for layer in load_index(file).layers]
    assert pq.read_table(again / "layers.parquet").column("token_pairs").to_pylist() == pairs
    third = tmp_path / "third"
    assert mfn("export-index", tiny_bundle, third, "--index", again)[0] == 0
    assert json.loads((third / "manifest.json").read_text())["layers"]
    assert json.loads((third / "manifest.json").read_text())["corpus"] == "index"


def test_nothing_is_read_while_an_index_is_being_made(
    database: Database, store_index: Store, true_index: CorpusIndex, tiny_bundle: Path, tmp_path: Path
) -> None:
    store_index(database, true_index)
    order = ExportOrder(tiny_bundle, tmp_path / "out", database.url.render_as_string(hide_password=False))
    with index_lock(database), pytest.raises(IndexBusyError):
        run_export(order)
    assert not order.out.exists()
    run_export(order)
    assert order.out.exists()


def test_embeddings_may_be_padded_beyond_the_vocabulary(
    tiny_bundle: Path, tiny_index: CorpusIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = [f"token {n}" for n in range(250)]
    monkeypatch.setattr("mfn_core.tokens.token_strings", lambda tokenizer: list(short))
    assert max(layer.promoted_ids.max() for layer in tiny_index.layers) >= len(short)
    file, database = tmp_path / "index.npz.xz", f"sqlite:///{tmp_path / 'a.sqlite3'}"
    save_index(tiny_index, file)
    run_export(ExportOrder(tiny_bundle, tmp_path / "tables", database, file))
    words = pq.read_table(tmp_path / "tables/vocabulary.parquet").column("text").to_pylist()
    assert words == [*short, *[""] * 50]
    run_export(ExportOrder(tiny_bundle, tmp_path / "dashboards", database, file, neuronpedia=True))
    assert list((tmp_path / "dashboards").glob("*/batch-0.json"))
    assert not (tmp_path / "a.sqlite3").exists()


def test_what_cannot_be_done_is_one_line(
    mfn: Mfn, tiny_bundle: Path, tiny_index: CorpusIndex, tmp_path: Path, corpus: Path
) -> None:
    db, out, file = tmp_path / "a.sqlite3", tmp_path / "out", tmp_path / "index.npz.xz"
    assert f"there is no database at {db}" in one_line_error(mfn("export-index", tiny_bundle, out, "--db", db))
    assert not db.exists()
    open_database(f"sqlite:///{db}").close()
    assert "holds no index of tiny" in one_line_error(mfn("export-index", tiny_bundle, out, "--db", db))
    save_index(replace(tiny_index, model_fingerprint="0" * 64), file)
    wrong = one_line_error(mfn("export-index", tiny_bundle, out, "--index", file))
    assert "belongs to another model" in wrong
    assert not out.exists()
    save_index(tiny_index, file)
    assert mfn("export-index", tiny_bundle, out, "--index", file)[0] == 0
    assert "is there already" in one_line_error(mfn("export-index", tiny_bundle, out, "--index", file))
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "model_fingerprint": "0" * 64}))
    foreign = one_line_error(mfn("index", tiny_bundle, "--import", out, "--db", db))
    assert f"{out} belongs to another model than" in foreign
    (out / "manifest.json").write_text(json.dumps(manifest))
    (out / "bands.parquet").write_bytes(b"")
    assert "bands.parquet is damaged" in one_line_error(mfn("index", tiny_bundle, "--import", out, "--db", db))
    assert "there is no manifest.json" in one_line_error(mfn("index", tiny_bundle, "--import", tmp_path, "--db", db))


def test_an_index_file_that_points_to_what_is_not_there(
    mfn: Mfn, tiny_bundle: Path, tiny_index: CorpusIndex, tmp_path: Path
) -> None:
    file = tmp_path / "index.npz.xz"
    save_index(replace(tiny_index, documents=[ids + 300 for ids in tiny_index.documents]), file)
    line = one_line_error(mfn("index", tiny_bundle, "--import", file, "--db", tmp_path / "a.sqlite3"))
    assert "the index is damaged: token ids of documents lie outside" in line

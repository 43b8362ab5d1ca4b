"""From an index to rows: nothing lost on the way, the old index there until the new one is."""

from __future__ import annotations

import dataclasses
import json
import lzma
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import DBAPIError

from mfn_core import MFNModel
from mfn_core.errors import MFNError
from mfn_core.indexing.types import ContextKind, CorpusIndex, LayerIndex
from mfn_server.db.blobs import F4, U4, pack, unpack
from mfn_server.db.browse_build import OFTEN, TermKind
from mfn_server.db.browse_store import levels_of, read_columns
from mfn_server.db.contexts import ContextColumns
from mfn_server.db.index_lock import index_lock
from mfn_server.db.index_store import IndexStore
from mfn_server.db.index_sweep import sweep
from mfn_server.db.postings import features_on_tokens
from mfn_server.db.run_digest import digest_of_run
from mfn_server.db.runs import remove_runs
from mfn_server.db.search import search_words
from mfn_server.db.session import Database, explain
from mfn_server.db.tables import (
    Corpus,
    Document,
    DocumentWindow,
    Feature,
    FeatureColumn,
    FeatureDetail,
    IndexRun,
    SampledContexts,
    Source,
    SourceIndex,
    TermFeatures,
    TokenPosting,
    TopContexts,
)
from mfn_server.db.varints import unpack_ints
from mfn_server.exchange.from_database import index_of_database
from mfn_server.index_file import IndexFileError, load_index, save_index
from mfn_server.model_facts import ModelFacts
from mfn_server.token_r2 import lines_of_index, lines_of_run

Store = Callable[[Database, CorpusIndex], int]
UNSAMPLED: dict[str, Any] = dict.fromkeys(
    ("cofiring_ids", "cofiring_lift", "cofiring_joint", "next_token_ids", "next_token_share", "sampled_firings")
) | {"sampled_tokens": None}
OF_FEATURES = (Feature, FeatureDetail, TopContexts, SampledContexts)
TABLES = (
    IndexRun,
    SourceIndex,
    *OF_FEATURES,
    TokenPosting,
    DocumentWindow,
    Corpus,
    Document,
    FeatureColumn,
    TermFeatures,
)


def counts(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {t.__tablename__: connection.scalar(select(func.count()).select_from(t)) or 0 for t in TABLES}


def test_every_number_of_the_index_can_be_read_back(indexed: Database, tiny_index: CorpusIndex) -> None:
    for layer in tiny_index.layers:
        with indexed.read() as connection:
            features = connection.execute(
                select(Feature, FeatureDetail)
                .join(FeatureDetail)
                .join(Source)
                .where(Source.layer == layer.layer)
                .order_by(Feature.number)
            ).all()
        assert [f.firing_count for f in features] == layer.firing_count.tolist()
        assert np.allclose([f.rate for f in features], layer.firing_count / tiny_index.n_tokens)
        assert np.array_equal([f.maximum for f in features], layer.maximum)
        known = [np.nan if f.token_r2 is None else f.token_r2 for f in features]
        np.testing.assert_array_equal(known, layer.token_r2)
        assert np.array_equal([f.half_firings for f in features], layer.half_firings)
        assert np.array_equal([f.sampled_firings for f in features], layer.sampled_firings)
        assert layer.cofiring_ids is not None
        assert (layer.cofiring_ids < 0).any(), "some lists are shorter than others"
        listed = layer.top_token_share > 0
        assert layer.next_token_ids is not None
        for column, array, kept in (
            ("cofiring_numbers", layer.cofiring_ids, layer.cofiring_ids >= 0),
            ("cofiring_lifts", layer.cofiring_lift, layer.cofiring_ids >= 0),
            ("cofiring_counts", layer.cofiring_joint, layer.cofiring_ids >= 0),
            ("next_ids", layer.next_token_ids, layer.next_token_ids >= 0),
            ("next_shares", layer.next_token_share, layer.next_token_ids >= 0),
            ("token_ids", layer.top_token_ids, listed),
            ("token_shares", layer.top_token_share, listed),
        ):
            assert array is not None
            for feature, row, in_list in zip(features, array, kept, strict=True):
                assert numbers(getattr(feature, column), array.dtype) == row[in_list].tolist(), column
        for column, array in (
            ("histogram", layer.histogram),
            ("band_edges", layer.band_edges),
            ("band_counts", layer.band_count),
            ("promoted_ids", layer.promoted_ids),
            ("promoted_logits", layer.promoted_logits),
            ("suppressed_ids", layer.suppressed_ids),
            ("suppressed_logits", layer.suppressed_logits),
            ("neighbour_numbers", layer.neighbour_ids),
            ("neighbour_cosines", layer.neighbour_cos),
        ):
            assert [numbers(getattr(f, column), array.dtype) for f in features] == array.tolist(), column


def numbers(blob: bytes, dtype: np.dtype[Any]) -> list[float]:
    """What a blob holds: ints where the array is of whole numbers, else f4."""
    return unpack_ints(blob).tolist() if dtype.kind == "i" else unpack(blob, F4).tolist()


def test_every_context_points_to_its_place_in_its_document(indexed: Database, tiny_index: CorpusIndex) -> None:
    with indexed.read() as connection:
        run = connection.execute(select(IndexRun)).one()
        windows = connection.execute(
            select(DocumentWindow, Document.ordinal).join(Document).order_by(DocumentWindow.id)
        ).all()
        assert [window.id for window in windows] == list(
            range(run.first_window_id, run.first_window_id + run.n_windows)
        )
        for layer in tiny_index.layers:
            c = layer.contexts
            for kind, table in ((ContextKind.TOP, TopContexts), (ContextKind.BAND, SampledContexts)):
                rows = connection.execute(
                    select(table, Feature.number)
                    .join(Feature)
                    .join(Source)
                    .where(Source.layer == layer.layer)
                    .order_by(Feature.number)
                ).all()
                columns = ContextColumns.of(rows)
                features = np.repeat([row.number for row in rows], columns.count)
                expected = np.flatnonzero(c.kind == kind)
                assert len(expected) == len(features) > 0
                for feature, context, i in zip(features, columns, expected, strict=True):
                    window = windows[context.window]
                    place = (
                        c.feature[i],
                        c.document[i],
                        c.start[i],
                        c.length[i],
                        c.band[i],
                        c.peak[i],
                    )
                    given = (feature, window.ordinal, window.start, window.length, context.band, context.peak)
                    assert given == place
                    assert context.peak_value == c.peak_value[i]
                    span = slice(c.offsets[i], c.offsets[i + 1])
                    assert context.positions == c.positions[span].tolist()
                    assert context.values == c.values[span].tolist()


def layer_start(index: CorpusIndex, layer: LayerIndex) -> int:
    """How many features come before a layer's."""
    return sum(other.n_features for other in index.layers if other.layer < layer.layer)


def test_words_tags_and_tokens_lead_to_their_features(
    indexed: Database, tiny_index: CorpusIndex, tiny_model: MFNModel
) -> None:
    """All three against the plain ones, by walking over all contexts and all lists of tokens."""
    windows_with: dict[str, Counter[int]] = {}
    of_tag: dict[str, set[int]] = {}
    of_token: dict[int, dict[int, float]] = {}
    contexts: Counter[int] = Counter()
    assert tiny_model.tokenizer is not None
    for layer in tiny_index.layers:
        first, c = layer_start(tiny_index, layer), layer.contexts
        places = zip(c.feature.tolist(), c.document.tolist(), c.start.tolist(), c.length.tolist(), strict=True)
        for feature, document, start, length in places:
            contexts[first + feature] += 1
            of_tag.setdefault(f"tag{document}", set()).add(first + feature)
            text_of = tiny_model.tokenizer.decode(tiny_index.documents[document][start : start + length].tolist())
            for word in set(search_words(str(text_of))):
                windows_with.setdefault(word, Counter())[first + feature] += 1
        for feature, (ids, shares) in enumerate(zip(layer.top_token_ids, layer.top_token_share, strict=True)):
            for token, share in zip(ids.tolist(), shares.tolist(), strict=True):
                if share > 0:
                    of_token.setdefault(token, {})[first + feature] = share
    total = sum(layer.n_features for layer in tiny_index.layers)
    with indexed.read() as connection:
        run = connection.execute(select(IndexRun)).one()
        words = set(connection.scalars(select(TermFeatures.term).where(TermFeatures.kind == TermKind.WORD)))
        assert words == set(windows_with)
        for word, counts in windows_with.items():
            levels = levels_of(connection, run.id, total, TermKind.WORD, word)
            plain = [2 if counts[j] >= max(2, OFTEN * contexts[j]) else int(counts[j] > 0) for j in range(total)]
            assert levels.tolist() == plain
        begun = [counts for word, counts in windows_with.items() if word.startswith("ha")]
        assert len(begun) > 1
        levels = levels_of(connection, run.id, total, TermKind.WORD, "ha", unfinished=True)
        assert set(np.flatnonzero(levels).tolist()) == {feature for counts in begun for feature in counts}
        for tag, features in of_tag.items():
            levels = levels_of(connection, run.id, total, TermKind.TAG, tag)
            assert set(np.flatnonzero(levels).tolist()) == features
        assert not levels_of(connection, run.id + 1, total, TermKind.WORD, "the").any()
        tokens = connection.execute(select(TokenPosting)).all()
        assert {row.token_id for row in tokens} == set(of_token)
        for token, shares in of_token.items():
            found = features_on_tokens(connection, run.id, [token], total)
            assert set(np.flatnonzero(found).tolist()) == set(shares)
            assert all(abs(found[feature] - share) <= 1 / 255 for feature, share in shares.items())


def test_columns_and_orders_are_those_of_the_index(indexed: Database, tiny_index: CorpusIndex) -> None:
    for layer in tiny_index.layers:
        with indexed.read() as connection:
            run = connection.execute(select(IndexRun)).one()
            source_id = connection.scalar(select(Source.id).where(Source.layer == layer.layer))
            assert source_id is not None
            columns = read_columns(connection, run.id, source_id)
        assert columns["firing_count"].tolist() == layer.firing_count.tolist()
        assert columns["rate"].tolist() == (layer.firing_count / tiny_index.n_tokens).tolist()
        np.testing.assert_array_equal(columns["token_r2"], layer.token_r2)
        plain = sorted(range(layer.n_features), key=lambda j: (-layer.maximum[j], j))
        assert columns["by_max"].tolist() == plain
        assert layer.token_r2 is not None
        known = [j for j in range(layer.n_features) if not np.isnan(layer.token_r2[j])]
        assert columns["by_token_r2"].tolist()[: len(known)] == sorted(known, key=lambda j: (layer.token_r2[j], j))


def test_token_ids_are_stored_once_and_as_numbers(indexed: Database, tiny_index: CorpusIndex) -> None:
    with indexed.read() as connection:
        rows = connection.execute(select(Document).order_by(Document.ordinal)).all()
    assert len(rows) == len(tiny_index.documents)
    for row, ids in zip(rows, tiny_index.documents, strict=True):
        assert np.array_equal(unpack(row.token_ids, U4), ids)
        assert row.n_tokens == len(ids)


@pytest.mark.parametrize("statement", range(1, 22, 2))
def test_a_run_that_dies_anywhere_leaves_the_old_index(
    indexed: Database, tiny_index: CorpusIndex, tiny_facts: ModelFacts, tiny_model: MFNModel, statement: int
) -> None:
    """Fail at the n-th statement of a write, then start anew: as a killed process would, without its `fail`."""
    before = counts(indexed)
    with indexed.read() as connection:
        current = {run_id for run_id in connection.scalars(select(Source.current_run_id)) if run_id is not None}
    seen, turned = 0, False

    class KilledError(Exception):
        pass

    def count(conn: Any, cursor: Any, sql: str, *rest: Any) -> None:
        nonlocal seen, turned
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            seen += 1
            if seen == statement:
                raise KilledError
            turned = turned or sql.startswith("UPDATE source")

    event.listen(indexed.engine, "before_cursor_execute", count)
    store = IndexStore(indexed)
    tokenizer = tiny_model.tokenizer
    assert tokenizer is not None
    try:
        with index_lock(indexed):
            run_id = store.begin(tiny_facts, {})
            # the same words as in the run before, so that the counts are the same if this one gets through
            store.store(run_id, tiny_facts, tiny_index, "again", lambda ids: str(tokenizer.decode(ids)))
    except KilledError:
        pass
    finally:
        event.remove(indexed.engine, "before_cursor_execute", count)
    with indexed.read() as connection:
        now = set(connection.scalars(select(Source.current_run_id)))
        readable = connection.scalar(select(func.count()).select_from(Feature).where(Feature.run_id.in_(now)))
        states = connection.scalars(select(IndexRun.state).where(IndexRun.id.in_(now))).all()
    assert len(now) == 1, "all sources turn together"
    assert states == ["ready"]
    assert (now == current) != turned
    assert readable == sum(layer.n_features for layer in tiny_index.layers)
    with index_lock(indexed):
        sweep(indexed)
    if turned:
        remove_runs(indexed, list(current))
    assert counts(indexed) == before


def test_an_index_of_another_model_is_refused(
    database: Database, tiny_index: CorpusIndex, tiny_facts: ModelFacts
) -> None:
    other = dataclasses.replace(tiny_index, model_fingerprint="0" * 64)
    store = IndexStore(database)
    with index_lock(database):
        run_id = store.begin(tiny_facts, {})
        with pytest.raises(MFNError, match="another model"):
            store.store(run_id, tiny_facts, other, "texts", lambda ids: "")


def test_a_full_disk_leaves_the_old_index(
    tmp_path: Path, store_index: Store, tiny_index: CorpusIndex, tiny_facts: ModelFacts
) -> None:
    from mfn_server.db.migrate import open_database

    database = open_database(f"sqlite:///{tmp_path / 'small.sqlite3'}")
    first = store_index(database, tiny_index)
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    database.close()

    @event.listens_for(database.engine, "connect")
    def limit(connection: Any, record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    with pytest.raises(DBAPIError) as caught:
        store_index(database, tiny_index)
    assert "no space left" in str(explain(caught.value, database.name))
    with database.read() as connection:
        assert set(connection.scalars(select(Source.current_run_id))) == {first}
    database.close()


def test_a_number_too_large_for_its_blob_is_no_silent_wrap() -> None:
    with pytest.raises(OverflowError):
        pack(np.array([2**32]), U4)
    with pytest.raises(OverflowError):
        pack(np.array([-1]), U4)


def test_an_index_file_brings_back_what_was_saved(tiny_index: CorpusIndex, tmp_path: Path) -> None:
    path = tmp_path / "index.npz.xz"
    save_index(tiny_index, path)
    back = load_index(path)
    assert back.model_fingerprint == tiny_index.model_fingerprint
    assert back.settings == tiny_index.settings
    assert (back.meta, back.n_tokens) == (tiny_index.meta, tiny_index.n_tokens)
    assert all(np.array_equal(a, b) for a, b in zip(back.documents, tiny_index.documents, strict=True))
    for one, other in zip(back.layers, tiny_index.layers, strict=True):
        for part, same in ((one, other), (one.contexts, other.contexts)):
            for field in dataclasses.fields(part):
                value, expected = getattr(part, field.name), getattr(same, field.name)
                if isinstance(value, np.ndarray):
                    assert value.dtype == expected.dtype
                    np.testing.assert_array_equal(value, expected, err_msg=field.name)
        assert one.token_pairs == other.token_pairs > 0
        assert one.sampled_tokens == other.sampled_tokens == tiny_index.n_tokens


def test_an_index_without_token_r2_is_read_and_stored_as_unknown(
    database: Database, store_index: Store, tiny_index: CorpusIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As files were before the figure was kept."""
    path = tmp_path / "index.npz.xz"
    bare = [dataclasses.replace(layer, token_r2=None, half_firings=None, **UNSAMPLED) for layer in tiny_index.layers]
    monkeypatch.setattr("mfn_server.index_file.FORMAT_VERSION", 1)
    save_index(dataclasses.replace(tiny_index, layers=bare), path)
    back = load_index(path)
    assert [(layer.token_r2, layer.half_firings) for layer in back.layers] == [(None, None)] * len(bare)
    store_index(database, back)
    with database.read() as connection:
        stored = connection.execute(select(Feature.token_r2, Feature.half_firings)).all()
        assert list(lines_of_run(connection, connection.scalar(select(IndexRun.id)) or 0)) == []
    assert set(stored) == {(None, None)}
    assert list(lines_of_index(back)) == []


def test_an_index_without_a_sample_is_read_and_stored_as_unknown(
    database: Database, store_index: Store, tiny_index: CorpusIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As files of version 2 are, which say nothing of a sample in their header either."""
    path = tmp_path / "index.npz.xz"
    bare = [dataclasses.replace(layer, **UNSAMPLED) for layer in tiny_index.layers]
    written = json.dumps
    with monkeypatch.context() as patch:
        patch.setattr("mfn_server.index_file.FORMAT_VERSION", 2)
        patch.setattr("json.dumps", lambda header: written(header).replace(', "sampled_tokens": null', ""))
        save_index(dataclasses.replace(tiny_index, layers=bare), path)
    assert b"sampled_tokens" not in lzma.decompress(path.read_bytes())
    back = load_index(path)
    assert all(getattr(layer, name) is None for layer in back.layers for name in UNSAMPLED)
    assert all(layer.token_r2 is not None for layer in back.layers)
    store_index(database, back)
    with database.read() as connection:
        columns = (FeatureDetail.cofiring_numbers, FeatureDetail.cofiring_lifts, FeatureDetail.cofiring_counts)
        columns += (FeatureDetail.next_ids, FeatureDetail.next_shares, FeatureDetail.sampled_firings)
        assert set(connection.execute(select(*columns)).all()) == {(None,) * 6}
        assert set(connection.scalars(select(SourceIndex.sampled_tokens))) == {None}


def test_a_file_of_a_later_format_says_so(
    tiny_index: CorpusIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.npz.xz"
    with monkeypatch.context() as patch:
        patch.setattr("mfn_server.index_file.FORMAT_VERSION", 4)
        save_index(tiny_index, path)
    with pytest.raises(IndexFileError, match="format version 4; this version reads up to 3"):
        load_index(path)


def test_token_r2_in_lines(database: Database, store_index: Store, tiny_index: CorpusIndex) -> None:
    """Of features that fire often enough, the same from the index and from the database; and where it is not known."""
    layer = tiny_index.layers[0]
    r2 = np.full(layer.n_features, np.nan, np.float32)
    r2[:5] = [0.1, 0.25, 0.5, 0.75, 0.9]
    firings = np.where(np.arange(layer.n_features) == 4, 199, 200)
    layers = [dataclasses.replace(layer, token_r2=r2, half_firings=firings), tiny_index.layers[1]]
    index = dataclasses.replace(tiny_index, layers=layers)
    expected = [
        "layer 0: median 0.38, 50% under 0.3 (of 4 features with 200 firings or more in each half)",
        "layer 1: not known of any feature with 200 firings or more in each half",
    ]
    assert list(lines_of_index(index)) == expected
    run_id = store_index(database, index)
    with database.read() as connection:
        assert list(lines_of_run(connection, run_id)) == expected
    share = np.ones(layer.n_features, np.float32)
    share[5:8] = 0.0625, 0.0625, 0
    _, line = lines_of_index(dataclasses.replace(index, layers=[dataclasses.replace(layer, counted_share=share)]))
    assert line == (
        "layer 0: of 3 features that fire on very many different tokens, tokens are counted on a sample (6.25% of all "
        "tokens at least), and of 1 not at all: see max_token_pairs"
    )


def test_what_was_counted_on_a_sample_is_kept(
    database: Database, store_index: Store, tiny_index: CorpusIndex, tiny_facts: ModelFacts
) -> None:
    """And only of the features of which it is so; the run's digest covers it."""
    layer, other = tiny_index.layers
    share = np.ones(layer.n_features, np.float32)
    share[[3, 7]] = np.float32(1 / 17), 0
    index = dataclasses.replace(tiny_index, layers=[dataclasses.replace(layer, counted_share=share), other])
    plain, sampled = store_index(database, tiny_index), store_index(database, index)
    with database.read() as connection:
        kept = connection.execute(
            select(Feature.number, FeatureDetail.counted_share)
            .join(FeatureDetail, FeatureDetail.feature_id == Feature.id)
            .where(Feature.run_id == sampled, FeatureDetail.counted_share.is_not(None))
            .order_by(Feature.number)
        ).all()
        assert [tuple(row) for row in kept] == [(3, float(np.float32(1 / 17))), (7, 0.0)]
        assert digest_of_run(connection, plain) != digest_of_run(connection, sampled)
    found = index_of_database(database, tiny_facts).index.layers
    np.testing.assert_array_equal(found[0].counted_share, share)
    assert found[1].counted_share is None


@pytest.mark.parametrize("cut", [0, 10, 1000, -20])
def test_a_damaged_index_file_is_one_clear_line(tiny_index: CorpusIndex, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "index.npz.xz"
    save_index(tiny_index, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(IndexFileError, match="is no index file, or is damaged"):
        load_index(path)
    with pytest.raises(IndexFileError, match="there is no index file"):
        load_index(tmp_path / "none")

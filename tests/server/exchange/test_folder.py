"""An index as parquet tables: exact both ways, readable by anyone, refused where it is not whole."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mfn_core.errors import MFNError
from mfn_core.indexing.types import Contexts, CorpusIndex, IndexSettings, LayerIndex
from mfn_server.exchange import folder_reading, folder_writing, parts
from mfn_server.exchange.checking import check_index
from mfn_server.exchange.folder_reading import read_folder
from mfn_server.exchange.folder_writing import write_folder
from mfn_server.exchange.manifest import MANIFEST, file_entry
from mfn_server.exchange.table_names import OF_FEATURES, TABLES
from mfn_server.exchange.tables import descriptions
from mfn_server.index_file import IndexFileError
from mfn_server.weights.record import WeightRecord
from tests.server.comparing import same

WORDS = [f"token {n}" for n in range(300)]


def write(index: CorpusIndex, folder: Path) -> Path:
    write_folder(index, folder, WORDS, "tiny", "texts")
    return folder


SINGLE = ("firing_count", "mean", "maximum", "token_r2", "half_firings")
"""Arrays of a layer that are [F]; `bin_edges` has a length of its own, and all others are [F, something]."""


def array(dtype: Any, shape: tuple[int, ...]) -> st.SearchStrategy[NDArray[Any]]:
    return hnp.arrays(dtype, shape)


@st.composite
def contexts(draw: st.DrawFn, n_features: int) -> Contexts:
    n = draw(st.integers(0, 6 if n_features else 0))
    lengths = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    kinds = {
        "feature": np.int32, "kind": np.uint8, "band": np.uint8, "rank": np.int32, "document": np.int32,
        "start": np.int32, "length": np.uint16, "peak": np.int16, "peak_value": np.float32,
    }  # fmt: skip
    columns = {name: draw(array(dtype, (n,))) for name, dtype in kinds.items()}
    columns["feature"] = np.sort(draw(hnp.arrays(np.int32, n, elements=st.integers(0, max(n_features - 1, 0)))))
    nnz = int(offsets[-1])
    return Contexts(
        **columns, offsets=offsets, positions=draw(array(np.uint8, (nnz,))), values=draw(array(np.float16, (nnz,)))
    )


@st.composite
def layers(draw: st.DrawFn, number: int) -> LayerIndex:
    f = draw(st.integers(0, 5))
    facts: dict[str, Any] = {}
    for field in fields(LayerIndex):
        kind = re.search(r"NDArray\[np\.(\w+)\]", str(field.type))
        if kind is None:
            continue
        if field.name == "bin_edges":
            shape: tuple[int, ...] = (draw(st.integers(0, 5)),)
        else:
            shape = (f,) if field.name in SINGLE else (f, draw(st.integers(0, 3)))
        if "None" in str(field.type) and draw(st.booleans()):
            facts[field.name] = None
        else:
            facts[field.name] = draw(array(kind[1], shape))
    return LayerIndex(
        layer=number, n_features=f, contexts=draw(contexts(f)), token_pairs=draw(st.integers(0, 2**40)), **facts
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def indexes(draw: st.DrawFn) -> CorpusIndex:
    numbers = draw(st.lists(st.integers(0, 40), max_size=3, unique=True))
    documents = draw(st.lists(hnp.arrays(np.uint32, st.integers(0, 6)), max_size=4))
    meta = [draw(st.dictionaries(st.text(), json_values, max_size=3)) for _ in documents]
    return CorpusIndex(
        layers=[draw(layers(number)) for number in numbers],
        documents=documents,
        meta=meta,
        n_tokens=draw(st.integers(0, 2**40)),
        settings=IndexSettings(n_top=draw(st.integers(1, 20)), low=draw(st.floats(0.001, 0.1))),
        model_fingerprint=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
    )


def in_memory(index: CorpusIndex) -> CorpusIndex:
    """The same with lists of documents, which lie in files where a folder was read."""
    return replace(index, documents=list(index.documents), meta=list(index.meta))


@given(index=indexes(), rows=st.integers(1, 3), read=st.integers(1, 4), block=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_again(
    index: CorpusIndex, rows: int, read: int, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("index") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_writing, "_CONTEXTS", rows)
        patch.setattr(folder_writing, "_DOCUMENTS", rows)
        patch.setattr(folder_reading, "_ROWS", read)
        patch.setattr(parts, "BLOCK", block)
        same(in_memory(read_folder(write(index, folder))), index)
    shutil.rmtree(folder)


@pytest.fixture
def folder(tiny_index: CorpusIndex, tmp_path: Path) -> Path:
    return write(tiny_index, tmp_path / "out")


def test_a_true_index_comes_back(tiny_index: CorpusIndex, folder: Path) -> None:
    found = read_folder(folder)
    same(in_memory(found), tiny_index)
    check_index(found, {0: 48, 1: 48}, 300)
    assert not list(folder.parent.glob("*.partial"))


@dataclass(frozen=True)
class Richer(LayerIndex):
    """What a later version may know.

    Attributes:
        partner_ids: int32 [F, p, 2], something of each feature and two others.
        sampled: share of the corpus that partners were counted in.
        offsets: float32 [x], of a layer as a whole.
    """

    partner_ids: NDArray[np.int32] | None = None
    sampled: float | None = None
    offsets: NDArray[np.float32] | None = None


def test_new_arrays_and_numbers_are_carried_without_being_named(
    tiny_index: CorpusIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (folder_reading, folder_writing):
        monkeypatch.setattr(module, "LayerIndex", Richer)
    plain = [{field.name: getattr(layer, field.name) for field in fields(layer)} for layer in tiny_index.layers]
    partners = np.arange(48 * 3 * 2, dtype=np.int32).reshape(48, 3, 2)
    first = Richer(**plain[0], partner_ids=partners, sampled=0.25, offsets=np.arange(48, dtype=np.float32))
    second = Richer(**plain[1], sampled=0.5, offsets=np.arange(7, dtype=np.float32))
    index = replace(tiny_index, layers=[first, second])
    folder = write(index, tmp_path / "out")
    same(in_memory(read_folder(folder)), index)
    table = pq.read_table(folder / "features.parquet")
    assert table.column("partner_ids").to_pylist()[:48] == partners.tolist()
    assert table.column("partner_ids").null_count == 48
    described = table.schema.field("partner_ids").metadata[b"description"].decode()
    assert described == "int32 [F, p, 2], something of each feature and two others."
    rows = pq.read_table(folder / "layers.parquet").to_pylist()
    assert [(row["sampled"], len(row["offsets"])) for row in rows] == [(0.25, 48), (0.5, 7)]
    monkeypatch.undo()
    with pytest.raises(IndexFileError, match="offsets, partner_ids, sampled, which this version does not know"):
        read_folder(folder)


def test_docstrings_are_read_whether_or_not_python_has_cleaned_them() -> None:
    cleaned = type("Cleaned", (), {"__doc__": inspect.getdoc(LayerIndex)})
    assert descriptions(cleaned) == descriptions(LayerIndex)


def test_columns_are_typed_and_described(tiny_index: CorpusIndex, tiny_weights: WeightRecord, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    write_folder(tiny_index, folder, WORDS, "tiny", "texts", tiny_weights)
    assert {path.name for path in folder.iterdir()} == {MANIFEST, *(f"{table}.parquet" for table in TABLES)}
    for table, said in TABLES.items():
        schema = pq.read_schema(folder / f"{table}.parquet")
        assert schema.metadata[b"description"].decode() == said
        for field in schema:
            assert (field.metadata or {}).get(b"description"), (table, field.name)
            inner = field.type
            while pa.types.is_list(inner):
                inner = inner.value_type
            assert pa.types.is_integer(inner) or inner in (pa.float32(), pa.float64(), pa.string()), (table, field)


def test_a_reader_with_pandas_alone_finds_the_firings(tiny_index: CorpusIndex, folder: Path) -> None:
    pd = pytest.importorskip("pandas")
    contexts, documents = (pd.read_parquet(folder / f"{name}.parquet") for name in ("contexts", "documents"))
    words = pd.read_parquet(folder / "vocabulary.parquet").set_index("token_id")["text"]
    features = pd.read_parquet(folder / "features.parquet").set_index(["layer", "feature"])
    row = contexts[(contexts.layer == 1) & (contexts.kind == 0)].iloc[0]
    top = tiny_index.layers[1].contexts
    assert row.feature == top.feature[0]
    ids = documents.token_ids[row.document][row.start : row.start + row.length]
    assert ids.tolist() == tiny_index.documents[top.document[0]][row.start : row.start + row.length].tolist()
    assert words[ids[row.peak]] == f"token {ids[row.peak]}"
    assert dict(zip(row.positions, row["values"], strict=True))[row.peak] == np.float16(row.peak_value)
    assert features.loc[(1, row.feature)].maximum == tiny_index.layers[1].maximum[row.feature]
    for table in OF_FEATURES:
        key = pd.read_parquet(folder / f"{table}.parquet")[["layer", "feature"]]
        assert key.to_records(index=False).tolist() == [(n, f) for n in (0, 1) for f in range(48)]


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return edit


def flipped(folder: Path) -> None:
    path = folder / "contexts.parquet"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def reordered(folder: Path) -> None:
    """Features in another order, in a file that the manifest vouches for."""
    path = folder / "features.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(47, -1, -1)) + list(range(48, 96))), path, row_group_size=48)
    vouch(folder, path)


def cut_short(folder: Path) -> None:
    path = folder / "logits.parquet"
    pq.write_table(pq.read_table(path).slice(0, 90), path, row_group_size=48)
    vouch(folder, path)


def no_parquet(folder: Path) -> None:
    path = folder / "bands.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    vouch(folder, path)


def vouch(folder: Path, path: Path) -> None:
    entry = file_entry(path, 96).model_dump()
    edited(lambda manifest: manifest["files"].update({path.name: entry}))(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / MANIFEST).unlink(), "there is no manifest.json in it"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "is not the manifest of an index, or is damaged"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "is not the manifest of an index, or is damaged"),
        (edited(lambda m: m.update(version=3)), "has format version 3; this version reads up to 2"),
        (edited(lambda m: m.update(n_tokens="many")), "n_tokens: Input should be a valid integer"),
        (edited(lambda m: m["files"].pop("bands.parquet")), "bands.parquet is missing"),
        (lambda folder: (folder / "tokens.parquet").unlink(), "tokens.parquet is missing"),
        (flipped, "contexts.parquet is damaged: it is not the file"),
        (reordered, "features of layer 0 has rows that are others'"),
        (cut_short, "there are not as many rows as expected"),
        (no_parquet, "its tables are not what its manifest says"),
        (edited(lambda m: m["files"]["bands.parquet"].update(rows=95)), "bands has 96 rows"),
        (edited(lambda m: m["settings"].update(n_top=0)), "n_top must be at least 1"),
        (edited(lambda m: m["settings"].update(tops=1)), "tops"),
        (edited(lambda m: m["layers"][0]["shapes"].update(histogram=[48, 63])), "lists that are not of length 63"),
        (edited(lambda m: m["layers"][0]["shapes"].pop("histogram")), "missing 1 required"),
        (edited(lambda m: m["layers"][0]["shapes"].update(others=[48])), "others"),
        (edited(lambda m: m["arrays"]["mean"].update(dtype="int32")), "float with 0 gaps where int32 is meant"),
        (edited(lambda m: m["arrays"]["mean"].update(dtype="object")), "arrays.mean.dtype"),
        (edited(lambda m: m["arrays"]["mean"].update(table="../mean")), "'../mean'"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(folder: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(folder)
    with pytest.raises(IndexFileError) as caught:
        read_folder(folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def of_contexts(layer: LayerIndex, **columns: NDArray[Any]) -> LayerIndex:
    return replace(layer, contexts=replace(layer.contexts, **columns))


def with_a_gap(layer: LayerIndex) -> dict[str, Any]:
    """A token in second place and none in the first."""
    ids, shares = layer.top_token_ids.copy(), layer.top_token_share.copy()
    ids[:, 0], shares[:, 0] = -1, 0
    return {"top_token_ids": ids, "top_token_share": shares}


def moved(name: str, value: float) -> Callable[[LayerIndex], LayerIndex]:
    def change(layer: LayerIndex) -> LayerIndex:
        if name in {field.name for field in fields(Contexts)}:
            array = getattr(layer.contexts, name).copy()
            array[-1] = value
            return of_contexts(layer, **{name: array})
        array = getattr(layer, name).copy()
        array.flat[-1] = value
        return replace(layer, **{name: array})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (moved("feature", 48), "features of contexts"),
        (moved("document", 8), "documents of contexts"),
        (moved("start", 90), "windows"),
        (moved("start", -1), "windows"),
        (moved("positions", 16), "positions of firings"),
        (moved("peak", 16), "peaks"),
        (moved("kind", 2), "kinds"),
        (moved("offsets", 3), "cut wrongly"),
        (moved("promoted_ids", 300), "promoted_ids"),
        (moved("top_token_ids", -2), "top_token_ids"),
        (moved("neighbour_ids", 48), "neighbour_ids"),
        (moved("length", 257), "windows"),
        (moved("rank", 10_000), "ranks"),
        (lambda layer: of_contexts(layer, feature=layer.contexts.feature[::-1]), "not in order of feature, kind, band"),
        (moved("maximum", np.nan), "maximum of layer 1 are not all finite"),
        (moved("peak_value", np.inf), "peak_value of contexts of layer 1 are not all finite"),
        (moved("token_r2", -np.inf), "token_r2 of layer 1 are not all finite"),
        (moved("top_token_ids", -1), "top_token_share where there is nothing"),
        (lambda layer: replace(layer, **with_a_gap(layer)), "top_token_ids of layer 1 has gaps"),
        (lambda layer: replace(layer, firing_count=layer.firing_count.astype("U9")), "firing_count .* no numbers"),
        (
            lambda layer: of_contexts(layer, peak=layer.contexts.peak[1:]),
            "peak of contexts of layer 1 are more or fewer",
        ),
        (lambda layer: of_contexts(layer, offsets=np.zeros(0, np.int64)), "offsets of contexts of layer 1 are more or"),
        (lambda layer: of_contexts(layer, document=layer.contexts.document * 1.0), "document .* no whole numbers"),
        (lambda layer: replace(layer, sampled_tokens=None, cofiring_ids=layer.neighbour_ids[1:]), "cofiring_ids of"),
        (lambda layer: replace(layer, sampled_tokens="some"), "sampled_tokens"),
        (lambda layer: replace(layer, mean=layer.mean[1:]), "mean of layer 1 is not of 48 features"),
        (lambda layer: replace(layer, promoted_ids=layer.promoted_ids[:, 1:]), "ids without their figures"),
        (lambda layer: replace(layer, histogram=layer.histogram[:, 1:]), "bins without edges"),
        (lambda layer: replace(layer, layer=2), "other layers"),
    ],
)
def test_an_index_that_points_to_what_is_not_there(
    tiny_index: CorpusIndex, change: Callable[[LayerIndex], LayerIndex], message: str
) -> None:
    index = replace(tiny_index, layers=[tiny_index.layers[0], change(tiny_index.layers[1])])
    with pytest.raises(IndexFileError, match=message):
        check_index(index, {0: 48, 1: 48}, 300)


def test_a_layer_that_comes_twice(tiny_index: CorpusIndex) -> None:
    first, second = tiny_index.layers
    with pytest.raises(IndexFileError, match="other layers"):
        check_index(replace(tiny_index, layers=[first, second, second]), {0: 48, 1: 48}, 300)


def test_token_ids_beyond_the_vocabulary(tiny_index: CorpusIndex) -> None:
    with pytest.raises(IndexFileError, match="token ids of documents"):
        check_index(tiny_index, {0: 48, 1: 48}, 100)


def test_nothing_is_written_over_and_nothing_is_left_behind(
    tiny_index: CorpusIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MFNError, match="is there already"):
        write(tiny_index, folder)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_writing, "write_manifest", full)
    with pytest.raises(OSError, match="No space"):
        write(tiny_index, folder.parent / "other")
    assert [path.name for path in folder.parent.iterdir()] == ["out"]

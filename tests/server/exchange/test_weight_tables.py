"""What the weights say, as a table of a parquet folder: exact both ways, readable by anyone, refused where damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mfn_core.indexing.from_weights import LayerWeights
from mfn_core.indexing.types import CorpusIndex
from mfn_server.exchange.checking_weights import check_weights
from mfn_server.exchange.folder_reading import read_folder
from mfn_server.exchange.folder_writing import write_folder
from mfn_server.exchange.loading import load_weights
from mfn_server.exchange.manifest import MANIFEST, file_entry
from mfn_server.exchange.weight_tables import FILE, read_weights
from mfn_server.index_file import IndexFileError
from mfn_server.model_facts import ModelFacts
from mfn_server.weights.record import WeightRecord
from tests.server.comparing import same

WORDS = [f"token {n}" for n in range(300)]
SIZES = {0: 48, 1: 48}


@pytest.fixture
def folder(tiny_index: CorpusIndex, tiny_weights: WeightRecord, tmp_path: Path) -> Path:
    write_folder(tiny_index, tmp_path / "out", WORDS, "tiny", "texts", tiny_weights)
    return tmp_path / "out"


def test_it_comes_back(folder: Path, tiny_weights: WeightRecord, tiny_facts: ModelFacts) -> None:
    same(read_weights(folder), tiny_weights)
    same(load_weights(folder, tiny_facts), tiny_weights)
    assert read_folder(folder).n_tokens, "and the index is read as before"


def test_what_is_not_known_comes_back_as_that(
    tiny_index: CorpusIndex, tiny_weights: WeightRecord, tmp_path: Path
) -> None:
    first, second = tiny_weights.layers.values()
    kurtosis = np.where(np.arange(48) < 5, np.float32("nan"), first.logits.kurtosis)
    assert first.place is not None
    place = replace(first.place, umap=first.place.pca * 3)
    first = replace(
        first, logits=replace(first.logits, kurtosis=kurtosis), agreement=None, downstream=None, place=place
    )
    second = replace(second, neighbours=None, upstream=None, place=None, left_out=("neighbours are left out",))
    odd = WeightRecord({0: first, 1: second}, {**tiny_weights.settings, "seed": 3}, "0.5.12")
    write_folder(tiny_index, tmp_path / "odd", WORDS, "tiny", "texts", odd)
    same(read_weights(tmp_path / "odd"), odd)
    check_weights(odd, SIZES)


def test_an_index_alone_has_none(tiny_index: CorpusIndex, tmp_path: Path, tiny_facts: ModelFacts) -> None:
    write_folder(tiny_index, tmp_path / "out", WORDS, "tiny", "texts")
    assert read_weights(tmp_path / "out") is None
    assert not (tmp_path / "out" / FILE).exists()
    assert load_weights(tmp_path / "out" / MANIFEST, tiny_facts) is None, "nor has a file"


def test_a_reader_with_pyarrow_alone_understands_it(folder: Path, tiny_weights: WeightRecord) -> None:
    table = pq.read_table(folder / FILE)
    assert table.num_rows == 96
    for column in table.schema:
        assert column.metadata[b"description"], column.name
    row = table.slice(53, 1).to_pylist()[0]
    facts = tiny_weights.layers[1]
    assert (row["layer"], row["feature"]) == (1, 5)
    assert row["std"] == facts.logits.std[5]
    assert facts.upstream is not None
    assert row["upstream_negative_features"] == facts.upstream.negative.features[5].tolist()
    assert row["downstream_positive_values"] is None
    entry = json.loads((folder / MANIFEST).read_text())["weights"]["layers"][1]
    assert (entry["upstream"], entry["downstream"]) == (0, None)
    assert len(entry["bin_edges"]) == len(row["histogram"]) + 1


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return edit


def rows_missing(folder: Path) -> None:
    path = folder / FILE
    pq.write_table(pq.read_table(path).slice(0, 90), path, row_group_size=48)
    edited(lambda m: m["files"].update({FILE: file_entry(path, 96).model_dump()}))(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / FILE).unlink(), "weights.parquet is missing"),
        (lambda folder: (folder / FILE).write_bytes(b"PAR1"), "weights.parquet is damaged: it is not the file"),
        (rows_missing, "there are not as many rows as expected"),
        (edited(lambda m: m["weights"]["layers"][0].update(layer=1)), "has rows that are others'"),
        (edited(lambda m: m["weights"]["layers"][0]["shapes"].pop("histogram")), "histogram"),
        (edited(lambda m: m["weights"]["layers"][0]["shapes"].update(histogram=[31])), "lists that are not of length"),
        (edited(lambda m: m["weights"].update(settings=3)), "weights.settings"),
        (edited(lambda m: m["weights"]["settings"].update(seed=-1)), "seed must not be negative"),
        (edited(lambda m: m["weights"]["settings"].update(colour=1)), "colour"),
        (edited(lambda m: m["weights"]["layers"].pop()), "other layers, or other numbers|expected"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(
    folder: Path, tiny_facts: ModelFacts, damage: Callable[[Path], Any], message: str
) -> None:
    damage(folder)
    with pytest.raises(IndexFileError, match=message) as caught:
        load_weights(folder, tiny_facts)
    assert "\n" not in str(caught.value)


def _links(name: str, field: str, value: float) -> Callable[[LayerWeights], LayerWeights]:
    def change(facts: LayerWeights) -> LayerWeights:
        assert facts.neighbours is not None
        links = getattr(facts.neighbours, name)
        array = getattr(links, field).copy()
        array[3, 2] = value
        return replace(facts, neighbours=replace(facts.neighbours, **{name: replace(links, **{field: array})}))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_links("opposite", "features", 48), "opposite of layer 1 has features that are not there"),
        (_links("opposite", "features", -1), "opposite of layer 1 has features that are not there"),
        (_links("nearest_elsewhere", "layers", 2), "nearest_elsewhere of layer 1 has features that are not there"),
        (_links("nearest_elsewhere", "layers", -1), "nearest_elsewhere of layer 1 has features that are not there"),
        (_links("opposite_elsewhere", "values", np.nan), "opposite_elsewhere_values of layer 1 is not finite"),
        (lambda f: replace(f, agreement=f.agreement[1:]), "agreement of layer 1 is not of 48 features"),
        (lambda f: replace(f, agreement=f.agreement * np.inf), "agreement of layer 1 is not finite"),
        (lambda f: replace(f, logits=replace(f.logits, histogram=-f.logits.histogram)), "fewer than no tokens"),
        (lambda f: replace(f, logits=replace(f.logits, bin_edges=f.logits.bin_edges[1:])), "bins without edges"),
        (lambda f: replace(f, place=replace(f.place, pca=f.place.pca[:, :1])), "not in a plane"),
        (lambda f: replace(f, place=replace(f.place, explained=f.place.explained[:1])), "not of two axes"),
        (lambda f: replace(f, upstream=replace(f.upstream, layer=5)), "upstream of layer 1 is no layer"),
    ],
)
def test_what_points_to_what_is_not_there(
    tiny_weights: WeightRecord, change: Callable[[LayerWeights], LayerWeights], message: str
) -> None:
    check_weights(tiny_weights, SIZES)
    layers = {0: tiny_weights.layers[0], 1: change(tiny_weights.layers[1])}
    with pytest.raises(IndexFileError, match=message):
        check_weights(replace(tiny_weights, layers=layers), SIZES)

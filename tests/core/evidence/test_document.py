"""Evidence documents: what is written is read again, and what is none is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from mfn_core.evidence.document import Check, Column, Document, DocumentError, Figure, Table
from mfn_core.provenance import provenance

DOCUMENT = Document(
    "toy",
    "toy-example",
    "An example",
    "Nothing was found.",
    {"seed": 3, "rates": (0.1, 0.2)},
    provenance(),
    checks=[Check("more is more", "holds", "3 > 2")],
    tables=[Table("all/a", "A", [Column("x", "X", unit="nats"), Column("f", "Feature", "feature")], [{"x": 1.5}])],
    figures=[Figure("all/b", "B", "A line.", {"data": [{"type": "scatter", "y": [1, 2]}], "layout": {}})],
    sections={"all": "All"},
)


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    DOCUMENT.write(tmp_path / "a.json")
    read = Document.read(tmp_path / "a.json")
    assert read.to_json() == DOCUMENT.to_json() == json.loads(json.dumps(DOCUMENT.to_json()))
    assert (read.checks, read.tables[0].columns) == (DOCUMENT.checks, DOCUMENT.tables[0].columns)
    assert set(read.made) == {"time", "commit", "python", "machine", "versions"}


def test_numbers_of_numpy_and_those_that_json_has_no_word_for() -> None:
    rows = [{"x": np.float32(0.5), "y": float("nan"), "z": np.array([1, 2])}]
    document = Document("toy", "t", "", "", {}, {}, tables=[Table("a", "A", [], rows)])
    assert document.to_json()["tables"][0]["rows"] == [{"x": 0.5, "y": None, "z": [1, 2]}]


def test_arrays_as_plotly_writes_them_become_numbers() -> None:
    """Or neither a table of a figure's numbers nor another program could read them."""
    written = go.Figure(go.Heatmap(z=np.arange(6.0).reshape(2, 3), x=np.arange(3))).to_plotly_json()
    document = Document("toy", "t", "", "", {}, {}, figures=[Figure("a", "A", "", written)])
    drawn = document.to_json()["figures"][0]["figure"]["data"][0]
    assert (drawn["x"], drawn["z"]) == ([0, 1, 2], [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("mfn_evidence"), "no field mfn_evidence"),
        (lambda data: data.update(mfn_evidence=2), "install a newer one"),
        (lambda data: data.update(kind="guess"), "'guess', which is not known"),
        (lambda data: data.pop("tables"), "no whole evidence document"),
        (lambda data: data["checks"][0].pop("found"), "no whole evidence document"),
        (lambda data: data.update(title=["a"]), "title is of another type"),
        (lambda data: data["tables"][0].update(rows=[1]), "a row of table 'all/a' is of another type"),
        (lambda data: data["figures"][0].update(figure={}), "figure 'all/b' is of another type"),
        (lambda data: data.update(verdicts=[{"name": "P1"}]), "a verdict is of another type"),
    ],
)
def test_what_is_none_is_refused_in_one_line(tmp_path: Path, change: object, said: str) -> None:
    data = DOCUMENT.to_json()
    change(data)  # type: ignore[operator]
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(DocumentError, match=said) as caught:
        Document.read(tmp_path / "a.json")
    assert "a.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_json(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{")
    for name in ("a.json", "b.json"):
        with pytest.raises(DocumentError, match=name):
            Document.read(tmp_path / name)

"""The windows that an index shows, against a dictionary, gone through in blocks of any size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfn_core.indexing.types import Contexts, CorpusIndex
from mfn_server.db import context_rows
from mfn_server.db.context_rows import windows_of


def contexts_of(feature: NDArray[Any], **columns: NDArray[Any]) -> Contexts:
    """Contexts of these features, with these columns; of each column that is not named, as many zeros."""
    n = len(feature)
    zeros = {name: np.zeros(n, np.int32) for name in Contexts.__annotations__ if name not in ("feature", "offsets")}
    return Contexts(**{**zeros, "feature": feature, "offsets": np.zeros(n + 1, np.int64), **columns})


places = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2).map(lambda n: n * 2**29), st.integers(1, 256)))


@given(st.lists(places, max_size=3), st.integers(1, 5))
def test_windows_are_those_of_a_dictionary(layers: list[list[tuple[int, int, int]]], at_once: int) -> None:
    found = []
    for rows in layers:
        document, start, length = np.array(rows, np.int32).reshape(-1, 3).T
        found.append(contexts_of(np.zeros(len(rows), np.int32), document=document, start=start, length=length))
    index = cast(CorpusIndex, SimpleNamespace(layers=[SimpleNamespace(contexts=contexts) for contexts in found]))
    with patch.object(context_rows, "_CONTEXTS", at_once):
        windows = windows_of(index)
    every = sorted({row for rows in layers for row in rows})
    columns = (windows.document.tolist(), windows.start.tolist(), windows.length.tolist())
    assert list(zip(*columns, strict=True)) == every
    for contexts, rows in zip(found, layers, strict=True):
        middle = len(rows) // 2
        for part in (slice(0, middle), slice(middle, len(rows))):
            assert windows.of(contexts, part).tolist() == [every.index(row) for row in rows[part]]


@given(st.lists(st.integers(0, 9)), st.integers(0, 300), st.integers(0, 300), st.sampled_from([np.uint8, np.int32]))
def test_rows_of_features(features: list[int], begin: int, end: int, kind: type[np.integer[Any]]) -> None:
    """Whatever type they are of, and also where a number does not fit into it."""
    contexts = contexts_of(np.array(sorted(features), kind))
    rows = contexts.rows_of(begin, end)
    assert contexts.feature[rows].tolist() == [j for j in sorted(features) if begin <= j < end]

"""Whether two things are the same: records of arrays, or tables of two SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

INDEX_TABLES = (
    "document",
    "document_window",
    "feature",
    "feature_detail",
    "top_contexts",
    "sampled_contexts",
    "source_index",
)


def same(a: Any, b: Any, where: str = "", halved: bool = False) -> None:
    """Equal, types too. With `halved`, `a` has the figures of lists as half precision holds those of `b`."""
    assert type(a) is type(b), where
    if is_dataclass(a):
        for field in fields(a):
            same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}", halved)
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        expected = b.astype(np.float16).astype(np.float32) if halved and where.endswith(".values") else b
        np.testing.assert_array_equal(a, expected, err_msg=where)
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for n, (one, other) in enumerate(zip(a, b, strict=True)):
            same(one, other, f"{where}[{n}]", halved)
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            same(a[key], b[key], f"{where}[{key}]", halved)
    else:
        assert a == b, where


def same_tables(one: Path, other: Path, tables: Iterable[str]) -> None:
    """The same rows in each of these tables, and some."""
    for table in tables:
        rows = [sorted(sqlite3.connect(path).execute(f"SELECT * FROM {table}"), key=repr) for path in (one, other)]
        assert rows[0] == rows[1]
        assert rows[0]

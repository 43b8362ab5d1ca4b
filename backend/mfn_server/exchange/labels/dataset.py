"""A folder that the Hugging Face hub and `datasets` read: tables in parquet, the whole log, and a card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import select

from mfn_core.errors import MFNError
from mfn_server import __version__
from mfn_server.db.session import Database
from mfn_server.db.tables import Model
from mfn_server.exchange.labels.events_out import export_lines
from mfn_server.exchange.labels.rows import FeatureRows, Row, feature_rows
from mfn_server.exchange.loading import NEEDS_PYARROW
from mfn_server.exchange.new_folder import new_folder

TABLES = ("labels", "opinions", "comments")
_AT_ONCE = 5_000

_WHERE = {"source": "string", "layer": "int32", "index": "int32"}
_WHO = {"author": "string", "author_id": "string", "created_at": "timestamp"}
COLUMNS: dict[str, dict[str, str]] = {
    "labels": _WHERE
    | {"text": "string", "standing": "string"}
    | _WHO
    | {"origin": "string", "revised_at": "timestamp", "confidence": "string", "up": "int32", "down": "int32"}
    | {"tags": "list", "reason": "string", "event": "string"},
    "opinions": _WHERE
    | {"campaign": "string", "text": "string", "flag": "string", "one_concept": "string", "specificity": "int32"}
    | {"confidence": "string", "evidence": "string", "tags": "list"}
    | _WHO
    | {"reason": "string", "event": "string"},
    "comments": _WHERE | {"text": "string"} | _WHO | {"reply_to": "string", "event": "string"},
}
"""Columns of each table and their types, so that a table without rows has them, too."""


def write_dataset(database: Database, model_id: int, folder: Path) -> str:
    """Write the folder, which is there once it is whole. Gives a line that says what is in it.

    Raises:
        MFNError: there is something of that name, or pyarrow is missing.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MFNError(NEEDS_PYARROW) from error
    types = {
        "string": pa.string(),
        "int32": pa.int32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "list": pa.list_(pa.string()),
    }
    schemas = {
        table: pa.schema([(name, types[kind]) for name, kind in columns.items()]) for table, columns in COLUMNS.items()
    }
    with database.snapshot() as connection:
        model = connection.execute(select(Model.name, Model.fingerprint).where(Model.id == model_id)).one()
    counts = dict.fromkeys(TABLES, 0)
    with new_folder(folder) as partial:
        (partial / "data").mkdir()
        writers = {
            table: parquet.ParquetWriter(partial / "data" / f"{table}.parquet", schemas[table]) for table in TABLES
        }
        for chunk in _chunks(feature_rows(database, model_id)):
            for table, rows in chunk.items():
                counts[table] += len(rows)
                writers[table].write_table(pa.Table.from_pylist(rows, schema=schemas[table]))
        for writer in writers.values():
            writer.close()
        events = -2  # the header and the end
        with (partial / "events.jsonl").open("w", encoding="utf-8") as file:
            for line in export_lines(database, model_id):
                file.write(line)
                events += 1
        (partial / "README.md").write_text(card(model.name, model.fingerprint, counts, events), encoding="utf-8")
    return f"{', '.join(f'{n:,} {table}' for table, n in counts.items())}, {events:,} events"


def _chunks(found: Iterator[FeatureRows]) -> Iterator[dict[str, list[Row]]]:
    """Rows of each table, some thousands at a time."""
    kept: dict[str, list[Row]] = {table: [] for table in TABLES}
    for rows in found:
        for table in TABLES:
            kept[table] += getattr(rows, table)
        if sum(map(len, kept.values())) >= _AT_ONCE:
            yield kept
            kept = {table: [] for table in TABLES}
    if any(chain(*kept.values())):
        yield kept


def card(model: str, fingerprint: str, counts: dict[str, int], events: int) -> str:
    """The card. Its head is YAML, of which JSON is a part: whatever the model is called, it is read as it is."""
    head: dict[str, Any] = {
        "pretty_name": f"Feature labels of {model}",
        "tags": ["interpretability", "monosemantic-features", "mfn-studio"],
        "configs": [
            {
                "config_name": table,
                "data_files": [{"split": "train", "path": f"data/{table}.parquet"}],
                **({"default": True} if table == TABLES[0] else {}),
            }
            for table in TABLES
        ],
    }
    fields = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items())
    columns = "\n".join(f"- `{table}` ({counts[table]:,} rows): " + ", ".join(COLUMNS[table]) for table in TABLES)
    return f"""---
{fields}
---

# Feature labels of {_plain(model)}

What people and programs say about the features of a language model, as MFN Studio {__version__} kept it. The model's
fingerprint is `{fingerprint}`; a feature is a `source` (kind, site, layer, a hash of its weights) and an `index` in it.

{columns}

A label's `standing` is `accepted` (it was decided on), `shown` (the first of those that were not), `beside` (others),
or `suggestion` (a program's, which nobody has adopted). `origin` says whether a person or a program wrote it.
`opinions` were given independently in campaigns. What was hidden in an open blind campaign at the time is in no table.

`events.jsonl` has everything that was ever said, {events:,} events, in order; `mfn labels import` takes it in.

Before you publish it: add a license, and ask those whose names and words are in it.
"""


def _plain(text: str) -> str:
    """On one line, and nothing of it markup."""
    return " ".join(text.split()).replace("<", "&lt;").replace("[", "\\\\[").replace("`", "'")

"""A CSV file becomes proposals: the file of an export, edited or not, or any table with a feature and a text a row.

The id of a proposal follows from what the row says, so that the same row again is the same event. A row that names an
event of this database (`event`) and has its words is here already; with other words it is a label beside it.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, select

from mfn_server.db.tables import Label, LabelEvent, Origin, Source
from mfn_server.exchange.labels.guard import unguarded
from mfn_server.exchange.labels.lines import EventLine
from mfn_server.exchange.labels.reading import Numbered
from mfn_server.exchange.labels.rows import LABEL
from mfn_server.labels.payloads import Propose

ROWS = uuid.UUID("6f1d8a52-5f0e-4c3e-9a0b-6c1f6f0d9a37")
"""Namespace of the ids of rows (UUID version 5)."""

_AT_ONCE = 500
_NOBODY = "unknown"
_MOMENT: TypeAdapter[datetime] = TypeAdapter(datetime)


def read_table(connection: Connection, file: IO[bytes], model_id: int, fingerprint: str) -> Iterator[Numbered]:
    """The rows of a table as lines of a file of labels."""
    by_layer = _sources_by_layer(connection, model_id)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    number = 1
    try:
        reader = csv.DictReader(text, strict=True)
        missing = _missing({name.strip().lower() for name in reader.fieldnames or []})
        if missing:
            yield Numbered(1, None, f"has no column {missing!r}", "name the columns: source or layer, index, text")
            return
        rows = iter(reader)
        while some := [(reader.line_num, _clean(row)) for row in islice(rows, _AT_ONCE)]:
            said = _said_here(connection, [row.get("event", "") for _, row in some])
            for number, row in some:
                yield _line(number, row, by_layer, said, fingerprint)
    except UnicodeDecodeError:
        yield Numbered(number, None, "behind it something is not UTF-8", "save the table as CSV in UTF-8")
    except csv.Error as error:
        yield Numbered(number, None, f"behind it something is no CSV: {error}", "save the table as CSV again")
    finally:
        text.detach()


def _missing(columns: set[str]) -> str | None:
    if not columns & {"source", "layer"}:
        return "source"
    return next((name for name in ("index", "text") if name not in columns), None)


def _clean(row: Mapping[Any, Any]) -> dict[str, str]:
    """Cells by column; those beyond the columns are nobody's."""
    return {name.strip().lower(): unguarded(value.strip()) for name, value in row.items() if name is not None and value}


def _line(
    number: int,
    row: Mapping[str, str],
    by_layer: Mapping[int, Sequence[str]],
    said: Mapping[str, set[str]],
    fingerprint: str,
) -> Numbered:
    if not row:
        return Numbered(number, None, "is empty", "leave it out")
    if row.get("kind", LABEL) != LABEL or row.get("origin", Origin.HUMAN) != Origin.HUMAN:
        return Numbered(number, None, why="no_label_of_a_person")
    words = row.get("text", "")
    if words and words in said.get(row.get("event", ""), ()):
        return Numbered(number, None, already=True)
    try:
        source, index = _feature(row, by_layer)
        author = row.get("author") or _NOBODY
        payload = Propose.model_validate({"text": words, "confidence": row.get("confidence")}).kept()
        created = _MOMENT.validate_python(row["created_at"]) if "created_at" in row else datetime.now(UTC)
        identity = json.dumps([fingerprint, source, index, author, payload["text"]], ensure_ascii=False)
        line = EventLine(
            id=uuid.uuid5(ROWS, identity),
            source=source,
            index=index,
            kind="propose",
            version=Propose.VERSION,
            payload=payload,
            author_id=author,
            author=author,
            origin=Origin.HUMAN,
            created_at=created if created.tzinfo else created.replace(tzinfo=UTC),
            reason=row.get("reason"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "created_at"
        said_ = first["msg"].removeprefix("Value error, ")
        return Numbered(number, None, f"{where}: {said_}", "correct the row, or leave it out")
    except ValueError as error:
        return Numbered(number, None, str(error), "correct the row, or leave it out")
    return Numbered(number, line)


def _feature(row: Mapping[str, str], by_layer: Mapping[int, Sequence[str]]) -> tuple[str, int]:
    """Raises ValueError."""
    index = row.get("index", "")
    if not (index.isascii() and index.isdecimal()):
        raise ValueError(f"index: {index!r} is no number of a feature")
    if row.get("source"):
        return row["source"], int(index)
    layer = row.get("layer", "")
    keys = by_layer.get(int(layer), []) if layer.isascii() and layer.isdecimal() else []
    if len(keys) != 1:
        why = f"has {len(keys)} sources: name one" if keys else "has no features"
        raise ValueError(f"layer: {layer!r} {why}")
    return keys[0], int(index)


def _sources_by_layer(connection: Connection, model_id: int) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in connection.execute(select(Source.layer, Source.key).where(Source.model_id == model_id)):
        found.setdefault(row.layer, []).append(row.key)
    return found


def _said_here(connection: Connection, ids: Sequence[str]) -> dict[str, set[str]]:
    """The words of events that rows name, by the id as the row has it: as they were proposed, and as they stand now."""
    asked: dict[uuid.UUID, str] = {}
    for id in ids:
        try:
            asked[uuid.UUID(id)] = id
        except ValueError:
            continue
    rows = connection.execute(
        select(LabelEvent.id, LabelEvent.payload, Label.text)
        .outerjoin(Label, Label.stream == LabelEvent.stream)
        .where(LabelEvent.id.in_(asked))
    )
    return {asked[row.id]: {row.payload.get("text") or "", row.text or ""} for row in rows}

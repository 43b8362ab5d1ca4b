"""What a run of scores comes to: by who wrote the labels and by scorer, as a table and as JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from sqlalchemy import Connection, select

from mfn_core.files import replace_file
from mfn_server.db.score_tables import NamingRun
from mfn_server.db.tables import LabelEvent
from mfn_server.naming.score_store import scores_of_run
from mfn_server.naming.scorers import CHANCE, NOT_EXECUTABLE, NOT_KNOWN, NOT_READ, SCORERS

RESAMPLES = 2_000
PEOPLE = "people"
_PROGRAM = "program:"  # how ids of programs begin
UNSCORABLE = (NOT_EXECUTABLE, NOT_READ, NOT_KNOWN)
"""Why a label has no score for which it has to answer itself: once these are counted as chance."""


@dataclass(frozen=True)
class Line:
    """A score, with the feature and the label that it is of."""

    layer: int
    number: int
    by: str
    text: str
    row: Any

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        row = self.row
        names = ("scorer", "reader", "value", "low", "high", "n", "unread", "why", "shuffled", "random")
        figures = {name: getattr(row, name) for name in names}
        details = {name: value for name, value in row.details.items() if name not in ("told", "true")}
        where = {"layer": self.layer, "feature": self.number, "label": row.label, "revision": row.revision}
        return {**where, "by": self.by, "text": self.text, **figures, **details}


@dataclass(frozen=True)
class Scored:
    """All scores of a run.

    Attributes:
        lines: the scores.
        told, data: what the run was told, and on which text it was.
        read, written, cost: of a language model, in all tries of the run.
        message: why it is not at its end; None if it is.
    """

    lines: Sequence[Line]
    told: Mapping[str, Any]
    data: Mapping[str, Any]
    read: int
    written: int
    cost: float
    message: str | None


def read_scored(connection: Connection, run_id: uuid.UUID, layers: Mapping[int, int]) -> Scored:
    """A run's scores. `layers`: of sources, by their rows."""
    run = connection.execute(select(NamingRun).where(NamingRun.id == run_id)).one()
    rows = scores_of_run(connection, run_id)
    words: dict[int, tuple[str, str]] = {}
    revisions = sorted({row.revision for row in rows})
    for begin in range(0, len(revisions), 500):
        these = LabelEvent.stream.in_(revisions[begin : begin + 500])
        for event in connection.execute(
            select(LabelEvent.stream, LabelEvent.author_id, LabelEvent.payload).where(these)
        ):
            words[event.stream] = (_author(event.author_id), str(event.payload.get("text") or ""))
    lines = [Line(layers.get(row.source_id, -1), row.number, *words[row.revision], row) for row in rows]
    return Scored(lines, run.told, run.data or {}, run.tokens_read, run.tokens_written, run.cost, run.message)


def summary(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Figures by who wrote the labels (all people together), and by scorer.

    `mean` is over labels with a score, with a bootstrap interval over labels. `all` is the same with chance for those
    labels that cannot be carried out, read or embedded: what the labels are good for together. Labels whose features
    fire too seldom are in neither. `shuffled` and `random` are means over labels that have both.
    """
    by: dict[tuple[str, int, str], list[Any]] = {}
    for line in lines:
        by.setdefault((line.by, SCORERS.index(line.row.scorer), line.row.reader), []).append(line.row)
    return [
        {"by": author, "scorer": SCORERS[place], "reader": reader, **_of(rows, CHANCE[SCORERS[place]])}
        for (author, place, reader), rows in sorted(by.items())
    ]


def table_of(figures: Sequence[Mapping[str, Any]]) -> Table:
    """For people to read."""
    table = Table(box=None, header_style="bold")
    left = ("labels by", "scorer")
    right = ("scored", "unscorable", "too seldom", "mean", "95 %", "all", "shuffled", "random", "unread")
    for name in (*left, *right):
        table.add_column(name, justify="left" if name in left else "right")
    for of in figures:
        low, high = of["interval"] or (None, None)
        table.add_row(
            of["by"],
            of["scorer"],
            *(str(of[name]) for name in ("scored", "unscorable", "too_seldom")),
            _figure(of["mean"]),
            "" if low is None else f"{low:.2f} to {high:.2f}",
            *(_figure(of[name]) for name in ("all", "shuffled", "random")),
            str(of["unread"]),
        )
    return table


def write_report(path: Path, scored: Scored) -> None:
    """All scores, as JSON. A file of that name is replaced once the new one is complete."""
    corpus = str(scored.told["corpus"])
    report = {
        "kind": "label-scores",
        "corpus": corpus if corpus.startswith("hf:") else Path(corpus).name,
        **{name: scored.told[name] for name in ("documents", "seed", "snippets")},
        "text": dict(scored.data),
        "read": scored.read,
        "written": scored.written,
        "cost": scored.cost,
        "stopped": scored.message,
        "figures": summary(scored.lines),
        "scores": [line.to_json() for line in scored.lines],
    }
    written = json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n"
    replace_file(path, lambda file: file.write(written))


def _of(rows: Sequence[Any], chance: float) -> dict[str, Any]:
    values = np.array([row.value for row in rows if row.value is not None])
    unscorable = sum(row.value is None and row.why in UNSCORABLE for row in rows)
    interval = None
    if len(values) > 1:
        drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values))).mean(axis=1)
        interval = [round(float(end), 4) for end in np.quantile(drawn, (0.025, 0.975))]
    both = [row for row in rows if row.shuffled is not None and row.random is not None]
    return {
        "scored": len(values),
        "unscorable": unscorable,
        "too_seldom": len(rows) - len(values) - unscorable,
        "mean": _mean(values.tolist()),
        "interval": interval,
        "all": _mean([*values.tolist(), *[chance] * unscorable]),
        "shuffled": _mean([row.shuffled for row in both]),
        "random": _mean([row.random for row in both]),
        "unread": sum(row.unread for row in rows),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _author(author_id: str) -> str:
    return author_id.removeprefix(_PROGRAM) if author_id.startswith(_PROGRAM) else PEOPLE

"""One result of an experiment as plain data: what was asked, what was found, and all that it takes to do it again.

Commands that experiment write these; the Evidence page and the HTML report show them. What shows them needs to know
nothing of the experiment: a document brings its own tables, figures and checks.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mfn_core.errors import MFNError
from mfn_core.files import replace_file

FORMAT = 1

Kind = Literal["eval", "ablations", "toy", "compute", "interop"]
CellKind = Literal["text", "number", "share", "feature", "status"]
Status = Literal["holds", "fails", "undecided", "not measured"]


class DocumentError(MFNError):
    """A file is no document of this format."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: under which rows have it.
        title: in words.
        kind: how a cell is shown. "share" is a number from 0 to 1 shown as per cent; "feature" is `[layer, index]`,
            which a page links to the feature; "status" is one of those of a verdict.
        unit: such as "nats" or "ms"; empty for none.
    """

    key: str
    title: str
    kind: CellKind = "number"
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of plain data; a cell that is missing or None was not measured.

    An interval of a number in column `x` may stand in the row under `x_low` and `x_high`; it is shown beside it.
    """

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A Plotly figure as plain data: `{"data": […], "layout": {…}}`.

    No colour of paper, plot or font: whoever shows it gives it those of its own theme. SVG traces alone (no scattergl),
    since WebGL's need `eval`, which the dashboard's content security policy refuses.

    Attributes:
        caption: what is to be seen, in one or two sentences.
    """

    key: str
    title: str
    caption: str
    figure: Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """A claim and whether the numbers bear it out.

    Attributes:
        found: the numbers, in words.
    """

    claim: str
    status: Status
    found: str


@dataclass(frozen=True)
class Document:
    """A result.

    Attributes:
        kind: of experiment.
        name: short and unlike that of others of its kind, such as "toy-superposition" or a model's name.
        title, summary: in words, the summary one to three sentences that say what was found.
        settings: everything the numbers depend on, seeds included.
        made: when, by which versions, from which commit, on which machine: `mfn_core.provenance.provenance()`.
        verdicts: of `mfn eval`: what `Verdict.to_json` gives.
        sections: titles by key, in the order in which they are shown. The key of a table or figure begins with its
            section's and a slash ("p1/rates"); what belongs to none comes last.
    """

    kind: Kind
    name: str
    title: str
    summary: str
    settings: Mapping[str, Any]
    made: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]] = ()
    checks: Sequence[Check] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    sections: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data. Numbers that are not finite become None, which JSON has a word for."""
        return {"mfn_evidence": FORMAT, **_plain(asdict(self))}

    @classmethod
    def from_json(cls, data: Any) -> Document:
        """
        Raises:
            DocumentError: it is none, or one of a format to come.
        """
        if not isinstance(data, dict) or not isinstance(data.get("mfn_evidence"), int):
            raise DocumentError("it is no evidence document: it has no field mfn_evidence")
        if data["mfn_evidence"] > FORMAT:
            raise DocumentError(
                f"it is an evidence document of format {data['mfn_evidence']}, and this version of MFN Studio reads "
                f"those up to {FORMAT}: install a newer one"
            )
        try:
            read = cls(
                data["kind"],
                data["name"],
                data["title"],
                data["summary"],
                data["settings"],
                data["made"],
                data["verdicts"],
                [Check(**each) for each in data["checks"]],
                [
                    Table(**each | {"columns": [Column(**column) for column in each["columns"]]})
                    for each in data["tables"]
                ],
                [Figure(**each) for each in data["figures"]],
                data["sections"],
            )
        except (KeyError, TypeError) as error:
            raise DocumentError(f"it is no whole evidence document: {error!r}") from error
        if read.kind not in get_args(Kind):
            raise DocumentError(f"it is an evidence document of the kind {read.kind!r}, which is not known here")
        for what, fits in read._parts():
            if not fits:
                raise DocumentError(f"it is no whole evidence document: {what} is of another type than it should be")
        return read

    def _parts(self) -> Iterator[tuple[str, bool]]:
        """What is inside, and whether it is what whoever shows it will take it for."""
        for name in ("name", "title", "summary"):
            yield name, isinstance(getattr(self, name), str)
        for name in ("settings", "made", "sections"):
            yield name, isinstance(getattr(self, name), Mapping)
        yield "a title in sections", all(isinstance(title, str) for title in self.sections.values())
        for verdict in self.verdicts:
            conditions = verdict.get("conditions") if isinstance(verdict, Mapping) else None
            yield "a verdict", isinstance(conditions, list) and all(isinstance(each, Mapping) for each in conditions)
        for table in self.tables:
            yield f"table {table.key!r}", isinstance(table.key, str) and isinstance(table.rows, list)
            yield f"a row of table {table.key!r}", all(isinstance(row, Mapping) for row in table.rows)
        for figure in self.figures:
            drawn = figure.figure
            fits = isinstance(drawn, Mapping) and isinstance(drawn.get("data"), list) and isinstance(figure.key, str)
            yield f"figure {figure.key!r}", fits and isinstance(drawn.get("layout", {}), Mapping)

    def by_section(self) -> list[tuple[str, list[Table], list[Figure]]]:
        """Title, tables and figures of each section that has any; last, without a title, those that belong to none."""
        groups: list[tuple[str, list[Table], list[Figure]]] = []
        for key, title in [*self.sections.items(), (None, "")]:
            tables = [each for each in self.tables if self._section(each.key) == key]
            figures = [each for each in self.figures if self._section(each.key) == key]
            if tables or figures:
                groups.append((title, tables, figures))
        return groups

    def _section(self, key: str) -> str | None:
        section, slash, _ = key.partition("/")
        return section if slash and section in self.sections else None

    def write(self, path: Path) -> None:
        """All of it or nothing."""
        written = json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        replace_file(path, lambda file: file.write(written))

    @classmethod
    def read(cls, path: Path) -> Document:
        """
        Raises:
            DocumentError: the file cannot be read as one.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise DocumentError(f"{path} cannot be read: {error}") from error
        except DocumentError as error:
            raise DocumentError(f"{path}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if {"bdata", "dtype"} <= value.keys():  # how plotly writes arrays
            shape = [int(size) for size in str(value.get("shape", "-1")).split(",")]
            return _plain(np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]).reshape(shape))
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

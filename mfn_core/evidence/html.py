"""An evidence document as one HTML file that needs nothing else: no server, no network, no other file.

plotly.js stands in it once, where there is a figure. Everything that a document holds is data: text is escaped,
figures are JSON that cannot end its script, and the file's own content security policy lets no script run but the ones
written here, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from mfn_core.evidence.cells import NOTHING, cell, interval, number, share
from mfn_core.evidence.document import Column, Document, Figure, Table
from mfn_core.evidence.interval_mark import interval_mark
from mfn_core.evidence.numbers import numbers
from mfn_core.files import replace_file

KINDS = {
    "eval": "Evaluation of a model",
    "ablations": "Ablations",
    "toy": "Toy model",
    "compute": "Time and memory",
    "interop": "Against others' numbers",
}


def write_html(document: Document, path: Path) -> None:
    """All of it or nothing. 4.8 MB of the file are plotly.js, where there is a figure.

    Raises:
        OSError: it cannot be written.
    """
    written = to_html(document).encode()
    replace_file(path, lambda file: file.write(written))


def to_html(document: Document) -> str:
    """The whole file."""
    scripts = _scripts(document)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(content_policy(document))}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(_text(document.title))}</title>",
            f"<style>{_own('report.css')}</style>",
            "</head>",
            "<body>",
            "<main>",
            *_head(document),
            *_verdicts(document.verdicts),
            *_checks(document),
            *_sections(document),
            *_made(document),
            "</main>",
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def content_policy(document: Document) -> str:
    """The content security policy of its file, for a server that sends it, too."""
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in _scripts(document))
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"


def _scripts(document: Document) -> list[str]:
    return ([plotly_js()] if document.figures else []) + [_own("report.js")]


@cache
def plotly_js() -> str:
    """plotly.js out of the installed plotly package, fit to stand within a script element."""
    return _inline((files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"))


@cache
def _own(name: str) -> str:
    return (files("mfn_core.evidence") / name).read_text(encoding="utf-8")


def _inline(script: str) -> str:
    # "\/" is "/" in strings and patterns alike
    return script.replace("\r\n", "\n").replace("</script", "<\\/script")


@cache
def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data(value: Any) -> str:
    """JSON that holds no "<": it can neither end the script element in which it stands nor begin a comment there."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def _text(value: Any) -> str:
    return cell(value, "text")


def _p(text: Any, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(_text(text))}</p>' if _text(text) else ""


def _head(document: Document) -> Iterable[str]:
    yield f'<p class="kind">{escape(KINDS[document.kind])} · {escape(_text(document.name))}</p>'
    yield f"<h1>{escape(_text(document.title))}</h1>"
    yield _p(document.summary, "lead")
    commit = str(document.made.get("commit", ""))
    told = [_text(document.made.get("time", "")), f"commit {commit[:12]}" if commit not in ("", "unknown") else ""]
    yield _p(", ".join(each for each in told if each), "muted")


def _verdicts(verdicts: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not verdicts:
        return
    yield '<section aria-label="Verdicts" class="verdicts">'
    for verdict in verdicts:
        name = escape(_text(verdict.get("name", "")))
        yield '<article class="card">'
        yield f"<header><h2>{name}</h2>{_badge(verdict.get('status'))}</header>"
        yield _p(verdict.get("claim", ""), "claim")
        yield "<ul>"
        for condition in verdict.get("conditions", ()):
            yield f"<li>{_condition(condition)}</li>"
        yield "</ul></article>"
    yield "</section>"


def _condition(condition: Mapping[str, Any]) -> str:
    estimate, bound = condition.get("estimate"), condition.get("bound")
    shown = share if condition.get("unit") == "share" else number
    asked = f"{condition.get('sense', '')} {_bound(bound, shown is share)}" if isinstance(bound, int | float) else ""
    claim = f"<div>{escape(_text(condition.get('claim', '')))}</div>"
    if not isinstance(estimate, Mapping) or estimate.get("value") is None:
        why = f"not measured: {_text(condition.get('why_not', ''))}"
        return f'{claim}<div class="muted">{escape(why)} (asked: {escape(asked)})</div>'
    low, high = estimate.get("low"), estimate.get("high")
    between = "" if low is None or high is None else f" ({shown(low)} to {shown(high)})"
    found = f"<b>{escape(shown(estimate['value']))}</b>{escape(between)}, asked: {escape(asked)}"
    return f'{claim}{interval_mark(condition)}<div class="found">{found} {_badge(condition.get("status"))}</div>'


def _bound(bound: float, in_percent: bool) -> str:
    return f"{100 * bound:g}%" if in_percent else f"{bound:g}"


def _badge(status: Any) -> str:
    known = {"holds": "good", "fails": "bad"}
    return f'<span class="badge {known.get(_text(status), "open")}">{escape(_text(status))}</span>'


def _checks(document: Document) -> Iterable[str]:
    if not document.checks:
        return
    columns = [Column("claim", "Claim", "text"), Column("found", "Found", "text"), Column("status", "", "status")]
    rows = [{"claim": check.claim, "found": check.found, "status": check.status} for check in document.checks]
    yield "<section><h2>Checks</h2>"
    yield from _table(Table("checks", "", columns, rows))
    yield "</section>"


def _sections(document: Document) -> Iterable[str]:
    for title, tables, figures in document.by_section():
        yield "<section>"
        if title:
            yield f"<h2>{escape(_text(title))}</h2>"
        for figure in figures:
            yield from _figure(figure)
        for table in tables:
            yield from _table(table)
        yield "</section>"


def _figure(figure: Figure) -> Iterable[str]:
    title = escape(_text(figure.title))
    yield f"<figure><h3>{title}</h3>"
    yield f'<div class="plot" role="img" aria-label="{title}"></div>'
    yield f'<script type="application/json">{_data(figure.figure)}</script>'
    yield f"<figcaption>{escape(_text(figure.caption))}</figcaption>"
    drawn = numbers(figure.figure)
    if drawn.rows:
        columns = [Column(str(place), each) for place, each in enumerate(drawn.titles)]
        rows = [{str(place): value for place, value in enumerate(row)} for row in drawn.rows]
        caption = f"{drawn.left_out:,} further rows are in the JSON file." if drawn.left_out else ""
        yield "<details><summary>The numbers</summary>"
        yield from _table(Table("", "", columns, rows, caption))
        yield "</details>"
    yield "</figure>"


def _table(table: Table) -> Iterable[str]:
    if table.title:
        yield f"<h3>{escape(_text(table.title))}</h3>"
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(_text(table.title) or "Table")}"><table>'
    yield "<thead><tr>"
    for column in table.columns:
        unit = f" <small>{escape(_text(column.unit))}</small>" if column.unit else ""
        yield f'<th scope="col"{_side(column)}><button type="button">{escape(_text(column.title))}{unit}</button></th>'
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield f"<tr>{''.join(_cell(row, column) for column in table.columns)}</tr>"
    yield "</tbody></table></div>"
    yield _p(table.caption, "caption")


def _cell(row: Mapping[str, Any], column: Column) -> str:
    value = row.get(column.key)
    if column.kind == "status" and value is not None:
        return f'<td class="words">{_badge(value)}</td>'
    shown, between = escape(cell(value, column.kind)), interval(row, column)
    exact = isinstance(value, int | float) and not isinstance(value, bool)
    sorted_by = f' data-value="{value!r}"' if exact else ""
    tip = f' title="{value!r}"' if isinstance(value, float) else ""
    small = f" <small>{escape(between)}</small>" if between else ""
    return f"<td{_side(column, value)}{sorted_by}{tip}>{shown}{small}</td>"


def _side(column: Column, value: Any = None) -> str:
    words = column.kind in ("text", "status", "feature") or isinstance(value, str)
    return ' class="words"' if words and value != NOTHING else ""


def _made(document: Document) -> Iterable[str]:
    yield '<section class="made"><h2>How it was made</h2>'
    yield from _facts("Settings", document.settings)
    yield from _facts("Made by", document.made)
    yield "</section>"


def _facts(title: str, facts: Mapping[str, Any]) -> Iterable[str]:
    yield f"<h3>{title}</h3><dl>"
    for key, value in facts.items():
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"<div><dt>{escape(str(key))}</dt><dd>{escape(written)}</dd></div>"
    yield "</dl>"

"""The HTML report: whole, alone, and nothing that a document holds becomes markup or code."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mfn_core.evidence.cells import cell, number, share
from mfn_core.evidence.document import Check, Column, Document, Figure, Table
from mfn_core.evidence.html import to_html, write_html
from mfn_core.evidence.numbers import MOST_ROWS, numbers

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028<!--"


def verdict(status: str = "holds", value: float | None = 0.9) -> dict[str, object]:
    condition = {
        "claim": EVIL,
        "sense": "at least",
        "bound": 0.8,
        "unit": "share",
        "estimate": None if value is None else {"value": value, "low": 0.85, "high": 0.95, "n": 10},
        "status": status,
        "why_not": EVIL,
    }
    return {"name": EVIL, "claim": EVIL, "status": status, "conditions": [condition], "tables": {}}


def hostile() -> Document:
    """A document every text of which is an attack."""
    columns = [Column(EVIL, EVIL, "text", EVIL), Column("n", EVIL, "share"), Column("f", EVIL, "feature")]
    rows = [
        {EVIL: EVIL, "n": 0.25, "n_low": 0.125, "n_high": 0.5, "f": [3, 812]},
        {EVIL: [EVIL], "n": EVIL, "f": EVIL},
    ]
    figure = {"data": [{"type": "scatter", "name": EVIL, "x": [EVIL], "y": [1]}], "layout": {"title": {"text": EVIL}}}
    return Document(
        "eval",
        EVIL,
        EVIL,
        EVIL,
        {EVIL: {EVIL: EVIL}},
        {"commit": EVIL, "time": EVIL},
        [verdict(EVIL), verdict("not measured", None)],
        [Check(EVIL, "holds", EVIL)],
        [Table(EVIL, EVIL, columns, rows, EVIL)],
        [Figure(f"a/{EVIL}", EVIL, EVIL, figure)],
        {"a": EVIL},
    )


class Seen(HTMLParser):
    """Which elements and attributes a browser would find, and the scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.text = ""
        self._script: str | bool | None = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        self._script = dict(attrs).get("type") if tag == "script" else False

    def handle_data(self, data: str) -> None:
        if self._script is False:
            self.text += data
        else:
            self.scripts.append((self._script, data))  # type: ignore[arg-type]

    def handle_endtag(self, tag: str) -> None:
        self._script = False


def seen(html: str) -> Seen:
    parser = Seen()
    parser.feed(html)
    parser.close()
    return parser


def test_nothing_in_a_document_becomes_markup_or_code() -> None:
    html = to_html(hostile())
    found = seen(html)
    assert "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    data = [script for kind, script in found.scripts if kind == "application/json"]
    assert json.loads("".join(data))["data"][0]["name"] == EVIL  # whole: its script was not ended within
    assert not any("alert" in script for kind, script in found.scripts if kind is None and "Plotly, Inc" not in script)
    assert EVIL in found.text  # and it is shown as it is
    policy = next(value for name, value in found.attributes if value and "default-src 'none'" in value)
    run = [script for kind, script in found.scripts if kind is None]
    assert len(run) == 2
    for script in run:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.partition("style-src")[0]


def test_a_report_needs_no_network_and_holds_plotly_once_where_there_is_a_figure(tmp_path: Path) -> None:
    write_html(hostile(), tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text()
    assert html.count("Plotly, Inc.") == 1
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"?(https?:)?//", own)
    assert "url(" not in own
    plain = Document("toy", "t", "A title", "", {}, {})
    assert len(to_html(plain)) < 20_000
    assert not list(tmp_path.glob("*.partial"))


def test_cells_and_verdicts_say_what_was_found() -> None:
    text = re.sub(r"\s+", " ", seen(to_html(hostile())).text)
    assert "90.0% (85.0% to 95.0%), asked: at least 80%" in text
    assert "25.0% 12.5% to 50.0%" in text
    assert "L3 · 812" in text
    assert text.count("not measured: </script>") == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.8432, "0.843"), (12345, "12,345"), (0.00123, "0.00123"), (-2.5, "−2.500"), (123.456, "123.5"), (0, "0")],
)
def test_numbers_are_written_so_that_they_can_be_compared(value: float, written: str) -> None:
    assert number(value) == written


def test_other_cells() -> None:
    assert (share(-0.0123), share(0.0002)) == ("−1.2%", "0.02%")
    assert [cell(None, "number"), cell(True, "text"), cell([1, 2], "text")] == ["–", "yes", "1, 2"]
    assert cell({"k": 1}, "text") == "k 1"


def test_sections_come_in_their_order_and_what_has_none_last() -> None:
    def table(key: str) -> Table:
        return Table(key, key, [], [])

    tables = [table("alone"), table("b/x"), table("a/y"), table("ab/z")]
    document = Document("toy", "t", "t", "", {}, {}, tables=tables, sections={"a": "A", "b": "B", "c": "C"})
    found = [(title, [table.key for table in tables]) for title, tables, _ in document.by_section()]
    assert found == [("A", ["a/y"]), ("B", ["b/x"]), ("", ["alone", "ab/z"])]


def test_the_numbers_of_a_figure_are_those_it_draws() -> None:
    error = {"array": [0.5, None], "arrayminus": [0.25, 1]}
    line = {"name": "MFN", "x": [1, 2], "y": [3.0, 4.0], "error_y": error}
    layout = {"yaxis": {"title": {"text": "AUC"}}, "xaxis": {"title": "k"}}
    drawn = numbers({"data": [line, {"name": "SAE", "y": [7]}], "layout": layout})
    assert drawn.titles == ["series", "k", "AUC", "AUC, low", "AUC, high"]
    assert drawn.rows == [["MFN", 1, 3.0, 2.75, 3.5], ["MFN", 2, 4.0, 3.0, None], ["SAE", None, 7, None, None]]
    heat = numbers({"data": [{"type": "heatmap", "x": ["a", "b"], "z": [[1, 2], [3, 4]]}]})
    assert heat.titles == ["x", "y", "z"]
    assert heat.rows == [["a", 0, 1], ["b", 0, 2], ["a", 1, 3], ["b", 1, 4]]
    assert numbers({"data": [{"y": list(range(MOST_ROWS + 3))}]}).left_out == 3
    assert numbers({"data": ["what", {"labels": ["a"], "values": [2]}]}).rows == [["a", 2]]

"""Figures as PNG: what there is without what draws them, and one that is drawn."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from mfn_core.evidence.document import Document, Figure
from mfn_core.evidence.png import HEIGHT, SCALE, WIDTH, write_pngs

LINE = Figure("part/line", "A line", "It rises.", {"data": [{"type": "scatter", "y": [1, 2]}], "layout": {}})
DOCUMENT = Document("toy", "a-toy", "A toy", "Nothing.", {}, {}, figures=[LINE])


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    said = write_pngs(DOCUMENT, tmp_path)
    assert "mfn-studio[png]" in said
    assert "\n" not in said
    assert not list(tmp_path.iterdir())


def test_a_browser_that_fails_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no Chrome\nmuch more")

    monkeypatch.setattr("plotly.io.write_images", fails)
    assert write_pngs(DOCUMENT, tmp_path) == "no Chromium could draw them: no Chrome"


@pytest.mark.browser
@pytest.mark.slow
def test_a_figure_is_drawn(tmp_path: Path) -> None:
    assert write_pngs(DOCUMENT, tmp_path) == ""
    head = (tmp_path / "a-toy-part-line.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:]) == (WIDTH * SCALE, HEIGHT * SCALE)

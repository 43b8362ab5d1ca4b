"""Figures of an evidence document as PNG files, where there is what draws them: kaleido, and a Chromium."""

from __future__ import annotations

from pathlib import Path

from mfn_core.evidence.document import Document

WIDTH, HEIGHT, SCALE = 900, 560, 2.0  # pixels, and how many of them each becomes


def write_pngs(document: Document, folder: Path) -> str:
    """One file a figure, `NAME-KEY.png` with dashes for slashes. Of a figure with a slider, its first state.

    Returns:
        Why there are none, in a line; empty where there are.
    """
    if not document.figures:
        return "it has no figures"
    try:
        import kaleido  # noqa: F401 - plotly needs it, and says less clearly what is missing
        from plotly import io
    except ModuleNotFoundError as error:
        return f"{error.name} is missing: pip install 'mfn-studio[png]'"
    figures = [
        {"data": each.figure["data"], "layout": {"title": {"text": each.title}, **each.figure["layout"]}}
        for each in document.figures
    ]
    paths = [folder / f"{document.name}-{each.key.replace('/', '-')}.png" for each in document.figures]
    try:
        io.write_images(figures, paths, width=WIDTH, height=HEIGHT, scale=SCALE)
    except Exception as error:  # choreographer's and kaleido's many; none may cost the document
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"no Chromium could draw them: {lines[0]}"
    return ""

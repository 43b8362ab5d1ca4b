"""HTML that stands alone: no script, no style sheet, nothing from another host.

It is shown inside somebody else's page (Jupyter, VS Code, Colab, an exported file), whose theme cannot be known. So
text keeps the page's own colour, and every tint is translucent: it works on light and dark ground alike. Styles are
inline, since some viewers strip `<style>`. Strength is never told by colour alone: it is in the tooltip, and from the
upper third on in an underline, thick at the strongest token. All text is escaped, and kept from being read as TeX.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mfn_core.reading.units import Unit

_HEAT = "236,132,32"
_COLD = "62,120,230"  # values below 0, which signed codes have
_FAINT = "128,128,128"
_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_DIM = "opacity:.68"
_TABLE = "border-collapse:collapse;border:0;margin:0;width:auto;table-layout:auto;font-size:13px"
_CELL = (
    "padding:3px 12px 3px 0;border:0;background:none;text-align:{align};vertical-align:baseline;"
    "white-space:nowrap;line-height:1.55"
)
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x09: "⇥", 0x0A: "↵", 0x7F: "␡"}

BEFORE, AFTER = 40, 56
"""Characters on each side of the strongest token that a one-line strip of a long text shows (ours)."""


def visible(text: str) -> str:
    """Text on one line in which line breaks, tabs and other control characters can be seen."""
    return text.translate(_PICTURES)


def frame(*parts: str) -> str:
    """An output's whole HTML. The classes tell MathJax, old and new, that a dollar in a text is a dollar."""
    style = "font-size:13px;line-height:1.55;text-align:left;max-width:1100px"
    return f'<div class="mfn tex2jax_ignore mathjax_ignore" style="{style}">{"".join(parts)}</div>'


def heading(title: str, note: str = "") -> str:
    """A line above an output: what it is, and in faint letters what to know of it."""
    note = f' <span style="{_DIM}">{escape(note)}</span>' if note else ""
    return f'<div style="margin:2px 0 6px"><b style="font-weight:600">{escape(title)}</b>{note}</div>'


def note(text: str) -> str:
    """A line in small, faint letters."""
    return f'<div style="margin:4px 0 2px;font-size:12px;{_DIM}">{escape(text)}</div>'


def table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already.

    Args:
        columns: (heading, `left` or `right`) of each.
        rows: cells.
    """
    rule = f"border-bottom:1px solid rgba({_FAINT},.35)"
    head = "".join(
        f'<th style="{_CELL.format(align=align)};{rule};font-weight:600;font-size:12px;{_DIM}">{escape(name)}</th>'
        for name, align in columns
    )
    aligned = [_CELL.format(align=align) for _, align in columns]
    body = "".join(
        '<tr style="background:none">'
        + "".join(f'<td style="{style}">{cell}</td>' for style, cell in zip(aligned, row, strict=True))
        + "</tr>"
        for row in rows
    )
    head = f'<thead><tr style="background:none">{head}</tr></thead>'
    style = f"{_TABLE};font-variant-numeric:tabular-nums"
    return f'<div style="overflow-x:auto"><table style="{style}">{head}<tbody>{body}</tbody></table></div>'


def facts(lines: Sequence[tuple[str, str]]) -> str:
    """Names in faint letters, and beside each what it says, HTML already."""
    cell = _CELL.format(align="left")
    rows = "".join(
        f'<tr style="background:none"><td style="{cell};{_DIM}">{escape(name)}</td>'
        f'<td style="{cell};white-space:normal">{told}</td></tr>'
        for name, told in lines
    )
    return f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>'


def chip(text: str, title: str = "") -> str:
    """One token by itself. Line breaks are seen, and spaces where there is nothing else."""
    shown = visible(text) if text.strip(" ") else "␣" * len(text)
    style = f"{_MONO};font-size:12px;white-space:pre;padding:1px 4px;border-radius:3px;background:rgba({_FAINT},.16)"
    tip = f' title="{_attribute(title)}"' if title else ""
    return f'<bdi style="{style}"{tip}>{escape(shown)}</bdi>'


def strip(
    units: Sequence[Unit],
    values: Sequence[float],
    titles: Sequence[str],
    *,
    largest: float,
    peak: int | None = None,
    one_line: bool = False,
) -> str:
    """Running text whose tokens are shaded.

    Args:
        units: what the text is made of.
        values: strength of each token; a unit takes its strongest.
        titles: tooltip of each token, empty for none; a unit has those of all its tokens.
        largest: the magnitude that is shaded deepest.
        peak: the token to underline most; None for none.
        one_line: on one line, cut around that token.
    """
    strengths = [max(values[unit.start : unit.stop], key=abs) for unit in units]
    top = -1 if peak is None else next(i for i, unit in enumerate(units) if unit.stop > peak)
    first, last = _window(units, max(top, 0)) if one_line else (0, len(units))
    cut = f'<span style="{_DIM}">…</span>'
    parts = [cut if first > 0 else ""]
    for i in range(first, last):
        tip = "\n".join(filter(None, titles[units[i].start : units[i].stop]))
        parts.append(_shaded(units[i], strengths[i], largest, tip, i == top, one_line))
    parts.append(cut if last < len(units) else "")
    wrapping = "white-space:pre-wrap;overflow-wrap:anywhere;padding:4px 0;line-height:1.8"
    space = "white-space:pre" if one_line else wrapping
    return f'<div dir="auto" style="{space};text-align:start">{"".join(parts)}</div>'


def plain_text(units: Sequence[Unit]) -> str:
    """Running text without any shade, for within a line."""
    return "".join(_shaded(unit, 0.0, 1.0, "", False, False) for unit in units)


def faint(html: str) -> str:
    """The same, stepping back."""
    return f'<span style="{_DIM}">{html}</span>'


def aside(html: str) -> str:
    """The same on a faint ground that sets it off."""
    return f'<span style="background:rgba({_COLD},.16);border-radius:2px">{html}</span>'


def beside(columns: Sequence[tuple[str, str]]) -> str:
    """Titled texts, HTML already, side by side; below each other where there is no room."""
    cells = "".join(
        f'<div style="flex:1 1 300px;min-width:0;border-left:2px solid rgba({_FAINT},.35);padding:0 0 0 10px">'
        f'<div style="font-size:12px;font-weight:600;{_DIM}">{escape(title)}</div>'
        f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere;text-align:start">{html}</div></div>'
        for title, html in columns
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px 20px">{cells}</div>'


def _window(units: Sequence[Unit], peak: int) -> tuple[int, int]:
    """The units that a line has room for: BEFORE and AFTER characters on the two sides of the peak."""
    first, room = peak, BEFORE
    while first > 0 and (room := room - len(units[first - 1].text)) >= 0:
        first -= 1
    last, room = min(peak + 1, len(units)), AFTER
    while last < len(units) and (room := room - len(units[last].text)) >= 0:
        last += 1
    return first, last


def _shaded(unit: Unit, value: float, largest: float, tip: str, peak: bool, one_line: bool) -> str:
    style = []
    share = min(abs(value) / largest, 1.0) if largest > 0 else 0.0
    if share > 0:
        hue = _HEAT if value > 0 else _COLD
        style.append(f"background:rgba({hue},{0.1 + 0.48 * share:.2f})")
        if peak or share > 2 / 3:
            style.append(f"border-bottom:{2 if peak else 1}px solid rgba({hue},.95)")
        style.append("border-radius:2px")
    if unit.kind != "text":
        style.append(f"{_MONO};font-size:11px{'' if share else f';{_DIM}'}")
    text = escape(visible(unit.text) if one_line else unit.text.translate(_PICTURES | {0x0A: "↵\n"}))
    if not style and not tip:
        return text
    # A name or bytes shown in letters of their own must not decide which way the text around them runs.
    tag = "span" if unit.kind == "text" else "bdi"
    shown = f' style="{";".join(style)}"' if style else ""
    told = f' title="{_attribute(tip)}"' if tip else ""
    return f"<{tag}{shown}{told}>{text}</{tag}>"


def _attribute(text: str) -> str:
    return escape(text).replace("\n", "&#10;")

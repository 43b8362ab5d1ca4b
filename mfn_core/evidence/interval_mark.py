"""A small drawing of an interval against its bound, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WIDTH, HEIGHT, EDGE = 200.0, 22.0, 6.0
MARGIN = 0.12  # of the range, on either side


def interval_mark(condition: Mapping[str, Any]) -> str:
    """The interval as a bar, its number as a dot, the bound as a line, and where the condition holds as a tint.

    The numbers stand beside it in words, so it says nothing to who does not see it. Empty where a number is missing.
    """
    estimate = condition.get("estimate") or {}
    asked = [estimate.get("low"), estimate.get("value"), estimate.get("high"), condition.get("bound")]
    found = [float(each) for each in asked if isinstance(each, int | float)]
    if len(found) < len(asked):
        return ""
    low, value, high, bound = found
    least, most = min(low, bound, value), max(high, bound, value)
    room = (most - least) * MARGIN or 1.0
    least, most = least - room, most + room

    def at(number: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (number - least) / (most - least)

    up = condition.get("sense") in ("at least", "above")
    tint = (at(bound), WIDTH) if up else (0.0, at(bound))
    middle = HEIGHT / 2
    return (
        f'<svg class="interval" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" height="{HEIGHT:g}"'
        ' aria-hidden="true">'
        f'<rect class="where" x="{tint[0]:.1f}" y="2" width="{tint[1] - tint[0]:.1f}" height="{HEIGHT - 4:g}"/>'
        f'<line class="bound" x1="{at(bound):.1f}" x2="{at(bound):.1f}" y1="0" y2="{HEIGHT:g}"/>'
        f'<line class="span" x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{middle:g}" y2="{middle:g}"/>'
        f'<circle class="value" cx="{at(value):.1f}" cy="{middle:g}" r="4"/></svg>'
    )

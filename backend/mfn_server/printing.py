"""Where commands print their tables."""

from __future__ import annotations

import os
import sys

from rich.console import Console

WIDE = 200
"""Columns where there is no terminal: rich takes 80 then, and cuts every cell of a wide table to a few letters."""


def wide_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for any table where it goes to a file or a pipe."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if known else WIDE)

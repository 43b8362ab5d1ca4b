"""Cells that a spreadsheet would compute instead of showing, made harmless, and back.

Excel, LibreOffice and Google Sheets take a cell that begins with one of these for a formula, also out of a CSV file,
and a formula can send what is in other cells elsewhere. An apostrophe before it makes it text.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def guarded(text: str) -> str:
    """A cell that is shown as it is.

    >>> guarded("=1+1"), guarded("a=b"), guarded("'=1")
    ("'=1+1", 'a=b', "''=1")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """What `guarded` was given. A cell that it would not have written is left as it is.

    >>> unguarded("'=1+1"), unguarded("a=b"), unguarded("'tis")
    ('=1+1', 'a=b', "'tis")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text

"""Text with a format of its own, generated: DNA, base64, hexadecimal, URLs, JSON, HTML, CSV, code and the like.

These are the texts on which sparse features were first shown to be clean (Towards Monosemanticity, 2023). All of it
follows from a seed, so that a run can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from mfn_core.data.corpus import Document
from mfn_core.data.structured import code, encodings, notation, records, web

KINDS: dict[str, Callable[[random.Random], str]] = {
    "dna": encodings.dna,
    "base64": encodings.base64_text,
    "hex": encodings.hexadecimal,
    "url": web.urls,
    "json": records.json_text,
    "html": web.html,
    "csv": records.csv,
    "python": code.python_code,
    "arithmetic": notation.arithmetic,
    "log": records.log,
    "dates": records.dates,
    "xml": web.xml,
    "markdown": web.markdown,
    "email": web.email,
    "network": web.network,
    "references": records.references,
    "c": code.c_code,
    "javascript": code.javascript,
    "sql": code.sql,
    "shell": code.shell,
    "latex": notation.latex,
    "chess": notation.chess,
}


def structured_documents(seed: int) -> Iterator[Document]:
    """Endless documents of all kinds in turn-free random order; `meta["kind"]` says which. The same for one seed."""
    rng = random.Random(seed)
    kinds = list(KINDS)
    while True:
        kind = rng.choice(kinds)
        yield Document(KINDS[kind](rng), {"kind": kind})

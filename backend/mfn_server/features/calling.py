"""What features are called where another one mentions them: the label, and the tokens they fire on most. Out of memory,
for a page mentions some sixty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mfn_server.features.catalogue import Catalogue

_DECIMALS = 4


Fields = dict[str, Any]


def foremost_tokens(catalogue: Catalogue, rows: Sequence[int], token_texts: Sequence[str]) -> list[list[Fields]]:
    """The first few tokens that features fire on most, as fields of `TokenShare`."""
    chosen, columns = np.asarray(rows, np.int64), catalogue.columns
    ids, shares = columns.foremost_ids[chosen].tolist(), columns.foremost_shares[chosen].tolist()
    return [
        [
            {"text": token_texts[number], "share": round(share, _DECIMALS)}
            for number, share in zip(*listed, strict=True)
            if share > 0
        ]
        for listed in zip(ids, shares, strict=True)
    ]


def called(catalogue: Catalogue, rows: Sequence[int], token_texts: Sequence[str]) -> list[Fields]:
    """Label, who wrote it, and tokens of each row: `label`, `label_origin`, `top_tokens`."""
    labels = map(catalogue.names.label, rows)
    return [
        {"label": label, "label_origin": origin, "top_tokens": tokens}
        for (label, origin), tokens in zip(labels, foremost_tokens(catalogue, rows, token_texts), strict=True)
    ]

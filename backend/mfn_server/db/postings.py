"""Which features a token leads to: the lists of `TokenPosting`, put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from mfn_server.db.blobs import U1, unpack
from mfn_server.db.tables import TokenPosting
from mfn_server.db.varints import unpack_rows


def unpack_postings(blobs: Sequence[bytes]) -> NDArray[np.int64]:
    """The ordinals in many lists, one list after the other: [n], ascending within a list."""
    steps, begins = unpack_rows(blobs)
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(steps)])
    ordinals: NDArray[np.int64] = sums[1:] - np.repeat(sums[begins[:-1]], np.diff(begins))
    return ordinals


def features_on_tokens(
    connection: Connection, run_id: int, tokens: Iterable[int], n_features: int
) -> NDArray[np.float64]:
    """Which share of its firings falls on some tokens, as far as each is among those the feature fires on most.

    Returns:
        float64 [n_features], by ordinal, to 1/255 for each token; 0 where it has none of them.
    """
    rows = connection.execute(
        select(TokenPosting.features, TokenPosting.shares).where(
            TokenPosting.run_id == run_id, TokenPosting.token_id.in_(tokens)
        )
    ).all()
    shares = unpack(b"".join(row.shares for row in rows), U1)
    ordinals = unpack_postings([row.features for row in rows])
    return np.bincount(ordinals, shares.astype(np.float64) / 255, n_features).astype(np.float64)

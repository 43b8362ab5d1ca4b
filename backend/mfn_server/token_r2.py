"""Token R² layer by layer, as the command line tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from mfn_server.db.tables import Feature, Source

if TYPE_CHECKING:
    from mfn_core.indexing.token_r2 import TokenR2Summary
    from mfn_core.indexing.types import CorpusIndex


def lines_of_index(index: CorpusIndex) -> Iterator[str]:
    """One line a layer, and one more where tokens were counted on samples; none for an index from before R² was."""
    for layer in index.layers:
        if layer.token_r2 is None or layer.half_firings is None:
            continue
        yield _line(layer.layer, layer.token_r2, layer.half_firings)
        if layer.counted_share is not None:
            share = layer.counted_share
            unknown = int((share == 0).sum())
            yield (
                f"layer {layer.layer}: of {int((share < 1).sum()):,} features that fire on very many different tokens, "
                f"tokens are counted on a sample ({share[share > 0].min(initial=1):.2%} of all tokens at least)"
                + (f", and of {unknown:,} not at all: see max_token_pairs" if unknown else "")
            )


def lines_of_run(connection: Connection, run_id: int) -> Iterator[str]:
    """One line a layer of a run in a database; none for a run from before there was such a figure."""
    for layer, r2, half_firings in _layers_of_run(connection, run_id):
        yield _line(layer, r2, half_firings)


def summaries_of_run(connection: Connection, run_id: int) -> dict[int, TokenR2Summary]:
    """By layer; none for a run from before there was such a figure."""
    from mfn_core.indexing.token_r2 import summarize  # torch comes with it

    return {layer: summarize(r2, firings) for layer, r2, firings in _layers_of_run(connection, run_id)}


def _layers_of_run(connection: Connection, run_id: int) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.int64]]]:
    """Layer, token R² and firings in the half with fewer, [F] each."""
    statement = (
        select(Source.layer, Source.id, Feature.token_r2, Feature.half_firings)
        .join(Source, Source.id == Feature.source_id)
        .where(Feature.run_id == run_id, Feature.half_firings.is_not(None))
        .order_by(Source.layer, Source.id)
    )
    sources: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for layer, source, r2, half_firings in connection.execute(statement):
        sources.setdefault((layer, source), []).append((np.nan if r2 is None else r2, half_firings or 0))
    for (layer, _), rows in sources.items():
        r2s, firings = zip(*rows, strict=True)
        yield layer, np.array(r2s, np.float64), np.array(firings, np.int64)


def _line(layer: int, token_r2: NDArray[np.floating], half_firings: NDArray[np.int64]) -> str:
    from mfn_core.indexing.token_r2 import CONTEXT_R2, MIN_FIRINGS, summarize  # torch comes with it

    found = summarize(token_r2, half_firings)
    of = f"{found.n:,} features with {MIN_FIRINGS} firings or more in each half"
    if found.median is None:
        return f"layer {layer}: not known of any feature with {MIN_FIRINGS} firings or more in each half"
    return f"layer {layer}: median {found.median:.2f}, {found.context_share:.0%} under {CONTEXT_R2} (of {of})"

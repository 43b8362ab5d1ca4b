"""How a feature stands by how often it fired on the corpus: it is dead, ultra-rare, alive, or nobody can tell yet."""

from __future__ import annotations

from sqlalchemy import ColumnElement, case

from mfn_server.db.tables import Feature, IndexRun

TOKENS_TO_ONE = 1_000_000
"""A feature that fires on fewer than one token in so many is ultra-rare."""

ENOUGH_TOKENS = 3_000_000
"""On fewer tokens a rate of one in a million cannot be told from twice or half as much, nor from none."""

SURELY_ALIVE = 10
"""With so many firings a feature is not ultra-rare, however few tokens were read: at one in a million, fewer than three
are expected of fewer than `ENOUGH_TOKENS`, and ten come about once in 900 times (ours)."""

feature_status: ColumnElement[str] = case(
    (Feature.firing_count == 0, "dead"),
    ((IndexRun.n_tokens >= ENOUGH_TOKENS) & (Feature.firing_count * TOKENS_TO_ONE < IndexRun.n_tokens), "ultra_rare"),
    ((IndexRun.n_tokens < ENOUGH_TOKENS) & (Feature.firing_count < SURELY_ALIVE), "undetermined"),
    else_="alive",
)
"""For queries over features with their runs: one of `schemas.FeatureStatus`."""

"""The tally of features on tokens against a dictionary, by table, by sorting and by both, in pieces of any size."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.indexing import dense_tally, tallies
from mfn_core.indexing.pairs import Pairs
from mfn_core.indexing.tallies import TokenTally

F, V = 6, 9
TABLE_OF_3 = 2 * (F + 1) * 3

Codes = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_codes(seed: int, n_tokens: int, width: int) -> Codes:
    """Half, token, features, strength, with silent entries; strengths are multiples of 2⁻²⁴, so that sums are plain."""
    rng = np.random.default_rng(seed)
    features = np.argsort(rng.random((n_tokens, F)), axis=1)[:, :width].astype(np.uint16)
    features[rng.random(features.shape) < 0.3] = F
    token = np.minimum(rng.geometric(0.3, n_tokens) - 1, V - 1)
    strength = rng.integers(1, 1 << 20, features.shape) / np.float32(1 << 24)
    return rng.integers(0, 2, n_tokens), token, features, strength.astype(np.float32)


batches = st.lists(
    st.builds(random_codes, st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, F)), min_size=1, max_size=6
)


def expected(codes: list[Codes]) -> dict[int, tuple[int, int]]:
    """Firings and summed strength, in multiples of 2⁻²⁴, by (half × F + feature) × V + token."""
    counts: Counter[int] = Counter()
    sums: Counter[int] = Counter()
    for half, token, features, strength in codes:
        for t, k in np.argwhere(features < F).tolist():
            key = (int(half[t]) * F + int(features[t, k])) * V + int(token[t])
            counts[key] += 1
            sums[key] += int(float(strength[t, k]) * 2**24)
    return {key: (n, sums[key]) for key, n in sorted(counts.items())}


def as_dict(pairs: Pairs) -> dict[int, tuple[int, int]]:
    assert pairs.sums is not None
    assert (np.diff(pairs.keys) > 0).all()
    columns = (column.tolist() for column in (pairs.keys, pairs.counts, pairs.sums))
    return {key: (count, total) for key, count, total in zip(*columns, strict=True)}


@settings(max_examples=120, deadline=None)
@given(batches, st.sampled_from([0, TABLE_OF_3, 1 << 20]), st.sampled_from([1, 7, 1 << 17]), st.sampled_from([1, 40]))
def test_equals_a_dictionary(codes: list[Codes], cells: int, piece: int, buffer: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_tally, "CELLS", cells)
        patch.setattr(tallies, "_PIECE", piece)
        tally, other = (TokenTally(F, V, 1 << 20, buffer) for _ in range(2))
        for i, part in enumerate(codes):
            tally.add(*part)
            if i % 2:  # looked at on the way
                assert as_dict(tally.pairs()) == expected(codes[: i + 1])
            other.add(*part)
        truth = expected(codes)
        assert as_dict(tally.pairs()) == truth
        tally.add_pairs(other.pairs())
        assert as_dict(tally.pairs()) == {key: (2 * n, 2 * total) for key, (n, total) in truth.items()}
        for half in (0, 1):
            keys, counts, _ = tally.of_half(half)
            found = {half * F * V + key: n for key, n in zip(keys.tolist(), counts.tolist(), strict=True)}
            assert found == {key: 2 * n for key, (n, _) in truth.items() if key // (F * V) == half}


def test_the_table_is_of_the_most_frequent_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_tally, "CELLS", TABLE_OF_3)
    tally = TokenTally(F, V, 1 << 20, buffer=1)
    token = np.repeat([7, 2, 5, 1], [5, 4, 3, 2])
    tally.add(np.zeros(14, np.int64), token, np.zeros((14, 1), np.uint16), np.ones((14, 1), np.float32))
    assert tally._dense is not None
    assert np.flatnonzero(tally._dense.column >= 0).tolist() == [2, 5, 7]

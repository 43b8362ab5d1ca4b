"""Sets of features as blobs: nothing is lost, whatever form is shortest, and damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_server.db.term_sets import BLOCK, pack_rows, raise_levels, term_sets
from mfn_server.features.catalogue import Kept
from mfn_server.features.columns import turned


@settings(max_examples=200, deadline=None)
@given(st.integers(1, BLOCK), st.floats(0, 1), st.integers(0, 2**32 - 1), st.integers(1, 255))
def test_a_set_comes_back(size: int, density: float, seed: int, level: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < density
    before = rng.integers(0, 3, size).astype(np.uint8)
    blob = pack_rows(np.flatnonzero(mask), size)
    levels = before.copy()
    raise_levels(levels, blob, level)
    assert levels.tolist() == np.where(mask, np.maximum(before, level), before).tolist()
    assert len(blob) <= 1 + max(2 * int(mask.sum()), 0) or len(blob) <= 1 + (size + 7) // 8


def test_each_form_is_used() -> None:
    rng = np.random.default_rng(0)
    forms = {pack_rows(np.flatnonzero(rng.random(BLOCK) < density), BLOCK)[0] for density in (1e-4, 0.02, 0.5)}
    assert forms == {0, 1, 2}


@pytest.mark.parametrize(
    "blob", [b"", b"\x03", b"\x01\x00", b"\x00\x10\x00", b"\x02\x78\x9c\x03\x00\x00\x00\x00\x01", b"\x02zlib"]
)
def test_what_is_no_set_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match=r"block|known|bit"):
        raise_levels(np.zeros(16, np.uint8), blob, 1)


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60), st.integers(0, 3))
def test_sets_are_grouped_by_term_and_level(pairs: set[tuple[int, int]], block: int) -> None:
    listed = sorted(pairs, reverse=True)
    level_of = {pair: sum(pair) % 3 for pair in listed}
    term, low = (np.array([pair[i] for pair in listed], np.int64) for i in (0, 1))
    found = list(term_sets(term, low, np.array([level_of[pair] for pair in listed], np.int64), block, 41))
    assert [(s.term, s.level) for s in found] == sorted({(pair[0], level_of[pair]) for pair in listed})
    for one in found:
        levels = np.zeros(41, np.uint8)
        raise_levels(levels, one.rows, 1)
        plain = {row for number, row in listed if (number, level_of[number, row]) == (one.term, one.level)}
        assert set(np.flatnonzero(levels).tolist()) == plain
        assert one.block == block


@given(st.lists(st.integers(0, 4), max_size=30))
def test_an_order_turned_keeps_equal_ones_as_they_were(values: list[int]) -> None:
    array = np.array(values, np.int64)
    forward = np.argsort(array, kind="stable").astype(np.int32)
    assert turned(forward, array[forward]).tolist() == np.argsort(-array, kind="stable").tolist()


def test_no_more_is_kept_than_there_is_room_for() -> None:
    kept, made = Kept(most=100), []

    def ask(key: str, size: int) -> int:
        def make() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
            made.append(key)
            return np.zeros(size, np.uint8)

        return len(kept.get(key, make))

    assert [ask("a", 40), ask("b", 40), ask("a", 40), ask("c", 40), ask("a", 40), ask("b", 40)] == [40] * 6
    assert made == ["a", "b", "c", "b"], "the one that was asked for longest ago goes"
    assert [ask("huge", 101), ask("huge", 101)] == [101, 101]
    assert made[-2:] == ["huge", "huge"]

"""Rows made while they are needed: shares, beginnings, mixing, and going on exactly where it stood."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from mfn_core.data.mix import Source, cut
from mfn_core.data.stream import RowStream, scatter
from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.errors import CorpusError

TEXTS = [f"number {n} of the texts, which says {n * 7} times nothing" for n in range(90)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return fit_tokenizer(TEXTS, 300)


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return [Source("a", 3.0, str(tmp_path / "a.jsonl"), True), Source("structured", 1.0, "", True)]


def stream(sources: list[Source], tokenizer: PreTrainedTokenizerFast, seed: int = 0, buffer: int = 16) -> RowStream:
    return RowStream(sources, tokenizer, 24, seed, 400, 0, buffer)


def test_rows_begin_with_the_beginning_and_sources_keep_their_shares(
    sources: list[Source], tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = RowStream(sources, tokenizer, 24, 0, max_characters=60, start=0, buffer=16)
    taken = rows.take(800)
    assert taken.shape == (800, 24)
    assert taken.dtype == np.uint16
    assert (taken[:, 0] == 0).all()
    recipe = rows.recipe()
    assert recipe["a"]["tokens"] / recipe["structured"]["tokens"] == pytest.approx(3.0, rel=0.15)
    assert recipe["a"]["epochs"] > 2
    assert recipe["a"]["documents"] > 2 * len(TEXTS)


def test_without_a_buffer_rows_are_the_text_in_its_order(
    sources: list[Source], tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = stream(sources[:1], tokenizer, buffer=0).take(10)
    encoded = tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    expected = cut(np.concatenate([np.array([0, *ids], dtype=np.uint16) for ids in encoded]), 10, 24, 0)
    np.testing.assert_array_equal(rows, expected)


def test_the_buffer_mixes_what_lies_far_apart(sources: list[Source], tokenizer: PreTrainedTokenizerFast) -> None:
    ordered, mixed = (stream(sources[:1], tokenizer, buffer=n).take(60) for n in (0, 40))
    places = {row.tobytes(): number for number, row in enumerate(ordered)}
    moved = [abs(places[row.tobytes()] - number) for number, row in enumerate(mixed) if row.tobytes() in places]
    assert len(moved) > 25
    assert np.mean(moved) > 10
    assert len({row.tobytes() for row in mixed}) == 60


@pytest.mark.parametrize("before", [1, 37, 400])
def test_it_goes_on_exactly_where_it_stood(
    sources: list[Source], tokenizer: PreTrainedTokenizerFast, before: int
) -> None:
    whole = stream(sources, tokenizer)
    whole.take(before)
    plain, arrays = whole.state()
    again = stream(sources, tokenizer)
    again.load(json.loads(json.dumps(plain)), {name: array.copy() for name, array in arrays.items()})
    np.testing.assert_array_equal(again.take(300), whole.take(300))
    assert again.recipe() == whole.recipe()


def test_the_seed_decides(sources: list[Source], tokenizer: PreTrainedTokenizerFast) -> None:
    first, again, other = (stream(sources, tokenizer, seed).take(50) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_source_without_text_says_so(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": " "}\n')
    for streamed in (True, False):
        source = Source("a", 1.0, str(tmp_path / "a.jsonl"), streamed)
        with pytest.raises(CorpusError, match="holds no text"):
            next(source.documents(0, 100))


def test_what_looks_drawn_by_chance_is_spread_evenly() -> None:
    drawn = np.array([scatter(3, n) % 8 for n in range(8000)])
    assert np.abs(np.bincount(drawn) - 1000).max() < 120
    assert scatter(3, 5) != scatter(4, 5)

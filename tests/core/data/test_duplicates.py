"""Copies are left out, word for word and nearly so; what is merely alike stays."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest

from mfn_core.data.duplicates import Deduplicated, SeenTexts
from mfn_core.errors import CorpusError


def prose(seed: int, words: int = 1200) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefghij", k=rng.randint(2, 7))) for _ in range(words))


def endless(texts: list[str]) -> Iterator[tuple[int, str]]:
    epoch = 0
    while True:
        yield from ((epoch, text) for text in texts)
        epoch += 1


def test_case_punctuation_and_space_do_not_make_a_new_text() -> None:
    seen = SeenTexts()
    assert seen.add("The sea was calm.")
    assert not seen.add("the  sea was\ncalm!")
    assert seen.add("The sea was calm today.")


def test_most_of_a_text_is_a_copy_and_a_passage_is_not() -> None:
    one, two = prose(1), prose(2)
    seen = SeenTexts()
    assert seen.add(one)
    assert not seen.add("A new heading. " + one[: len(one) * 3 // 4] + " and another end")
    assert seen.add(two[: len(two) * 3 // 4] + " " + one[: len(one) // 4])


def test_short_texts_that_share_a_beginning_stay() -> None:
    seen = SeenTexts()
    assert all(seen.add(f"Once upon a time there was a little girl named {name}.") for name in ("Lily", "Mia", "Ann"))


def test_each_epoch_has_what_the_first_kept_each_text_once() -> None:
    seen = SeenTexts()
    seen.add("held out")
    source = Deduplicated(endless(["one", "two", "Held out", "one", "three"]), seen, "s")
    drawn = list(islice(source, 9))
    assert source.dropped == 2
    by_epoch = {epoch: Counter(text for number, text in drawn if number == epoch) for epoch in range(3)}
    assert all(counts == {"one": 1, "two": 1, "three": 1} for counts in by_epoch.values())


def test_a_source_of_nothing_new_is_refused() -> None:
    seen = SeenTexts()
    seen.add("one")
    with pytest.raises(CorpusError, match=r"all of s has come before.*deduplicate"):
        list(islice(Deduplicated(endless(["one", "One"]), seen, "s"), 1))

"""Stop strings: where they cut, what is held back, and that nothing hangs on how text comes in tokens."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mfn_core.generation.text import GrowingText

letters = st.text(alphabet="abc", max_size=24)
stops = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3)


def deltas(pieces: list[bytes], stops: list[str]) -> tuple[list[str], GrowingText]:
    """Each piece as one token, the last one ending the text."""
    grown = GrowingText(pieces, stops)
    said = []
    for number in range(len(pieces)):
        said.append(grown.push(number, last=number == len(pieces) - 1))
        if grown.stopped:
            break
    return said, grown


def by_character(text: str, stops: list[str]) -> tuple[str, bool]:
    """The plain rule: read on until the text ends in a stop string; take the longest such off."""
    for end in range(1, len(text) + 1):
        ends = [stop for stop in stops if text[:end].endswith(stop)]
        if ends:
            return text[: end - max(map(len, ends))], True
    return text, False


@given(text=letters, stops=stops, cuts=st.sets(st.integers(1, 23)))
def test_cuts_where_the_first_stop_string_is_complete(text: str, stops: list[str], cuts: set[int]) -> None:
    bounds = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b].encode() for a, b in pairwise(bounds)]
    said, grown = deltas(pieces, stops)
    assert ("".join(said), grown.stopped) == by_character(text, stops)
    assert grown.text == "".join(said)


@given(text=letters, stops=stops)
def test_what_is_out_is_never_taken_back_and_nothing_waits_without_need(text: str, stops: list[str]) -> None:
    grown = GrowingText([bytes([character]) for character in text.encode()], stops)
    for number in range(len(text)):
        grown.push(number)
        if grown.stopped:
            break
        read = text[: number + 1]
        held = read[len(grown.text) :]
        assert read.startswith(grown.text)
        assert held == "" or any(stop.startswith(held) and stop != held for stop in stops)
        longer = [read[begin:] for begin in range(len(grown.text))]
        assert not any(stop.startswith(rest) for stop in stops for rest in longer)


def test_bytes_and_stops_are_held_together() -> None:
    said, grown = deltas([b"a\xe6\x9d", b"\xb1\xe4\xba", b"\xac!"], ["京"])
    assert said == ["a", "東", ""]
    assert grown.stopped


def test_broken_bytes_come_at_the_end() -> None:
    said, grown = deltas([b"a", b"\xe6"], ["zz"])
    assert said == ["a", "\N{REPLACEMENT CHARACTER}"]
    assert not grown.stopped

"""What labels of a feature are asked, on text that nobody saw who wrote them. Labels of one feature get the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfn_server.naming.held_out import SNIPPETS, HeldOut, Place, Window, draw_snippets
from mfn_server.naming.scorers import IN_GROUP


class Mark(NamedTuple):
    """Marked positions of a window (of the whole text, ascending), and whether the feature fires on these."""

    window: Window
    positions: NDArray[np.int64]
    fires: bool


class Group(NamedTuple):
    """Snippets in all of which but one the feature fires: by their places, and the intruder's place in the group."""

    snippets: Sequence[int]
    intruder: int


@dataclass(frozen=True)
class Questions:
    """Questions about one feature.

    Attributes:
        place: the feature.
        snippets: windows, each with whether the feature fires in it.
        marks: of the windows in which it fires, with marks on its firings or on as many other tokens; both occur, or
            there are none.
        groups: as many as there are windows in which it is silent; none where it fires in too few for one.
        name: what these questions are known by: of the tokens shown, what is so, and where the marks are.
    """

    place: Place
    snippets: Sequence[tuple[Window, bool]]
    marks: Sequence[Mark]
    groups: Sequence[Group]
    name: str

    @property
    def fires(self) -> NDArray[np.bool_]:
        """bool [snippets], in which it fires."""
        return np.array([fires for _, fires in self.snippets], np.bool_)


def questions_of(held_out: HeldOut, place: Place, seed: int, n: int = SNIPPETS) -> Questions | str:
    """What is asked about a feature; or why nothing is. It depends on text, feature, seed and n alone."""
    if place not in held_out.firings:
        return "never fires in this text"
    snippets = draw_snippets(held_out, place, seed, n=n)
    if isinstance(snippets, str):
        return snippets
    marks = _marks(held_out, place, [window for window, firing in snippets if firing], seed)
    groups = _groups([fires for _, fires in snippets], place, seed)
    return Questions(place, snippets, marks, groups, _name(held_out, snippets, marks, groups))


def span(held_out: HeldOut, window: Window) -> tuple[int, int]:
    """A window's positions in the whole text: the first, and that behind the last."""
    begin = int(held_out.offsets[window.document])
    return begin + window.start, begin + window.stop


def _marks(held_out: HeldOut, place: Place, windows: Sequence[Window], seed: int) -> list[Mark]:
    """In every other window as many silent positions as the feature fires on are marked instead."""
    generator = np.random.default_rng([seed, *place, 1])
    firings = held_out.firings[place]
    found = []
    for turn, number in enumerate(generator.permutation(len(windows)).tolist()):
        begin, end = span(held_out, windows[number])
        true = firings[(firings >= begin) & (firings < end)]
        if turn % 2 == 0:
            found.append(Mark(windows[number], true, True))
            continue
        silent = np.setdiff1d(np.arange(begin, end), true)
        if len(silent):
            marked = np.sort(generator.choice(silent, min(len(true), len(silent)), replace=False))
            found.append(Mark(windows[number], marked, False))
    return found if {mark.fires for mark in found} == {True, False} else []


def _groups(fires: Sequence[bool], place: Place, seed: int) -> list[Group]:
    generator = np.random.default_rng([seed, *place, 2])
    firing, silent = ([n for n, so in enumerate(fires) if so is wanted] for wanted in (True, False))
    if len(firing) < IN_GROUP - 1:
        return []
    groups = []
    for intruder in silent:
        members = generator.choice(firing, IN_GROUP - 1, replace=False).tolist()
        at = int(generator.integers(IN_GROUP))
        groups.append(Group((*members[:at], intruder, *members[at:]), at))
    return groups


def _name(
    held_out: HeldOut, snippets: Sequence[tuple[Window, bool]], marks: Sequence[Mark], groups: Sequence[Group]
) -> str:
    digest = hashlib.sha256()
    for window, fires in snippets:
        digest.update(held_out.tokens(window).astype("<u4").tobytes() + bytes([fires, 0]))
    for mark in marks:
        within = mark.positions - span(held_out, mark.window)[0]
        digest.update(within.astype("<i8").tobytes() + bytes([mark.fires, 1]))
    digest.update(repr([(tuple(group.snippets), group.intruder) for group in groups]).encode())
    return digest.hexdigest()[:16]

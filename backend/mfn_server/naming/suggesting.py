"""What a feature might be called, by programs that are no language models: its patterns, logits, neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.patterns import PatternSettings, fit_of, learn_patterns
from mfn_core.naming.text import Conditions, NamedText
from mfn_core.naming.wording import words_of
from mfn_server.db.tables import Origin
from mfn_server.naming.firings import firings_of, halves
from mfn_server.naming.scorers import Way

VERSION = 1
"""Counts up with what is suggested for the same index, so that it is made anew."""

WORST_FIT = 0.3  # F1 on contexts that it was not learned from, below which a pattern is not worth reading
CONFIDENCE = ((0.8, "high"), (0.55, "medium"), (0.0, "low"))  # by the same F1 (ours)
ALIKE = 0.6  # share of the promoted tokens that have to be of one class
COMMON = 0.3  # share of the vocabulary beyond which a class says nothing of what is promoted
PROMOTED = 10
CLOSE = 0.6  # cosine of two directions from which on the name of one is suggested for the other
LONGEST = 500


@dataclass(frozen=True)
class Suggestion:
    """What one program would call a feature.

    Attributes:
        text: the name.
        reason: what it rests on, in one sentence.
        confidence: "high", "medium" or "low"; None where nothing was measured.
        facts: what it rests on, for programs.
    """

    text: str
    reason: str
    confidence: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Suggester:
    """Suggests names of the features of one model. Holds what all of them need."""

    def __init__(self, text: NamedText, settings: PatternSettings | None = None) -> None:
        self._text = text
        self._lexicon = text.lexicon
        self._settings = settings or PatternSettings()
        self._first: dict[str, int] = {}
        for number, shown in enumerate(self._lexicon.texts):
            self._first.setdefault(shown, number)

    def suggest(self, way: Way, page: Mapping[str, Any]) -> Suggestion | None:
        """A name in one way; None where there is nothing to say. `page` has the fields of a `FeaturePage`."""
        ways: Mapping[Way, Callable[[Mapping[str, Any]], Suggestion | None]] = {
            "patterns": self._patterns,
            "logits": self._logits,
            "neighbours": self._neighbours,
        }
        return ways[way](page)

    def _patterns(self, page: Mapping[str, Any]) -> Suggestion | None:
        learned, tested = halves(firings_of(page, self._first, self._settings.reach))
        patterns = learn_patterns(learned, self._text, page["rate"], self._settings)
        fit = fit_of(patterns, tested, self._text, page["rate"])
        if fit.f1 < WORST_FIT:
            return None
        return Suggestion(
            text=words_of(patterns, self._lexicon)[:LONGEST],
            reason=f"covers {fit.recall:.0%} of its activation in contexts that it was not learned from; "
            f"it fires on {fit.precision:.0%} of what is so",
            confidence=next(name for least, name in CONFIDENCE if fit.f1 >= least),
            facts={
                "patterns": [self._spelled(pattern) for pattern in patterns],
                "precision": round(fit.precision, 4),
                "recall": round(fit.recall, 4),
                "contexts": len(set(tested.context.tolist())),
            },
        )

    def _spelled(self, pattern: Conditions) -> list[dict[str, Any]]:
        """A pattern without ids, which would be another model's tomorrow."""
        lexicon = self._lexicon
        return [
            {"before": offset, "token": lexicon.texts[key]}
            if key < lexicon.size
            else {"before": offset, "class": lexicon.names[key - lexicon.size]}
            for offset, key in pattern
        ]

    def _logits(self, page: Mapping[str, Any]) -> Suggestion | None:
        promoted = [each for each in page["promoted"][:PROMOTED] if each["logit"] > 0]
        if not promoted:
            return None
        ids = [self._first[each["text"]] for each in promoted if each["text"] in self._first]
        lexicon = self._lexicon
        shares = np.where(lexicon.members.mean(axis=1) <= COMMON, lexicon.members[:, ids].mean(axis=1), 0.0)
        text, reason = "writes ", f"of the {len(promoted)} tokens whose logits its direction raises most"
        if len(ids) and shares.max(initial=0.0) >= ALIKE:
            place = int(shares.argmax())
            ids = [number for number in ids if lexicon.members[place, number]]
            text += f"{lexicon.names[place]}: "
            reason += f", {shares[place]:.0%} are {lexicon.names[place]}"
        return Suggestion(
            text=(text + ", ".join(lexicon.name_of(number) for number in ids[:4]))[:LONGEST],
            reason=reason,
            facts={"promoted": [each["text"] for each in promoted]},
        )

    def _neighbours(self, page: Mapping[str, Any]) -> Suggestion | None:
        near = [each for each in page["neighbours"] if each["label"] and each["cosine"] >= CLOSE]
        if not near:
            return None
        # what a person called one that is a little further counts before what a program did
        best = max(near, key=lambda each: (each["label_origin"] == Origin.HUMAN, each["cosine"]))
        return Suggestion(
            text=best["label"][:LONGEST],
            reason=f"feature {best['index']} of the same layer is called this, and writes in nearly the same direction "
            f"(cosine {best['cosine']:.2f})",
            facts={"source": best["source"], "index": best["index"], "cosine": best["cosine"]},
        )


def spelled_out(patterns: Sequence[Sequence[Mapping[str, Any]]], lexicon: Lexicon) -> list[Conditions]:
    """Patterns as `Suggestion.facts` has them, for a vocabulary; those that ask for what it lacks are left out."""
    tokens = {shown: number for number, shown in reversed(list(enumerate(lexicon.texts)))}
    classes = {name: lexicon.size + place for place, name in enumerate(lexicon.names)}
    found = []
    for pattern in patterns:
        asked = [
            (each["before"], tokens.get(each["token"]) if "token" in each else classes.get(each["class"]))
            for each in pattern
        ]
        known = tuple((offset, key) for offset, key in asked if key is not None)
        if len(known) == len(asked):
            found.append(known)
    return found

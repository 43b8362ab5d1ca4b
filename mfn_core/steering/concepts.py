"""How much of a concept there is in a text: measured on the words, on the tokens, or on what fires when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfn_core.errors import ConfigError
from mfn_core.steering.results import Texts
from mfn_core.text_tests import TextTest


@dataclass(frozen=True)
class TokensConcept:
    """Tokens that are to be written.

    Attributes:
        ids: any of them counts.
        at_least: how many of them make a text that is wholly on the concept.
    """

    ids: frozenset[int]
    at_least: int = 2

    def __post_init__(self) -> None:
        if not self.ids or self.at_least < 1:
            raise ConfigError("a concept of tokens needs at least one token, and asks for at least one of them")


@dataclass(frozen=True)
class FiringConcept:
    """Features that are to fire when the text is read without interventions: the one that is turned, or related ones.

    That they fire while they are turned would say nothing. That they fire on the text, read plain, says that the text
    has become what they fire on.

    Attributes:
        features: (layer, feature); any of them counts.
        share: of a text's tokens on which one fires, that makes a text wholly on the concept.
    """

    features: tuple[tuple[int, int], ...]
    share: float = 0.5

    def __post_init__(self) -> None:
        if not self.features or not 0 < self.share <= 1:
            raise ConfigError(
                "a concept of features needs at least one feature, and a share of tokens above 0, at most 1"
            )


Concept = TextTest | TokensConcept | FiringConcept


def features_of(concept: Concept) -> Sequence[tuple[int, int]]:
    """The features whose firing has to be known."""
    return concept.features if isinstance(concept, FiringConcept) else ()


def degree(concept: Concept, written: Texts) -> float:
    """How much of the concept is in texts, on their mean: from 0, nothing, to 1, each is wholly on it."""
    return sum(_degrees(concept, written)) / len(written.ids)


def _degrees(concept: Concept, written: Texts) -> list[float]:
    match concept:
        case TokensConcept(ids=wanted, at_least=enough):
            return [min(1.0, sum(token in wanted for token in text) / enough) for text in written.ids]
        case FiringConcept(share=enough):
            return [min(1.0, sum(row) / (len(row) * enough)) if row else 0.0 for row in written.fired]
        case TextTest():
            return [concept.degree(text) for text in written.texts]

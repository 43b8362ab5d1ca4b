"""The search for a good strength, as a plan: what to try next, given what came of what was tried. No model in here.

Why it is needed: strengths that work are hard to find by hand. AxBench (Wu et al. 2025, arXiv:2501.17148) finds that
steering trades the concept against the rest, and chooses each method's factor by search on one half of its
instructions, to score it on the other; "The Eiffel Tower Llama" (Louapre 2025) finds a narrow range of strengths that
bring the concept before fluency breaks down, and another one for every feature. Both let a language model judge
concept and fluency. There is none here: the concept is measured as the caller says, and fluency by what the model
itself, without interventions, makes of the text. As there, repetition is looked at beside perplexity, since a text that
goes round in circles is no surprise to any model.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from mfn_core.errors import ConfigError

COARSE, FINE = 8, 4  # doses of the first round, and of the second, around the best of the first
SAME = 0.02  # concepts that differ by less count as equal: then the more fluent one is better
CHECK = 1_000_003  # what is added to a seed, so that the best is tried again with other noise


@dataclass(frozen=True)
class Budget:
    """What fluency may cost.

    Attributes:
        perplexity: the stated cost: how many times that of the plain texts at the same temperature it may be.
        repetition: how much larger than the plain texts' the share of repeated runs of three tokens may be.
    """

    perplexity: float = 1.5
    repetition: float = 0.2

    def __post_init__(self) -> None:
        if not self.perplexity >= 1 or not self.repetition >= 0:
            raise ConfigError(
                "a budget allows perplexity of at least 1 times the plain one, and at least 0 more repetition"
            )


@dataclass(frozen=True, slots=True)
class Plain:
    """What is written without interventions, at one temperature."""

    temperature: float
    concept: float
    perplexity: float | None
    repetition: float


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one strength and one temperature, over all prompts and samples.

    Attributes:
        dose, temperature: what was tried.
        concept: how much of it is in the texts, from 0 to 1.
        perplexity: of the texts under the plain model; None where nothing was written.
        ratio: that over the plain texts' at the same temperature; None likewise.
        repetition: share of repeated runs of three tokens.
        affordable: within the budget.
        example: the first text.
    """

    dose: float
    temperature: float
    concept: float
    perplexity: float | None
    ratio: float | None
    repetition: float
    affordable: bool
    example: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be tried: all doses at one temperature, and what is written without interventions beside them.

    Attributes:
        doses: at least one.
        temperature: of them all.
        fresh: with noise that was not used before.
        plain: what was written without interventions, where it is known already.
    """

    doses: tuple[float, ...]
    temperature: float
    fresh: bool = False
    plain: Plain | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an `Ask`: a trial each dose, in order."""

    plain: Plain
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Spot:
    """What the search found.

    Attributes:
        best: most of the concept within the budget; None where nothing affordable brings more of it than plain texts
            have.
        checked: the best, written again with other noise, since the best of many noisy trials looks better than it is.
            None where there is no best, or no noise (temperature 0).
        checked_plain: what was written without interventions beside it.
        plain: without interventions, one each temperature.
        trials: all that was tried, by temperature and dose.
        frontier: those of them that nothing else beats in both, concept and perplexity; from the most fluent one on.
        budget: what was allowed.
    """

    best: Trial | None
    checked: Trial | None
    checked_plain: Plain | None
    plain: tuple[Plain, ...]
    trials: tuple[Trial, ...]
    frontier: tuple[Trial, ...]
    budget: Budget

    @property
    def optimised(self) -> str:
        """What was optimised, in a sentence."""
        return (
            f"most of the concept among {len(self.trials)} settings whose texts are at most {self.budget.perplexity:g} "
            f"times as perplexing to the plain model as its own, and repeat at most {self.budget.repetition:.0%} more "
            "of their runs of three tokens"
        )


Plan = Generator[Ask, Answer, Spot]


def plan(most: float, temperatures: Sequence[float], budget: Budget, coarse: int = COARSE, fine: int = FINE) -> Plan:
    """Doses evenly up to the greatest at every temperature, then finer ones around the best, then the best once more.

    A generator, so that one search serves whoever does the work: it yields what to try and is sent what came of it.

    Args:
        most: the greatest dose.
        temperatures: each is searched; of two settings that bring as much of the concept, the more fluent is better.
        budget: what fluency may cost.
        coarse, fine: doses of the two rounds.
    """
    first = tuple(_number(most * step / coarse) for step in range(1, coarse + 1))
    plains: list[Plain] = []
    trials: list[Trial] = []
    for temperature in temperatures:
        answer = yield Ask(first, temperature)
        plains.append(answer.plain)
        trials += answer.trials
    centre = best(trials, plains) or _nearest(trials)
    if fine and centre is not None:
        tried = {0.0, *(t.dose for t in trials)}
        below = max(dose for dose in tried if dose < centre.dose)
        above = min((dose for dose in tried if dose > centre.dose), default=centre.dose)
        known = next(p for p in plains if p.temperature == centre.temperature)
        answer = yield Ask(_between(below, centre.dose, above, fine), centre.temperature, plain=known)
        trials += answer.trials
    found = best(trials, plains)
    checked, checked_plain = None, None
    if found is not None and found.temperature > 0:
        answer = yield Ask((found.dose,), found.temperature, fresh=True)
        (checked,), checked_plain = answer.trials, answer.plain
    ordered = tuple(sorted(trials, key=lambda t: (t.temperature, t.dose)))
    return Spot(found, checked, checked_plain, tuple(plains), ordered, frontier(ordered), budget)


def best(trials: Sequence[Trial], plains: Sequence[Plain]) -> Trial | None:
    """Most of the concept within the budget, if more than plain; the most fluent of those that bring as much."""
    plain = {p.temperature: p.concept for p in plains}
    good = [t for t in trials if t.affordable and t.concept > plain[t.temperature] + SAME]
    if not good:
        return None
    most = max(t.concept for t in good)
    return min((t for t in good if t.concept >= most - SAME), key=lambda t: (t.ratio or 0.0, t.dose))


def frontier(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials that no other beats: as much of the concept and less perplexing, or more of it and no more so."""
    read = sorted((t for t in trials if t.ratio is not None), key=lambda t: (t.ratio or 0.0, -t.concept, t.dose))
    kept: list[Trial] = []
    for trial in read:
        if not kept or trial.concept > kept[-1].concept:
            kept.append(trial)
    return tuple(kept)


def _nearest(trials: Sequence[Trial]) -> Trial | None:
    """Where nothing affordable helps: the weakest dose that brings most of it; there may be a good one below."""
    written = [t for t in trials if t.ratio is not None]
    most = max((t.concept for t in written), default=0.0)
    return min((t for t in written if t.concept >= most - SAME), key=lambda t: t.dose, default=None)


def _between(below: float, centre: float, above: float, n: int) -> tuple[float, ...]:
    """n doses around a centre, half of them to each side; all below it where there is no room above."""
    left = n if above == centre else n - n // 2
    lower = [below + (centre - below) * step / (left + 1) for step in range(1, left + 1)]
    upper = [centre + (above - centre) * step / (n - left + 1) for step in range(1, n - left + 1)]
    return tuple(_number(dose) for dose in (*lower, *upper))


def _number(dose: float) -> float:
    """A dose as people read it, three digits."""
    return float(f"{dose:.3g}")

"""Candidates are tried on a few prompts, the best of them varied, and the best of all tried on more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from mfn_core.evaluation.steer_search.candidates import STARTS, Suspect, first, lasting, near, scaled
from mfn_core.evaluation.steer_search.goals import Goal, Turns
from mfn_core.model import MFNModel
from mfn_core.writing import Writing, decoded, nats, write

STRANGE = 1.6  # times plain perplexity up to which nothing is taken off: on other prompts it will not be the same
CLIMBING, DECIDING = 0.4, 1.0  # taken off for each factor of e beyond; short texts begin with the strangest part
EASED, EASED_PROMPTS = (0.88, 0.77, 0.68, 0.6, 0.5, 0.4), 6  # times its strength, of what is too strange at the end
PER_TURN = 0.01  # of two that do as well, the simpler one
HOPELESS = 0.25  # degree that something has to reach in the first round
VARIED, FINALISTS = 2, 3  # candidates that are varied in each round, and that are tried on all prompts
ROUNDS = ((2, 16), (3, 24), (4, 24))  # prompts and tokens: of the first round, and of those that vary the best
OwnTokens = Mapping[tuple[int, int], frozenset[str]]


@dataclass(frozen=True)
class Trial:
    """What a candidate wrote.

    Attributes:
        turns: the candidate.
        passed: of each prompt, whether its text passed.
        degree: how near the texts came, on the mean.
        strange: their perplexity over that of plain texts; infinite where nothing was written.
    """

    turns: Turns
    passed: tuple[bool, ...]
    degree: float
    strange: float

    @property
    def share(self) -> float:
        """Of texts that passed."""
        return sum(self.passed) / len(self.passed)

    def value(self, weight: float) -> float:
        """What the search climbs (ours). `weight` is that of strangeness."""
        beyond = max(0.0, math.log(self.strange / STRANGE))
        return (self.share + self.degree) / 2 - weight * beyond - PER_TURN * len(self.turns)


@dataclass(frozen=True)
class Choice:
    """What a candidate wrote, greedy and sampled."""

    greedy: Trial
    sampled: Trial

    @property
    def turns(self) -> Turns:
        """The candidate."""
        return self.greedy.turns

    @property
    def strange(self) -> float:
        """The greater one."""
        return max(self.greedy.strange, self.sampled.strange)

    def value(self, weight: float) -> float:
        """The lesser one."""
        return min(self.greedy.value(weight), self.sampled.value(weight))


def _eased(turns: Turns) -> list[Turns]:
    """What does less: turned less far, or for a shorter start."""
    stop = turns[0].scope.stop
    started = [lasting(turns, n) for n in STARTS if stop is None or n < stop]
    weaker = [scaled(one, factor) for one in (turns, *started) for factor in EASED]
    return [*started, *weaker]


class Chooser:
    """Tries candidates over a fixed list of prompts."""

    def __init__(
        self,
        model: MFNModel,
        judge: MFNModel,
        prompts: Sequence[str],
        own: OwnTokens,
        greedy: Writing,
        sampled: Writing,
    ) -> None:
        """Prompts are those to choose on. `own` are the tokens that do not count, by layer and feature."""
        self._model, self._judge, self._prompts, self._own = model, judge, list(prompts), own
        self._greedy, self._sampled = greedy, sampled
        self._plain: dict[tuple[Writing, int], float] = {}

    def choose(self, goal: Goal, pool: Sequence[Suspect]) -> Choice | None:
        """The best there is; None where nothing came near."""
        beginning = first(pool)
        if not beginning:
            return None
        n, tokens = ROUNDS[0]
        trials = self._tried(goal, beginning, self._short(self._greedy, tokens), n)
        if max(trial.degree for trial in trials) < HOPELESS:
            return None
        best = [trial.turns for trial in sorted(trials, key=lambda trial: -trial.value(CLIMBING))]
        for n, tokens in ROUNDS[1:]:
            begun = best[:VARIED]
            varied = [turns for one in begun for turns in near(one, pool)]
            choices = self._both(goal, list(dict.fromkeys([*best[:FINALISTS], *varied])), n, tokens)
            best = [choice.turns for choice in sorted(choices, key=lambda choice: -choice.value(CLIMBING))]
            if best[:VARIED] == begun:
                break
        last = self._both(goal, best[:FINALISTS], len(self._prompts), self._greedy.tokens)
        eased = [turns for choice in last if choice.strange > STRANGE for turns in _eased(choice.turns)]
        if eased:
            tried = self._both(goal, eased, EASED_PROMPTS, self._greedy.tokens)
            milder = [choice.turns for choice in sorted(tried, key=lambda choice: -choice.value(DECIDING))]
            last += self._both(goal, milder[:FINALISTS], len(self._prompts), self._greedy.tokens)
        return max(last, key=lambda choice: choice.value(DECIDING))

    def _short(self, writing: Writing, tokens: int) -> Writing:
        return replace(writing, tokens=min(tokens, writing.tokens))

    def _both(self, goal: Goal, candidates: Sequence[Turns], n: int, tokens: int) -> list[Choice]:
        found = [self._tried(goal, candidates, self._short(how, tokens), n) for how in (self._greedy, self._sampled)]
        return [Choice(*pair) for pair in zip(*found, strict=True)]

    def _tried(self, goal: Goal, candidates: Sequence[Turns], writing: Writing, n: int) -> list[Trial]:
        prompts = self._prompts[:n]
        n = len(prompts)
        every = prompts * len(candidates)
        texts = write(self._model, every, [turns for turns in candidates for _ in prompts], writing)
        costs = nats(self._judge, every, texts, writing.batch)
        written = decoded(self._model, texts)
        plain = self._plain_perplexity(writing, n)
        out = []
        for number, turns in enumerate(candidates):
            here = slice(number * n, (number + 1) * n)
            own = frozenset().union(*(self._own[turn.layer, turn.feature] for turn in turns))
            degrees = [goal.test.degree(text, own) for text in written[here]]
            cost = torch.cat(costs[here])
            strange = float(cost.mean().exp()) / plain if len(cost) else math.inf
            out.append(Trial(turns, tuple(degree >= 1 for degree in degrees), sum(degrees) / n, strange))
        return out

    def _plain_perplexity(self, writing: Writing, n: int) -> float:
        if (writing, n) not in self._plain:
            prompts = self._prompts[:n]
            texts = write(self._model, prompts, [()] * n, writing)
            self._plain[writing, n] = float(torch.cat(nats(self._judge, prompts, texts)).mean().exp())
        return self._plain[writing, n]

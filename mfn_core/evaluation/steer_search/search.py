"""The search: read text, screen features, choose a setting for each goal, score it on prompts it was not chosen on.

Each finished piece of work is kept in a journal. What follows from the settings alone is the same on every run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

from mfn_core.evaluation.journal import Journal
from mfn_core.evaluation.steer_search.candidates import Suspect
from mfn_core.evaluation.steer_search.choosing import Chooser, OwnTokens
from mfn_core.evaluation.steer_search.goals import (
    Finding,
    Goal,
    Turns,
    effect_from_json,
    effect_to_json,
    turns_from_json,
    turns_to_json,
)
from mfn_core.evaluation.steer_search.own_tokens import promoted
from mfn_core.evaluation.steer_search.reading import Habits, Pieces, cut, read
from mfn_core.evaluation.steer_search.screening import screen
from mfn_core.evaluation.steering import Steer, SteerEffect, measure
from mfn_core.intervals import Share
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.writing import Writing, decoded, write

SCREENED_AT = 4.0  # times a feature's high strength
SCREENED_TOKENS, SCREENED_PROMPTS, BLOCK = 16, 2, 256
WRITERS, TELLERS = 6, 2  # suspects by what they write, over all layers; by text, in each layer
LEAST_DEGREE = 0.1  # of a writer
STAND_INS = 40  # features from which each one's control is drawn: those that fire most nearly as often
WORTH_SCORING = 0.3  # share that passed on the choice prompts
BATCH = 128
JOURNAL_VERSION = 2  # of what is kept of a finished piece of work; 1 had no number of new tokens with a turn

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Order:
    """What is to be searched, and on what.

    Attributes:
        goals: what is searched for.
        texts: ordinary text that has something of each goal in it, if there is any.
        choice_prompts: on which settings are chosen.
        prompts: on which they are scored; none of the others.
        tokens: length of each text.
        temperature: of sampled texts.
        seed: of all that is drawn.
        pieces: of text that are read, at most, beside what is needed of each concept.
    """

    goals: Sequence[Goal]
    texts: Sequence[str]
    choice_prompts: Sequence[str]
    prompts: Sequence[str]
    tokens: int = 40
    temperature: float = 0.8
    seed: int = 0
    pieces: int = 3000


class Search:
    """One search of one model."""

    def __init__(
        self,
        model: MFNModel,
        judge: MFNModel,
        order: Order,
        journal: Journal,
        progress: Progress = lambda what, share: None,
    ) -> None:
        """`judge` says how strange a text is; `progress` is told what is being done, and which share of it is."""
        self._model, self._judge, self._order, self._journal = model, judge, order, journal
        self._progress = progress
        self._greedy = Writing(order.tokens, seed=order.seed, batch=BATCH)
        self._sampled = replace(self._greedy, temperature=order.temperature)
        self._tests = [goal.test for goal in order.goals]

    def run(self) -> list[Finding]:
        """What was found for each goal, in the order given."""
        plain = self._plain_shares()
        findings = {goal.id: Finding(goal, plain[goal.id]) for goal in self._order.goals}
        wanted = [goal for goal in self._order.goals if not findings[goal.id].loose]
        for number, goal in enumerate(wanted):
            self._progress(f"choosing for {goal.id}", number / len(wanted))
            row = self._journal.once(f"choose/{goal.id}", partial(self._choose, goal))
            if row is not None:
                row = {**row, "turns": turns_from_json(row["turns"])}
                findings[goal.id] = replace(findings[goal.id], **row)
        near = [finding for finding in findings.values() if finding.chosen >= WORTH_SCORING]
        greedy, sampled = (dict(self._score(near, how)) for how in ("greedy", "sampled"))
        return [replace(f, greedy=greedy.get(f.goal.id), sampled=sampled.get(f.goal.id)) for f in findings.values()]

    def _plain_shares(self) -> dict[str, Share]:
        """How many untouched texts pass each test, on all prompts, greedy and sampled."""

        def count() -> dict[str, list[int]]:
            self._progress("writing untouched texts", 0.0)
            prompts = [*self._order.choice_prompts, *self._order.prompts]
            nothing: list[Turns] = [()] * len(prompts)
            texts = [
                text
                for writing in (self._greedy, self._sampled)
                for text in decoded(self._model, write(self._model, prompts, nothing, writing))
            ]
            return {goal.id: [sum(map(goal.test.holds, texts)), len(texts)] for goal in self._order.goals}

        return {key: Share(*share) for key, share in self._journal.once("plain", count).items()}

    def _choose(self, goal: Goal) -> dict[str, Any] | None:
        choice = self._chooser.choose(goal, self._pools[goal.id])
        if choice is None:
            return None
        shown = [p for p, good in zip(self._order.choice_prompts, choice.greedy.passed, strict=True) if good]
        return {
            "turns": turns_to_json(choice.greedy.turns),
            "chosen": min(choice.greedy.share, choice.sampled.share),
            "strange": choice.strange,
            "prompt": _one(shown or self._order.choice_prompts, goal.id),
        }

    def _score(self, findings: Sequence[Finding], how: str) -> Iterator[tuple[str, SteerEffect]]:
        keys = {finding.goal.id: f"score/{how}/{finding.goal.id}" for finding in findings}
        waiting = [finding for finding in findings if keys[finding.goal.id] not in self._journal]
        steers = [Steer(f.goal.id, f.turns, f.goal.test, self._own_of(f.turns)) for f in waiting]
        writing = self._greedy if how == "greedy" else self._sampled
        effects = measure(self._model, self._judge, self._order.prompts, steers, self._stand_ins, writing)
        for number, finding in enumerate(findings):
            name = finding.goal.id
            self._progress(f"scoring {name}, {how}", number / len(findings))
            row = self._journal.once(keys[name], lambda: effect_to_json(next(effects)))
            yield name, effect_from_json(row)

    def _stand_ins(self, turn: Intervention) -> Sequence[int]:
        return self._habits[turn.layer].alike(turn.feature, STAND_INS)

    def _own_of(self, turns: Turns) -> tuple[str, ...]:
        return tuple(sorted({token for turn in turns for token in self._own[turn.layer, turn.feature]}))

    @cached_property
    def _pieces(self) -> Pieces:
        self._progress("putting text to the tests", 0.0)
        return cut(self._model, self._order.texts, self._tests, self._order.pieces, self._order.seed)

    @cached_property
    def _habits(self) -> dict[int, Habits]:
        pieces = self._pieces
        return read(self._model, pieces, lambda share: self._progress("reading text", share))

    @cached_property
    def _writers(self) -> dict[str, list[tuple[float, float, int, int]]]:
        """By goal, the features that bring the model nearest to it: degree, score, layer, feature; best first. Of those
        that come as near, the ones that text speaks for."""
        blocks = [
            (layer, habits.live[at : at + BLOCK])
            for layer, habits in self._habits.items()
            for at in range(0, len(habits.live), BLOCK)
        ]
        out: dict[str, list[tuple[float, float, int, int]]] = {goal.id: [] for goal in self._order.goals}
        for number, (layer, features) in enumerate(blocks):
            self._progress(f"turning up the features of layer {layer}, one by one", number / len(blocks))
            key = f"screen/{layer}/{features[0]}"
            for name, rows in self._journal.once(key, partial(self._screened, layer, features)).items():
                out[name] += [(degree, score, layer, feature) for degree, score, feature in rows]
        return {name: sorted(rows, key=_best_first)[:WRITERS] for name, rows in out.items()}

    def _screened(self, layer: int, features: Sequence[int]) -> dict[str, list[tuple[float, float, int]]]:
        values = [SCREENED_AT * float(self._habits[layer].high[feature]) for feature in features]
        prompts = self._order.choice_prompts[:SCREENED_PROMPTS]
        writing = Writing(SCREENED_TOKENS, seed=self._order.seed, batch=BATCH)
        degrees = screen(self._model, layer, features, values, self._tests, prompts, writing)
        scores = self._habits[layer].score[:, list(features)]
        out = {}
        for column, goal in enumerate(self._order.goals):
            rows = zip(degrees[:, column].tolist(), scores[column].tolist(), features, strict=True)
            out[goal.id] = [row for row in sorted(rows, key=_best_first)[:WRITERS] if row[0] >= LEAST_DEGREE]
        return out

    @cached_property
    def _pools(self) -> dict[str, list[Suspect]]:
        """By goal, the features to be tried."""
        out = {}
        for column, goal in enumerate(self._order.goals):
            degrees = {(layer, feature): degree for degree, _, layer, feature in self._writers[goal.id]}
            found = dict.fromkeys(degrees)
            for layer, habits in self._habits.items():
                top = habits.score[column].topk(min(TELLERS, habits.score.shape[1]))
                found |= dict.fromkeys((layer, int(f)) for f, s in zip(top.indices, top.values, strict=True) if s > 0)
            out[goal.id] = [
                Suspect(
                    layer,
                    feature,
                    float(self._habits[layer].high[feature]),
                    float(self._habits[layer].score[column, feature]),
                    degrees.get((layer, feature), 0.0),
                )
                for layer, feature in found
            ]
        return out

    @cached_property
    def _own(self) -> OwnTokens:
        """The tokens of each suspect that do not count: those it promotes."""
        self._progress("looking up the features' own tokens", 0.0)
        features: dict[int, list[int]] = {layer: [] for layer in self._model.coders}
        for layer, feature in sorted({(s.layer, s.feature) for pool in self._pools.values() for s in pool}):
            features[layer].append(feature)
        return promoted(self._model, features)

    @cached_property
    def _chooser(self) -> Chooser:
        prompts = self._order.choice_prompts
        return Chooser(self._model, self._judge, prompts, self._own, self._greedy, self._sampled)


def _best_first(row: tuple[float, ...]) -> tuple[float, ...]:
    """Orders by degree and score, greatest first, then by number."""
    return (-row[0], -row[1], *row[2:])


def _one(prompts: Sequence[str], name: str) -> str:
    """The prompt that a preset of this name is shown with: not the same one for all."""
    return prompts[zlib.crc32(name.encode()) % len(prompts)]


def settings(model: MFNModel, judge: MFNModel, order: Order) -> dict[str, Any]:
    """What a search depends on, for its journal: texts by number and length alone."""
    goals = [
        [goal.id, sorted(goal.test.words), goal.test.script, goal.test.pattern, goal.test.at_least]
        for goal in order.goals
    ]
    plain = {k: v for k, v in asdict(replace(order, goals=(), texts=())).items() if k not in ("goals", "texts")}
    plain |= {"choice_prompts": list(order.choice_prompts), "prompts": list(order.prompts)}
    sizes = [len(order.texts), sum(map(len, order.texts))]
    models = {"model": model.fingerprint, "judge": judge.fingerprint}
    return {"journal": JOURNAL_VERSION, **models, "goals": goals, "texts": sizes, **plain}

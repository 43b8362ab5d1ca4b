"""Answers to a quiz are compared with its key."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mfn_core.errors import ConfigError
from mfn_core.indexing.token_r2 import CONTEXT_R2
from mfn_core.intervals import Share
from scripts.atlas.files import parse, read_lines, read_text, write_json
from scripts.atlas.index import Place
from scripts.atlas.key import Question, QuizKey

GOOD = Fraction(7, 10)
RESAMPLES = 10_000


class Answer(BaseModel):
    """In which snippets a reader thinks that a feature fires."""

    model_config = ConfigDict(extra="forbid", strict=True)

    layer: int
    feature: int
    fires: list[int]
    note: str = ""


def score(given: argparse.Namespace) -> None:
    """`score`."""
    key, scores = read_scores(given.key, given.answers)
    questions = {(question.layer, question.feature): question for question in key.questions}
    context = {place for place in scores if _is_context(questions[place])}
    layers = sorted({layer for layer, _ in scores})
    report = {
        "kind": "detection",
        "model": key.model,
        "corpus": key.corpus,
        "seed": key.seed,
        "strong": key.strong,
        **_summaries(scores, context),
        "layers": {
            str(layer): _summaries({place: value for place, value in scores.items() if place[0] == layer}, context)
            for layer in layers
        },
        "unanswered": len(questions) - len(scores),
    }
    for name, summary in (("all", report), *((f"layer {n}", layer) for n, layer in report["layers"].items())):
        print(_line(name, summary))
        if summary["context"] is not None:
            print(_line(f"token R² < {CONTEXT_R2}", summary["context"]))
    if report["unanswered"]:
        print(f"{report['unanswered']} of {len(questions)} features were not answered: they are in no figure")
    if given.json is not None:
        write_json(given.json, report)


def read_scores(key_file: Path, answers_file: Path) -> tuple[QuizKey, dict[Place, Fraction]]:
    """A quiz's key, and the balanced accuracy of each feature that was answered.

    Raises:
        ConfigError: a file cannot be read, a line is wrong, or there is no answer.
    """
    key = parse(QuizKey, read_text(key_file), str(key_file))
    questions = {(question.layer, question.feature): question for question in key.questions}
    answers = _read(answers_file, questions)
    if not answers:
        raise ConfigError(f"{answers_file} holds no answer")
    return key, {place: balanced_accuracy(questions[place], fires) for place, fires in answers.items()}


def balanced_accuracy(question: Question, fires: Sequence[int]) -> Fraction:
    """The mean of two shares: of the snippets in which it fires, and of the others, those that were told right."""
    firing, said = set(question.fires), set(fires)
    silent = set(range(1, len(question.windows) + 1)) - firing
    return (Fraction(len(firing & said), len(firing)) + Fraction(len(silent - said), len(silent))) / 2


def _is_context(question: Question) -> bool:
    return question.token_r2 is not None and question.token_r2 < CONTEXT_R2


def _read(path: Path, questions: Mapping[Place, Question]) -> dict[Place, list[int]]:
    answers: dict[Place, list[int]] = {}
    for number, answer in read_lines(path, Answer):
        here, feature = f"{path}, line {number}", f"feature {answer.feature} of layer {answer.layer}"
        place = answer.layer, answer.feature
        if place not in questions:
            raise ConfigError(f"{here}: the quiz does not ask about {feature}")
        if place in answers:
            raise ConfigError(f"{here}: {feature} was answered before")
        last = len(questions[place].windows)
        for snippet in answer.fires:
            if not 1 <= snippet <= last:
                raise ConfigError(f"{here}: there is no snippet {snippet}: they are numbered from 1 to {last}")
            if answer.fires.count(snippet) > 1:
                raise ConfigError(f"{here}: snippet {snippet} stands there twice")
        answers[place] = answer.fires
    return answers


def _summaries(scores: Mapping[Place, Fraction], context: Collection[Place]) -> dict[str, Any]:
    """Figures on these features, and on those of them that fire by context: None where there are none."""
    under = [value for place, value in scores.items() if place in context]
    return {**_summary(list(scores.values())), "context": _summary(under) if under else None}


def _summary(scores: Sequence[Fraction]) -> dict[str, Any]:
    """Figures on n > 0 scores. The mean's interval is the middle 95 % of means of n scores drawn from these."""
    values = np.array([float(value) for value in scores])
    generator = np.random.default_rng(0)
    means = generator.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    return {
        "features": len(scores),
        "mean": {"value": float(values.mean()), "interval": [float(end) for end in np.quantile(means, (0.025, 0.975))]},
        f"at_least_{float(GOOD)}": Share(sum(value >= GOOD for value in scores), len(scores)).to_json(),
    }


def _line(name: str, summary: Mapping[str, Any]) -> str:
    mean, good = summary["mean"], summary[f"at_least_{float(GOOD)}"]
    return (
        f"{name:15}{summary['features']:5} features  mean {mean['value']:.3f} ({_ends(mean, '.3f')})  "
        f"at {float(GOOD)} or more {good['value']:.1%} ({_ends(good, '.1%')})"
    )


def _ends(figure: Mapping[str, Any], form: str) -> str:
    low, high = figure["interval"]
    return f"95 %: {low:{form}} to {high:{form}}"

"""The tests of what a model may be made to write tell it from other text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfn_core.evaluation.sources import formats
from mfn_core.evaluation.steer_search.goals import MOST_PLAIN, Goal
from mfn_server.presets.goals_file import read_goals
from mfn_server.presets.measuring import read_prompts

DEMO = Path(__file__).resolve().parents[2] / "demo"
GOALS = {goal.id: goal.goal() for goal in read_goals(DEMO / "steers.toml")}
LENGTH = 150  # characters; as long as what is written for a measurement
PASSAGES = DEMO / "corpus" / "passages"


def parts(texts: list[str]) -> list[str]:
    return [text[at : at + LENGTH] for text in texts for at in range(0, max(1, len(text) - LENGTH), LENGTH)]


def passages(name: str) -> list[str]:
    lines = (PASSAGES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="module")
def prose() -> list[str]:
    return parts(passages("english-topics"))


def test_there_are_many_of_each_kind() -> None:
    kinds = [name.split("/")[0] for name in GOALS]
    assert {kind: kinds.count(kind) >= 9 for kind in set(kinds)} == dict.fromkeys(
        ("script", "language", "format", "style", "topic"), True
    )
    for name, goal in GOALS.items():
        assert goal.description.endswith(".")
        if name.startswith("topic/"):
            assert len(goal.test.words) >= 25


@pytest.mark.parametrize(
    "goal", [g for g in GOALS.values() if not g.id.startswith(("topic/", "style/"))], ids=lambda g: g.id
)
def test_prose_is_neither_a_format_nor_another_language(goal: Goal, prose: list[str]) -> None:
    assert sum(map(goal.test.holds, prose)) <= MOST_PLAIN * len(prose)


def test_documents_of_a_format_are_told_by_its_test() -> None:
    texts: dict[str, list[str]] = {}
    for document in formats(12):
        texts.setdefault(document.concepts[0], []).append(document.text)
    for concept, documents in texts.items():
        pieces = parts(documents)
        assert sum(map(GOALS[concept].test.holds, pieces)) >= 0.5 * len(pieces), concept


@pytest.mark.parametrize("script", ["cyrillic", "arabic", "hebrew", "devanagari", "hangul", "han", "greek"])
def test_scripts_are_told_by_their_letters(script: str) -> None:
    rows = [json.loads(line) for line in (PASSAGES / "languages.jsonl").read_text(encoding="utf-8").splitlines()]
    own = [row["text"] for row in rows if {t for t in row["tags"] if t.startswith("script:")} == {f"script:{script}"}]
    assert own
    assert all(map(GOALS[f"script/{script}"].test.holds, own))


def test_prompts_to_choose_on_are_not_those_to_score_on() -> None:
    choosing, scoring = (read_prompts(DEMO / name) for name in ("choice-prompts.txt", "prompts.txt"))
    assert len(set(choosing)) == 16
    assert len(set(scoring)) == 50
    assert not set(choosing) & set(scoring)

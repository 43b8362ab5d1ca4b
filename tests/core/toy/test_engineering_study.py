"""What the study of engineered monosemanticity trains, and that each check says what its numbers do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from mfn_core.toy import engineering_study as study
from mfn_core.toy.engineering import Engineered


def row(monosemantic: int, loss: float, live: int = 1000, **case: Any) -> study.Row:
    made = Engineered(**case)
    return {
        "case": asdict(made),
        "loss": loss,
        "neurons": made.neurons,
        "live": live,
        "monosemantic": monosemantic,
    }


def pair(plain: tuple[int, float], negative: tuple[int, float], **case: Any) -> list[study.Row]:
    return [row(*plain, **case), row(*negative, **case, bias=-1.0, bias_decay=1.0)]


@pytest.mark.parametrize("quick", [True, False])
def test_each_negative_start_has_a_twin_and_decays_as_much_in_all_as_the_sources(quick: bool) -> None:
    plan = study.plan(quick, seed=3)
    negative = [case for case in plan.grid if case.bias < 0]
    assert {(case.task, case.lr) for case in negative} == {(case.task, case.lr) for case in plan.grid if case.bias == 0}
    for case in negative:
        decayed = case.bias_decay * case.steps
        assert decayed == pytest.approx(study.SOURCE_DECAY * study.SOURCE_STEPS, rel=0.01)
    assert {case.seed for case in plan.grid + plan.neurons} == {3}


def test_biases_are_compared_with_their_twins() -> None:
    other_task = pair((10, 1.0), (500, 1.05), task="absolute")
    better, near, nearly_all = study._bias_checks([*pair((100, 1.0), (950, 1.09)), *other_task])
    assert [better.status, near.status, nearly_all.status] == ["holds", "holds", "holds"]
    assert "95%" in nearly_all.found
    better, near, nearly_all = study._bias_checks([*pair((500, 1.0), (520, 1.2)), *other_task])
    assert [better.status, near.status, nearly_all.status] == ["fails", "fails", "fails"]
    assert near.found == "1 of 2 pairs"


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ((100, 0.36), (200, 0.35), "holds"),
        ((100, 0.36), (199, 0.35), "fails"),  # too near in number
        ((100, 0.40), (200, 0.36), "fails"),  # too far in loss
    ],
)
def test_learning_rates_are_compared_where_losses_are_near(
    first: tuple[int, float], second: tuple[int, float], status: str
) -> None:
    grid = [row(*first, lr=1e-3), row(*second, lr=2e-3), *pair((1, 0.36), (999, 0.36), task="absolute")]
    assert study._rates_check(grid).status == status


@pytest.mark.parametrize(
    ("losses", "counts", "status"),
    [
        ((0.5, 0.4, 0.3), (10, 20, 30), "holds"),
        ((0.5, 0.4, 0.3), (10, 30, 30), "fails"),
        ((0.5, 0.3, 0.4), (10, 20, 30), "fails"),
    ],
)
def test_more_neurons_must_be_more_monosemantic_and_lose_less(
    losses: tuple[float, ...], counts: tuple[int, ...], status: str
) -> None:
    rows = [row(count, loss) for count, loss in zip(counts, losses, strict=True)]
    assert study._neurons_check(rows).status == status

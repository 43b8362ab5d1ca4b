"""The rule by which predictions are judged, at and around its bounds."""

from __future__ import annotations

import pytest

from mfn_core.evaluation.verdicts import Condition, Sense, Status, Verdict
from mfn_core.metrics.bootstrap import Estimate


def condition(sense: Sense, low: float, high: float) -> Condition:
    return Condition("", sense, 0.1, Estimate((low + high) / 2, low, high, 9))


@pytest.mark.parametrize(
    ("sense", "low", "high", "status"),
    [
        ("at least", 0.1, 0.3, "holds"),
        ("at least", 0.09, 0.3, "undecided"),
        ("at least", 0.01, 0.1, "undecided"),
        ("at least", 0.01, 0.09, "fails"),
        ("above", 0.1, 0.3, "undecided"),
        ("above", 0.11, 0.3, "holds"),
        ("above", 0.0, 0.1, "fails"),
        ("at most", 0.0, 0.1, "holds"),
        ("at most", 0.0, 0.11, "undecided"),
        ("at most", 0.11, 0.2, "fails"),
        ("below", 0.0, 0.1, "undecided"),
        ("below", 0.0, 0.09, "holds"),
        ("below", 0.1, 0.2, "fails"),
    ],
)
def test_a_condition_is_judged_by_its_interval(sense: Sense, low: float, high: float, status: Status) -> None:
    assert condition(sense, low, high).status == status


HOLDS, FAILS, OPEN = (condition("at least", *ends) for ends in ((0.2, 0.3), (0.0, 0.05), (0.0, 0.3)))
MISSING = Condition("", "at least", 0.1, None, why_not="no twin was given")


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ([HOLDS, HOLDS], "holds"),
        ([HOLDS, OPEN], "undecided"),
        ([HOLDS, FAILS, OPEN], "fails"),
        ([FAILS, MISSING], "fails"),
        ([HOLDS, MISSING, OPEN], "not measured"),
        ([], "not measured"),
    ],
)
def test_a_prediction_holds_where_all_of_it_does(conditions: list[Condition], status: Status) -> None:
    verdict = Verdict("P1", "", conditions)
    assert verdict.status == status
    assert [c["status"] for c in verdict.to_json()["conditions"]] == [c.status for c in conditions]

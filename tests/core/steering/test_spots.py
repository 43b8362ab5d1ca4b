"""The search for a good strength: on made-up responses whose best is known, and on a model."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfn_core import Intervention, MFNModel, Scope
from mfn_core.errors import ConfigError
from mfn_core.steering import (
    Ask,
    Budget,
    FiringConcept,
    Plain,
    Spot,
    SpotOrder,
    TokensConcept,
    Trial,
    prepared,
    search_spot,
    tried,
)
from mfn_core.steering.concepts import degree
from mfn_core.steering.spots import Answer, frontier, plan
from mfn_core.steering.texts import Texts
from mfn_core.text_tests import TextTest

Response = Callable[[float, float], tuple[float, float]]


def run(respond: Response, most: float = 16.0, temperatures: tuple[float, ...] = (0.7,)) -> tuple[Spot, list[Ask]]:
    """Plays the search against made-up (concept, ratio) of a dose and a temperature."""
    budget = Budget(1.5)
    search, asked = plan(most, temperatures, budget), []
    ask = next(search)
    while True:
        asked.append(ask)
        trials = []
        for dose in ask.doses:
            concept, ratio = respond(dose, ask.temperature)
            trials.append(Trial(dose, ask.temperature, concept, 10 * ratio, ratio, 0.0, ratio <= 1.5, ""))
        try:
            ask = search.send(Answer(Plain(ask.temperature, 0.0, 10.0, 0.0), tuple(trials)))
        except StopIteration as end:
            return end.value, asked


def window(dose: float, temperature: float) -> tuple[float, float]:
    """A concept that grows, and a fluency that breaks down from 7 on."""
    return 1 / (1 + math.exp(6 - dose)), 1.0 + max(0.0, dose - 6.0) / 2


def test_the_best_lies_just_within_the_budget_and_is_found_more_finely_than_the_grid() -> None:
    found, asked = run(window)
    assert found.best is not None
    assert found.best.affordable
    assert 6.0 < found.best.dose <= 7.0  # the grid has 6 and 8
    assert [ask.fresh for ask in asked] == [False, False, True]
    assert asked[1].plain is not None
    assert asked[2].doses == (found.best.dose,)
    assert found.checked is not None
    assert len(found.trials) == 12
    assert "12 settings" in found.optimised
    assert "1.5 times" in found.optimised


def test_where_the_window_lies_between_two_doses_the_finer_ones_reach_it() -> None:
    found, _ = run(lambda dose, t: (float(dose > 0.8), 1.2 if dose < 1.7 else 4.0))
    assert found.best is not None
    assert 0.8 < found.best.dose < 1.7  # below the first dose of the grid, 2


def test_nothing_affordable_is_said_and_not_made_up() -> None:
    found, asked = run(lambda dose, t: (1.0, 3.0))
    assert found.best is None
    assert found.checked is None
    assert not any(ask.fresh for ask in asked)
    assert run(lambda dose, t: (0.0, 1.0))[0].best is None, "what brings no more than plain text is no find"


def test_the_more_fluent_temperature_wins_where_both_bring_as_much() -> None:
    found, _ = run(lambda dose, t: (window(dose, t)[0], window(dose, t)[1] + t / 10), temperatures=(0.9, 0.3))
    assert found.best is not None
    assert found.best.temperature == 0.3
    assert {trial.temperature for trial in found.trials} == {0.3, 0.9}
    assert len(found.plain) == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 4)), max_size=12))
def test_nothing_beats_the_frontier_and_the_frontier_beats_the_rest(points: list[tuple[float, float]]) -> None:
    trials = [Trial(float(n), 0.7, c, r, r, 0.0, True, "") for n, (c, r) in enumerate(points)]
    kept = frontier(trials)

    def beats(a: Trial, b: Trial) -> bool:
        assert a.ratio is not None
        assert b.ratio is not None
        return a.concept >= b.concept and a.ratio <= b.ratio and (a.concept, a.ratio) != (b.concept, b.ratio)

    assert not any(beats(a, b) for a in trials for b in kept)
    for trial in trials:
        as_good = any((k.concept, k.ratio) == (trial.concept, trial.ratio) for k in kept)
        assert as_good or any(beats(k, trial) for k in kept)


def test_concepts_are_measured_as_they_say() -> None:
    texts = Texts(((1, 2, 2), (3, 4, 5)), ("a ship", "no boat"), 2.0, 0.0, ((True, False, True), (False, False, False)))
    assert degree(TokensConcept(frozenset({2}), at_least=4), texts) == pytest.approx((2 / 4 + 0) / 2)
    assert degree(FiringConcept(((0, 1),), share=1.0), texts) == pytest.approx((2 / 3 + 0) / 2)
    assert degree(FiringConcept(((0, 1),), share=0.5), texts) == pytest.approx((1 + 0) / 2)
    assert degree(TextTest(frozenset({"ship", "boat"}), at_least=1), texts) == 1.0
    with pytest.raises(ConfigError):
        TokensConcept(frozenset())
    with pytest.raises(ConfigError):
        FiringConcept(((0, 1),), share=0.0)


def test_a_search_on_a_model_finds_what_writes_a_token_and_is_the_same_again(tiny_model: MFNModel) -> None:
    turn = Intervention(1, 7, "set", 1.0, Scope("generation"))
    ids = tiny_model.generate("Snow", [Intervention(1, 7, "set", 40.0)], 6)
    wanted = tiny_model.encode_text(ids)[1]
    order = SpotOrder(
        ("Snow", "The ship"),
        (turn,),
        TokensConcept(frozenset({wanted}), at_least=2),
        most=60.0,
        budget=Budget(1e6, 1.0),
        samples=2,
        tokens=6,
        coarse=3,
        fine=2,
    )
    first, again = search_spot(tiny_model, order), search_spot(tiny_model, order)
    assert first == again
    assert first.best is not None
    assert first.best.concept > first.plain[0].concept
    assert first.checked is not None
    assert len(first.trials) == 5


def test_the_check_meets_other_noise_and_the_rounds_the_same(tiny_model: MFNModel) -> None:
    order = prepared(tiny_model, SpotOrder(("Snow",), (Intervention(1, 7, "set", 1.0),), TextTest(frozenset({"ship"}))))
    first, again, fresh = (
        tried(tiny_model, order, Ask((0.5,), 1.0, fresh=fresh)).trials[0].example for fresh in (False, False, True)
    )
    assert first == again != fresh


def test_orders_that_cannot_be_searched_are_refused(tiny_model: MFNModel) -> None:
    turn = Intervention(1, 7, "set", 1.0)
    words = TextTest(frozenset({"ship"}))
    with pytest.raises(ConfigError, match="more than the model's context"):
        search_spot(tiny_model, SpotOrder(("Snow " * 40,), (turn,), words))
    with pytest.raises(ConfigError, match="not there"):
        search_spot(tiny_model, SpotOrder(("Snow",), (turn,), FiringConcept(((5, 1),))))
    with pytest.raises(ConfigError, match="nothing to sweep"):
        search_spot(tiny_model, SpotOrder(("Snow",), (), words))
    with pytest.raises(ConfigError, match="at least one prompt"):
        SpotOrder((), (turn,), words)
    with pytest.raises(ConfigError, match="budget"):
        Budget(0.5)

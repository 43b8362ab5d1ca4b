"""Effects show themselves in a notebook and in a terminal, with the numbers that they hold."""

from __future__ import annotations

import pytest

from mfn_core import Intervention, MFNModel, Scope
from mfn_core.steering import Budget, SpotOrder, TokensConcept
from mfn_core.writing import Writing

PROMPT = "The ship left"
TURN = Intervention(1, 7, "set", 6.0, Scope("generation"))


def test_an_effect(tiny_model: MFNModel) -> None:
    shown = tiny_model.effect(PROMPT, [TURN], n=3, tokens=[70])
    text, html = repr(shown), shown._repr_html_()
    assert "Predicted to rise most" in text
    assert f"ρ {shown.found.agreement.spearman:.2f}" in text
    assert f"{shown.found.raised[0].predicted:+.2f}" in text
    assert "<table" in html
    assert "Asked for" in html
    assert 70 in [row["token"] for row in shown.to_dicts()]
    assert {"text", "token", "predicted", "lens", "measured", "logprob", "steered_logprob"} == set(shown.to_dicts()[0])


def test_a_sweep(tiny_model: MFNModel) -> None:
    shown = tiny_model.sweep(PROMPT, [TURN], doses=[2.0, 30.0], writing=Writing(4), tokens=[70])
    text = repr(shown)
    assert len(text.splitlines()) == 7  # title, columns, plain, two doses, a blank line, what the columns are
    assert "value of intervention 1" in text
    assert [row["dose"] for row in shown.to_dicts()] == [2.0, 30.0]
    assert shown.to_dicts()[1]["kl"] == shown.found.points[1].kl
    assert "<table" in shown._repr_html_()


def test_a_sweet_spot(tiny_model: MFNModel) -> None:
    concept = TokensConcept(frozenset(range(300)), at_least=1)
    order = SpotOrder((PROMPT,), (TURN,), concept, most=9.0, budget=Budget(1e6, 1.0), samples=1, tokens=3, coarse=2)
    shown = tiny_model.sweet_spot(order)
    assert "Nothing within the budget" in repr(shown), "plain text has all of it already"
    assert len(shown.to_dicts()) == 6
    assert "optimised: most of the concept" in shown._repr_html_()


def test_html_holds_no_markup_of_tokens(tiny_model: MFNModel) -> None:
    lower = tiny_model.encode_text("<")[-1]
    shown = tiny_model.effect(PROMPT, [TURN], n=1, tokens=[lower])
    assert "&lt;" in shown._repr_html_()
    with pytest.raises(Exception, match="feature 48"):
        tiny_model.effect(PROMPT, [Intervention(1, 48, "ablate")])

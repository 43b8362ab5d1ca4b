"""Steering is measured on what is written, against plain text and against other features turned as strongly."""

from __future__ import annotations

from mfn_core.evaluation.steering import Steer, SteerEffect, measure
from mfn_core.intervals import Share
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.text_tests import TextTest
from mfn_core.writing import Writing, perplexity, write

PROMPTS = ["The ship left", "Snow", "Take two eggs and a", "The night was white; the"]


def test_effects_count_what_was_written(tiny_model: MFNModel) -> None:
    turned = Intervention(1, 7, "set", 30.0)
    writing = Writing(tokens=10)
    steered = write(tiny_model, PROMPTS, [(turned,)] * 4, writing)
    plain = write(tiny_model, PROMPTS, [()] * 4, writing)
    decode = tiny_model.required_tokenizer.decode
    character = next(c for c in decode(steered[0]) if c.isprintable() and c not in r".^$*+?{}[]\|()")
    test = TextTest(pattern=character)
    anything = list(range(48))
    (effect,) = measure(tiny_model, tiny_model, PROMPTS, [Steer("x", (turned,), test)], lambda _: anything, writing)
    assert effect.steered == Share(sum(character in decode(t, skip_special_tokens=True) for t in steered), 4)
    assert effect.plain == Share(sum(character in decode(t, skip_special_tokens=True) for t in plain), 4)
    assert effect.perplexity == perplexity(tiny_model, PROMPTS, steered)
    assert effect.plain_perplexity == perplexity(tiny_model, PROMPTS, plain)
    only_itself = measure(tiny_model, tiny_model, PROMPTS, [Steer("x", (turned,), test)], lambda _: [7, 8], writing)
    as_strong = write(tiny_model, PROMPTS, [(Intervention(1, 8, "set", 30.0),)] * 4, writing)
    expected = sum(character in decode(t, skip_special_tokens=True) for t in as_strong)
    assert next(only_itself).control == Share(expected, 4)


def test_to_show_is_to_differ_from_the_control_and_stay_readable() -> None:
    few, many, none = Share(4, 50), Share(40, 50), Share(0, 50)
    assert SteerEffect("x", many, none, few, 30.0, 20.0).shows
    assert not SteerEffect("x", many, none, few, 41.0, 20.0).shows
    assert not SteerEffect("x", few, none, few, 30.0, 20.0).shows
    assert not SteerEffect("x", many, many, few, 30.0, 20.0).shows

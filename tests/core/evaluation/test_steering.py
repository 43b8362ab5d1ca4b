"""Steering is measured on what is written, against plain text and against other features turned as strongly."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mfn_core.evaluation.concepts import Share
from mfn_core.evaluation.steering import Steer, SteerEffect, Writing, measure, perplexity, write
from mfn_core.evaluation.text_tests import TextTest
from mfn_core.interventions import Intervention, Scope
from mfn_core.model import MFNModel

PROMPTS = ["The ship left", "Snow", "Take two eggs and a", "The night was white; the"]


def test_batches_of_prompts_give_each_its_own_continuation(tiny_model: MFNModel) -> None:
    turned = [
        (Intervention(1, 7, "set", 9.0),),
        (),
        (Intervention(0, 3, "set", 9.0, Scope("generation")), Intervention(1, 7, "ablate")),
        (Intervention(1, 40, "add", 5.0),),
    ]
    together = write(tiny_model, PROMPTS, turned, Writing(tokens=12, batch=3))
    for prompt, interventions, tokens in zip(PROMPTS, turned, together, strict=True):
        (alone,) = write(tiny_model, [prompt], [interventions], Writing(tokens=12))
        assert tokens == alone
        text = tiny_model.generate(prompt, interventions, 12)
        assert tiny_model.required_tokenizer.decode(alone, skip_special_tokens=True) == text


def test_sampled_texts_follow_from_the_seed(tiny_model: MFNModel) -> None:
    nothing = [()] * len(PROMPTS)
    first, again, other = (
        write(tiny_model, PROMPTS, nothing, Writing(12, temperature=1.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_perplexity_is_that_of_the_continuation_alone(tiny_model: MFNModel) -> None:
    prompt, text = "Snow fell", [70, 80, 90]
    before = tiny_model.encode_text(prompt)
    with torch.no_grad():
        logits = tiny_model(torch.tensor([[*before, *text]])).logits[0]
    expected = F.cross_entropy(logits[len(before) - 1 : -1], torch.tensor(text)).exp()
    assert perplexity(tiny_model, [prompt, "Take"], [text, []]) == pytest.approx(float(expected))
    assert math.isnan(perplexity(tiny_model, [prompt], [[]]))


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

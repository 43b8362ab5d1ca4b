"""Plain and steered text side by side."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mfn_core import Condition, MFNModel, Ramp, Scope
from mfn_core.errors import InterventionError
from mfn_core.generation import PromptTooLongError, Sampling
from mfn_core.reading import Comparison

PROMPT = "The harbour was <b>quiet</b>"


@pytest.fixture(scope="module")
def steered(tiny_model: MFNModel) -> Comparison:
    interventions = [tiny_model.feature(1, j).set(9.0) for j in (3, 17)]
    return tiny_model.compare(PROMPT, interventions, max_new_tokens=12)


def test_both_texts_are_what_generate_writes(tiny_model: MFNModel, steered: Comparison) -> None:
    assert steered.prompt.text == PROMPT
    assert steered.plain.text == tiny_model.generate(PROMPT, max_new_tokens=12)
    assert steered.steered.text == tiny_model.generate(PROMPT, steered.interventions, max_new_tokens=12)
    assert steered.steered.text != steered.plain.text
    assert len(steered.plain.tokens) == len(steered.plain.logprobs) == 12
    assert steered.plain.reason == "length"


def test_where_they_part(steered: Comparison) -> None:
    assert steered.parted is not None
    assert steered.plain.tokens.ids[: steered.parted] == steered.steered.tokens.ids[: steered.parted]
    assert steered.plain.tokens.ids[steered.parted] != steered.steered.tokens.ids[steered.parted]
    assert len(steered.kl) == steered.parted + 1
    assert steered.kl[0] > 0


def test_nothing_done_is_nothing_seen(tiny_model: MFNModel, read_html: Any) -> None:
    same = tiny_model.compare(PROMPT, [], max_new_tokens=4, sampling=Sampling(temperature=1.0, seed=3))
    assert same.parted is None
    assert same.plain == same.steered
    assert same.kl == (0.0,) * 4
    assert "The two texts are the same." in read_html(same._repr_html_()).text


def test_logprobs_are_the_models(tiny_model: MFNModel, steered: Comparison) -> None:
    ids = [*steered.prompt.ids, *steered.plain.tokens.ids]
    with torch.inference_mode():
        logprobs = tiny_model(torch.tensor([ids])).logits[0].log_softmax(-1)
    first = len(steered.prompt)
    expected = [float(logprobs[first - 1 + i, token]) for i, token in enumerate(steered.plain.tokens.ids)]
    assert steered.plain.logprobs == pytest.approx(expected, abs=1e-4)


def test_it_shows_both_and_what_was_done(steered: Comparison, read_html: Any) -> None:
    page = read_html(steered._repr_html_())
    assert page.text.count(PROMPT) == 2
    assert "set 1/3 9; set 1/17 9" in page.text
    assert f"They part at token {steered.parted}" in page.text
    set_off = [text for text, style in page.shaded() if "62,120,230" in style]
    assert len(set_off) == 2
    assert repr(steered).splitlines()[0] == f"prompt:  {PROMPT}"


def test_ramps_and_conditions_are_said(tiny_model: MFNModel, read_html: Any) -> None:
    turned = tiny_model.feature(1, 3).add(2.0, Scope("generation"), Condition(5, 0.5, layer=0), Ramp(1.0, 4))
    page = read_html(tiny_model.compare(PROMPT, [turned], max_new_tokens=2)._repr_html_())
    assert "add 1/3 2 (generation, from 1 over 4 tokens, if 0/5 above 0.5)" in page.text


def test_what_cannot_be_is_said_before_anything_is_written(tiny_model: MFNModel) -> None:
    with pytest.raises(InterventionError, match="condition 48 does not exist"):
        tiny_model.compare(PROMPT, [tiny_model.feature(0, 0).set(1.0, condition=48)])
    with pytest.raises(PromptTooLongError):
        tiny_model.compare("word " * tiny_model.max_context, [])

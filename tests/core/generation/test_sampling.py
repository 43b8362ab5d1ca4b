"""Choosing tokens: penalties, bias, filters, the distribution, the shared noise; rows that do not meet."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfn_core.errors import ConfigError
from mfn_core.generation import Sampling
from mfn_core.generation.choosing import Chooser, Noise

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def chooser(*samplings: Sampling, prompt: tuple[int, ...] = (), vocab: int = len(LOGITS)) -> Chooser:
    """A row for each, all with one source of noise."""
    made, noise = Chooser(len(samplings), vocab), Noise(samplings[0].seed)
    for row, sampling in enumerate(samplings):
        made.join(row, sampling, prompt, noise)
    return made


def draws(sampling: Sampling, count: int = 4000) -> torch.Tensor:
    made = chooser(sampling)
    return torch.stack([made.choose(LOGITS[None], [0])[0] for _ in range(count)])


def test_temperature_zero_is_the_likeliest() -> None:
    rows = torch.stack([LOGITS, LOGITS.flip(0)])
    assert chooser(Sampling(seed=9), Sampling()).choose(rows, [0, 1]).tolist() == [0, 5]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_probabilities(temperature: float) -> None:
    frequencies = draws(Sampling(temperature, seed=1)).bincount(minlength=6) / 4000
    expected = torch.softmax(LOGITS / temperature, -1)
    assert torch.allclose(frequencies, expected, atol=0.03)  # four standard errors


def test_filters_keep_the_likeliest() -> None:
    assert set(draws(Sampling(5.0, top_k=2, seed=2), 300).tolist()) == {0, 1}
    # At temperature 1 the probabilities begin .56 .21 .13: the third is what first reaches .8.
    assert set(draws(Sampling(1.0, top_p=0.8, seed=3), 600).tolist()) == {0, 1, 2}
    assert set(draws(Sampling(1.0, top_p=1e-6, seed=3), 50).tolist()) == {0}
    # Filters in turn: among the two that top_k leaves, the first holds .73.
    assert set(draws(Sampling(1.0, top_k=2, top_p=0.7, seed=3), 100).tolist()) == {0}
    # .21 is 37 % of .56, .13 is 22 %.
    assert set(draws(Sampling(1.0, min_p=0.3, seed=3), 300).tolist()) == {0, 1}
    assert set(draws(Sampling(1.0, min_p=1.0, seed=3), 50).tolist()) == {0}


def reference(logits: torch.Tensor, sampling: Sampling, prompt: list[int], text: list[int]) -> torch.Tensor:
    """The distribution in float64, token by token, as the docstring of `Sampling` says it."""
    scores = logits.double().tolist()
    for token in {*prompt, *text}:
        factor = sampling.repetition_penalty
        scores[token] = scores[token] / factor if scores[token] > 0 else scores[token] * factor
    for token in set(text):
        scores[token] -= sampling.frequency_penalty * text.count(token) + sampling.presence_penalty
    for token, bias in sampling.logit_bias:
        scores[token] += bias
    order = sorted(range(len(scores)), key=lambda token: -scores[token])
    weights = {token: math.exp((scores[token] - scores[order[0]]) / sampling.temperature) for token in order}
    kept = order[: sampling.top_k or len(order)]
    mass, nucleus = 0.0, []
    for token in kept:
        if sampling.top_p < 1 and mass / sum(weights[other] for other in kept) >= sampling.top_p:
            break
        nucleus.append(token)
        mass += weights[token]
    kept = [token for token in nucleus if weights[token] >= sampling.min_p * weights[order[0]]]
    total = sum(weights[token] for token in kept)
    return torch.tensor([weights[token] / total if token in kept else 0.0 for token in range(len(scores))]).double()


samplings = st.builds(
    Sampling,
    temperature=st.floats(0.3, 3.0),
    top_k=st.integers(0, 8),
    top_p=st.sampled_from([1.0, 0.9, 0.5]),
    min_p=st.sampled_from([0.0, 0.05, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
    frequency_penalty=st.sampled_from([0.0, 0.7, -0.5]),
    presence_penalty=st.sampled_from([0.0, 1.1]),
    logit_bias=st.dictionaries(st.integers(0, 7), st.floats(-5, 5), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(
    sampling=samplings,
    prompt=st.lists(st.integers(0, 7), max_size=4),
    text=st.lists(st.integers(0, 7), max_size=5),
    seed=st.integers(0, 999),
)
def test_the_race_is_run_with_the_stated_distribution(
    sampling: Sampling, prompt: list[int], text: list[int], seed: int
) -> None:
    logits = torch.randn(8, generator=torch.Generator().manual_seed(seed)) * 2
    made = Chooser(3, 8)
    made.join(1, sampling, prompt, Noise(0))
    for token in text:
        made.note(1, token)
    noise = torch.empty(8)
    Noise(0).draw(noise)
    chosen = int(made.choose(logits.expand(3, -1), [1])[1])
    odds = reference(logits, sampling, prompt, text) / noise.double()
    assert odds[chosen] >= odds.max() * (1 - 1e-4)


@settings(max_examples=60, deadline=None)
@given(
    first=st.builds(replace, samplings, seed=st.integers(0, 9)),
    others=st.lists(samplings | st.just(Sampling()), max_size=3),
    row=st.integers(0, 3),
    when=st.integers(0, 3),
)
def test_a_row_chooses_as_if_alone(first: Sampling, others: list[Sampling], row: int, when: int) -> None:
    source = torch.Generator().manual_seed(1)
    logits = torch.randn(12, 4, 50, generator=source)
    logits[:, row] = logits[:, 0].clone()

    def run(made: Chooser, row: int, crowd: list[Sampling]) -> list[int]:
        made.join(row, first, [3, 4], Noise(first.seed))
        free = [number for number in range(4) if number != row]
        found = []
        for step in range(12):
            if step == when:
                for number, sampling in zip(free, crowd, strict=False):
                    made.join(number, sampling, [1], Noise(sampling.seed))
            if step == when + 5:
                for number in free:
                    made.leave(number)
            tokens = made.choose(logits[step], range(4)).tolist()
            for number, token in enumerate(tokens):
                made.note(number, token)
            found.append(tokens[row])
        return found

    assert run(Chooser(4, 50), row, others) == run(Chooser(4, 50), 0, [])


def test_a_row_that_was_left_holds_nothing_of_its_last_request() -> None:
    made = chooser(Sampling(repetition_penalty=50.0, logit_bias=((3, 90.0),)), prompt=(0,))
    assert made.choose(LOGITS[None], [0]).tolist() == [3]
    made.leave(0)
    made.join(0, Sampling(repetition_penalty=2.0, presence_penalty=0.1), (), Noise(0))
    assert made.choose(LOGITS[None], [0]).tolist() == [0]


def test_penalties_and_bias_count_at_temperature_zero() -> None:
    made = chooser(Sampling(presence_penalty=0.6, frequency_penalty=0.5))
    found = []
    for _ in range(6):
        found.append(int(made.choose(LOGITS[None], [0])[0]))
        made.note(0, found[-1])
    # 2 → .9 after one, .4 after two; 1 → −.1; .5 and 0 have not been taken before.
    assert found == [0, 1, 0, 2, 0, 3]
    assert chooser(Sampling(logit_bias={0: -100.0})).choose(LOGITS[None], [0]).tolist() == [1]


def test_equal_rows_choose_alike_and_close_rows_mostly() -> None:
    made = chooser(*[Sampling(1.0, seed=6)] * 3)
    near = LOGITS + torch.tensor([0.1, 0.0, 0.0, -0.1, 0.0, 0.0])
    triples = torch.stack([made.choose(torch.stack([LOGITS, LOGITS, near]), [0, 1, 2]) for _ in range(1000)])
    assert torch.equal(triples[:, 0], triples[:, 1])
    assert 0.9 < (triples[:, 0] == triples[:, 2]).float().mean() < 1.0  # independent draws: about .38


def test_step_n_meets_the_same_noise_whatever_the_filters() -> None:
    wide, narrow = chooser(Sampling(1.0, seed=8)), chooser(Sampling(1.0, top_k=5, seed=8))
    for _ in range(100):
        a = wide.choose(LOGITS[None], [0])
        b = narrow.choose(LOGITS[None], [0])
        assert a == b or a == 5


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_refuses_impossible_temperatures(temperature: float) -> None:
    with pytest.raises(ConfigError):
        Sampling(temperature)


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": 1.1},
        {"seed": -1},
        {"seed": 2**63},
        {"repetition_penalty": 0.0},
        {"frequency_penalty": float("nan")},
        {"presence_penalty": float("inf")},
        {"logit_bias": {-1: 2.0}},
        {"logit_bias": {"a": 2.0}},
        {"logit_bias": {1: float("inf")}},
        {"logit_bias": ((1, 2.0), (1, 3.0))},
        {"logit_bias": dict.fromkeys(range(1025), 1.0)},
    ],
)
def test_refuses_impossible_parameters(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Sampling(**wrong)


def test_refuses_a_bias_for_a_token_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no token 6; the model has 0 to 5"):
        chooser(Sampling(logit_bias={6: 1.0}))

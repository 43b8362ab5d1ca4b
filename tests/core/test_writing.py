"""Many prompts are continued at once, each as if it were alone; and read back by a model that is not steered."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mfn_core.interventions import Intervention, Scope
from mfn_core.model import MFNModel
from mfn_core.writing import SharedNoise, Writing, perplexity, read_back, write

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


def test_texts_of_one_seed_share_their_noise_whatever_the_batch(tiny_model: MFNModel) -> None:
    nothing: list[tuple[Intervention, ...]] = [()] * 4
    whole = write(tiny_model, ["Snow"] * 4, nothing, Writing(12, temperature=1.0), seeds=[5, 6, 5, 7])
    cut = write(tiny_model, ["Snow"] * 4, nothing, Writing(12, temperature=1.0, batch=1), seeds=[5, 6, 5, 7])
    assert whole == cut
    assert whole[0] == whole[2]
    assert len({tuple(text) for text in whole}) == 3


def test_texts_in_slices_are_those_of_generate(tiny_model: MFNModel, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = [(Intervention(1, 7, "set", 9.0),), (), (Intervention(0, 3, "set", 9.0, Scope("generation")),), ()]
    expected = write(tiny_model, PROMPTS, turned, Writing(tokens=12))
    for size in (256, 8, 1):  # the whole prompt at once, two tokens of each, one
        monkeypatch.setattr("mfn_core.slices.SLICE", size)
        assert write(tiny_model, PROMPTS, turned, Writing(tokens=12), seeds=[0] * 4) == expected
    ending = expected[0][3]
    monkeypatch.setattr(tiny_model.base.generation_config, "eos_token_id", ending)
    ended = write(tiny_model, PROMPTS, turned, Writing(tokens=12), seeds=[0] * 4)
    assert ended[0][: ended[0].index(ending) + 1] == expected[0][: expected[0].index(ending) + 1]
    assert set(ended[0][ended[0].index(ending) + 1 :]) <= {tiny_model.bos_token_id}


def test_the_race_takes_tokens_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]]).repeat(4000, 1)
    won = SharedNoise(range(4000), 2.0)(logits).argmax(-1)
    shares = torch.bincount(won, minlength=3) / 4000
    assert torch.allclose(shares, torch.softmax(logits[0] / 2.0, -1), atol=0.03)


def test_what_is_read_back_says_where_features_fire(tiny_model: MFNModel) -> None:
    text = [70, 80, 90, 75]
    (begin,) = [tiny_model.encode_text("Snow fell")]
    codes = tiny_model.codes([*begin, *text])
    values = codes[1].dense()[len(begin) :]
    feature = int(values.sum(0).argmax())
    found = read_back(tiny_model, ["Snow fell", "Take two eggs"], [text, [70]], [(1, feature)])
    assert found.fired[0].tolist() == (values[:, feature] > 0).tolist()
    assert found.fired[0].any()
    assert [len(part) for part in found.nats] == [4, 1]
    assert not read_back(tiny_model, ["Snow fell"], [text]).fired[0].any()

"""The engine on a tiny random model of every family: the numbers of the model without a cache, or a refusal."""

from __future__ import annotations

import pytest
import torch

from mfn_core.baselines.config import SAEConfig
from mfn_core.errors import ConfigError
from mfn_core.generation import GenerationRequest, Sampling, SlotEngine

from ..sites.zoo import CASES, at, equipped
from .conversation import tokens

OUTSIDE = SAEConfig(24, "topk", k=4, site="resid_post")  # leaves the model's text alone
PROMPTS = [tuple(range(1, 1 + length)) for length in (3, 11, 1)]


@pytest.mark.parametrize("name", [name for name in CASES if name != "gpt_neo"])
def test_side_by_side_as_the_model_by_itself(name: str) -> None:
    """Texts of different lengths, well past the windows of those that have one: each token's log-probability."""
    model = equipped(name, at(1, OUTSIDE))
    engine = SlotEngine(model, rows=4, piece=5)
    for number, prompt in enumerate(PROMPTS):
        sampling = Sampling(temperature=4.0, seed=number)  # random models would say one word again and again
        engine.submit(GenerationRequest(prompt, 25, sampling=sampling, compare=False, id=str(number)))
    events = []
    while engine.busy:
        events += engine.step()
    for number, prompt in enumerate(PROMPTS):
        ours = tokens(events, "steered", str(number))
        text = [*prompt, *(event.token for event in ours)]
        with torch.inference_mode():
            logprobs = model.base(torch.tensor([text])).logits[0].log_softmax(-1)
        assert len({event.token for event in ours}) > 5
        for event in ours:
            expected = float(logprobs[len(prompt) - 1 + event.step, event.token])
            assert event.logprob == pytest.approx(expected, abs=1e-3, rel=1e-4)


def test_attention_that_asks_where_keys_lie_is_refused() -> None:
    with pytest.raises(ConfigError, match="gpt_neo cannot be written side by side"):
        SlotEngine(equipped("gpt_neo", at(1, OUTSIDE)), rows=4)

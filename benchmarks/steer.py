"""Generation by the engine against `generate` of the same equipped model, plain and with five interventions.

The engine writes two texts in the time of one: each of its steps decodes the plain and the steered row together and
reports what `generate` does not (log-probabilities, alternatives, divergence, the strongest features). The target is
set against `generate` with one row all the same; beside it stands the fairer match, `generate` with a batch of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Paired, Result, paired, percentile, seconds, summary
from mfn_core import Intervention, MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.generation import GenerationRequest, SlotEngine, stream

TARGET_PLAIN = 0.95
TARGET_FIVE = 0.90
PROMPT = tuple(range(1, 17))
FIVE = tuple(Intervention(layer=n % 2, feature=n, mode="set", value=3.0) for n in range(5))


def run(quick: bool) -> Result:
    """Greedy text of a random model of the demo model's size, in fp32."""
    d_model, blocks, n_features, tokens, pairs = (64, 2, 256, 16, 20) if quick else (256, 5, 2048, 64, 24)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=d_model,
        intermediate_size=688,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=None,  # a text that ended early would not be a fair one
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    layer = MFNLayerConfig(n_features=n_features, k=32)
    model = MFNModel.equip(LlamaForCausalLM(config).train(False), MFNConfig.uniform(blocks, layer)).eval()
    engine = SlotEngine(model)

    def ours(interventions: Sequence[Intervention] = ()) -> Callable[[], object]:
        def work() -> None:
            asked = GenerationRequest(PROMPT, tokens, tuple(interventions), alternatives=3, fired=3)
            for _ in stream(engine, asked):
                pass

        return work

    def generate(rows: int) -> Callable[[], object]:
        inputs = torch.tensor([PROMPT] * rows)

        def work() -> None:
            cast(Any, model.base).generate(
                inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=tokens
            )

        return work

    one, two, five = (
        paired(generate(1), ours(), pairs),
        paired(generate(2), ours(), pairs),
        paired(generate(1), ours(FIVE), pairs),
    )
    metrics = {
        "speed_over_generate": _speed(one, None if quick else TARGET_PLAIN),
        "speed_over_generate_five_interventions": _speed(five, None if quick else TARGET_FIVE),
        "speed_over_generate_of_two_rows": _speed(two, None),
        "generate": _rate(one.first, tokens),
        "engine": _rate(one.second, tokens),
        "engine_five_interventions": _rate(five.second, tokens),
        "first_token_p95": Metric(1e3 * percentile([seconds(_first(engine)) for _ in range(40)], 0.95), "ms"),
    }
    settings = {"d": d_model, "blocks": blocks, "F": n_features, "K": 32, "prompt": len(PROMPT), "new_tokens": tokens}
    return Result(metrics, settings)


def _speed(timing: Paired, target: float | None) -> Metric:
    """Tokens a second of the second against the first."""
    ratios = [a / b for a, b in zip(timing.first, timing.second, strict=True)]
    return summary(ratios, "×", target, "higher")


def _rate(times: Sequence[float], tokens: int) -> Metric:
    return summary([tokens / t for t in times], "tokens/s", better="higher")


def _first(engine: SlotEngine) -> Callable[[], object]:
    def work() -> None:
        events = stream(engine, GenerationRequest(PROMPT, 8, alternatives=3, fired=3))
        next(events)
        events.close()  # type: ignore[attr-defined]

    return work

"""Generation by the engine against `generate` of the same equipped model: alone, steered, and sixteen at a time.

Two models: the demo's size, and one of about 100 million parameters; random weights, greedy texts, single precision.
Beside `generate` stands transformers' continuous batching of the same model, and with `--peer` TransformerLens with an
SAE of SAELens in a hook, against the engine steering through an SAE of the same size in the same place. Where there is
a GPU, the larger model is measured on it, too.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from benchmarks.harness import Metric, Paired, Peer, Result, against, paired, percentile, seconds, summary
from mfn_core import Intervention, MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.baselines.config import SAEConfig
from mfn_core.generation import GenerationRequest, SlotEngine, TokenEvent

PROMPT = tuple(range(1, 17))
FIVE = tuple(Intervention(layer=n % 2, feature=n, mode="set", value=3.0) for n in range(5))
MANY = 16
AT_ONCE = 8
Work = Callable[[], object]

DEMO = {"d": 128, "mlp": 344, "blocks": 6, "heads": 4, "features": 3072, "k": 24, "vocabulary": 4096, "context": 256}
LARGE = {**DEMO, "d": 768, "mlp": 2048, "blocks": 8, "heads": 12, "features": 4096, "k": 32, "vocabulary": 16384}
TINY = {**DEMO, "d": 64, "mlp": 96, "blocks": 2, "features": 256, "vocabulary": 512, "context": 96}


def run(quick: bool, peer: str | None = None) -> Result:
    """The targets are those of the issue that asked for the engine; a quick run has none."""
    metrics: dict[str, Metric] = {}
    sizes = {"demo": TINY} if quick else {"demo": DEMO, "large": LARGE}
    for name, size in sizes.items():
        tokens = 8 if quick else 64 if name == "demo" else 16
        measured = _one_size(size, tokens, not quick, name == "demo")
        metrics |= {f"{name}_{key}": metric for key, metric in measured.items()}
        gc.collect()
    if torch.cuda.is_available():
        metrics |= _on_gpu(TINY if quick else LARGE, 8 if quick else 64, not quick)
    if peer is not None:
        metrics |= _against_hooks(peer, TINY if quick else DEMO, 8 if quick else 32)
    return Result(metrics, {"prompt": len(PROMPT), "rows": MANY, **{name: dict(size) for name, size in sizes.items()}})


def _one_size(size: dict[str, int], tokens: int, judged: bool, waits: bool) -> dict[str, Metric]:
    """`waits`: the time to a first token is judged, too."""
    model = _model(size)
    engine = SlotEngine(model, rows=MANY)

    def ours(count: int, interventions: Sequence[Intervention] = ()) -> Work:
        return lambda: _write(engine, count, tokens, interventions)

    one = paired(_generate(model, 1, tokens), ours(1))
    five = paired(_generate(model, 1, tokens), ours(1, FIVE))
    many = paired(_generate(model, MANY, tokens), ours(MANY))
    singles = [MANY * single / together for single, together in zip(one.second, many.second, strict=True)]
    metrics = {
        "single_over_generate": _speed(one, 0.95 if judged else None),
        "five_interventions_over_generate": _speed(five, 0.90 if judged else None),
        f"streams_{MANY}_over_generate": _speed(many, 0.9 if judged else None),
        f"streams_{MANY}_over_single": summary(singles, "×", 6.0 if judged else None, "higher"),
        "generate": _rate(one.first, tokens),
        "engine": _rate(one.second, tokens),
        f"generate_batch_{MANY}": _rate(many.first, MANY * tokens),
        f"engine_streams_{MANY}": _rate(many.second, MANY * tokens),
        f"first_token_p95_{AT_ONCE}_at_once": Metric(
            1e3 * percentile(_first_tokens(engine, 4 if judged else 1), 0.95), "ms", 150.0 if judged and waits else None
        ),
        "steps_from_slider_to_token": Metric(_slider(engine), "steps", 1.0),
        "cache_row": Metric(engine.row_bytes / 2**20, "MiB"),
    }
    with ExitStack() as stack:
        for count in (1, MANY):
            batching = stack.enter_context(_Continuous(model, count, tokens))
            metrics[f"streams_{count}_over_continuous_batching"] = _speed(paired(batching, ours(count), warmup=1), None)
    return metrics


def _model(size: dict[str, int], config: MFNConfig | None = None) -> MFNModel:
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size["vocabulary"],
            hidden_size=size["d"],
            intermediate_size=size["mlp"],
            num_hidden_layers=size["blocks"],
            num_attention_heads=size["heads"],
            num_key_value_heads=size["heads"],
            max_position_embeddings=size["context"],
            bos_token_id=0,
            eos_token_id=None,  # a text that ended early would not be a fair one
            pad_token_id=0,
            tie_word_embeddings=True,
        )
    )
    layer = MFNLayerConfig(n_features=size["features"], k=size["k"])
    return MFNModel.equip(base.train(False), config or MFNConfig.uniform(size["blocks"], layer)).eval()


def _on_gpu(size: dict[str, int], tokens: int, judged: bool) -> dict[str, Metric]:
    """The engine, whose steps are CUDA graphs there, against eager `generate`. Not yet run by us."""
    model = _model(size).to("cuda")
    engine = SlotEngine(model, rows=MANY)
    target = 3.0 if judged else None
    metrics = {}
    for name, count, turned in (("single", 1, ()), ("five_interventions", 1, FIVE), (f"streams_{MANY}", MANY, ())):
        timing = paired(_generate(model, count, tokens), partial(_write, engine, count, tokens, turned))
        metrics[f"gpu_{name}_over_generate"] = _speed(timing, target)
        metrics[f"gpu_{name}"] = _rate(timing.second, count * tokens)
    return metrics


def _generate(model: MFNModel, count: int, tokens: int) -> Work:
    """How `generate` of the equipped model continues as many prompts in one batch."""
    inputs = torch.tensor([PROMPT] * count, device=model.device)
    options = {"do_sample": False, "max_new_tokens": tokens, "attention_mask": torch.ones_like(inputs)}
    return lambda: cast(Any, model.base).generate(inputs, **options)


def _write(engine: SlotEngine, count: int, tokens: int, interventions: Sequence[Intervention] = ()) -> None:
    for _ in range(count):
        engine.submit(GenerationRequest(PROMPT, tokens, tuple(interventions), compare=False))
    while engine.busy:
        engine.step()


def _first_tokens(engine: SlotEngine, rounds: int) -> list[float]:
    """Seconds to the first token, where several ask at the same moment for plain and steered text, and more."""
    waited = []
    for _ in range(rounds):
        asked = [
            GenerationRequest(PROMPT, 4, FIVE, alternatives=3, fired=3, id=f"{number}") for number in range(AT_ONCE)
        ]
        for one in asked:
            engine.submit(one)
        seen: set[str] = set()
        clock = 0.0
        while engine.busy:
            events = []
            clock += seconds(lambda: events.extend(engine.step()))  # noqa: B023, called at once
            fresh = {event.request for event in events if isinstance(event, TokenEvent)} - seen
            waited += [clock] * len(fresh)
            seen |= fresh
    return waited


def _slider(engine: SlotEngine) -> float:
    """Steps from a change of interventions to the first token that shows it."""
    asked = GenerationRequest(PROMPT, 8, compare=False, fired=64)
    engine.submit(asked)
    for _ in range(3):
        engine.step()
    engine.update(asked.id, [Intervention(0, 7, "set", 77.0)])
    steps = 0
    shown = False
    while engine.busy and not shown:
        steps += 1
        shown = any(f.value == 77.0 for event in engine.step() if isinstance(event, TokenEvent) for f in event.fired)
    engine.cancel(asked.id)
    assert shown
    return float(steps)


class _Continuous:
    """transformers' continuous batching of a copy of a model, as a context: how one batch of texts is written."""

    def __init__(self, model: MFNModel, count: int, tokens: int) -> None:
        self._base: Any = copy.deepcopy(model.base)
        self._count = count
        self._generation = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        pages = -(-(len(PROMPT) + tokens) // 32) + 1
        self._batching = ContinuousBatchingConfig(
            page_size=32,
            num_blocks=pages * count,
            max_batch_tokens=len(PROMPT) * count,
            max_requests_per_batch=count,
            allow_block_sharing=False,  # of steered texts prefixes cannot be shared
        )

    def __enter__(self) -> Work:
        self._manager = self._base.init_continuous_batching(self._generation, self._batching)
        self._manager.start()
        return self._work

    def __exit__(self, *error: object) -> None:
        self._manager.stop(block=True)

    def _work(self) -> None:
        self._manager.add_requests([list(PROMPT)] * self._count)
        left = self._count
        while left:
            left -= self._manager.get_result(timeout=60) is not None


def _against_hooks(python: str, size: dict[str, int], tokens: int) -> dict[str, Metric]:
    """One SAE in the middle, five of its features set: the engine against TransformerLens' `generate` with a hook."""
    middle = size["blocks"] // 2
    sae = SAEConfig(size["features"], "topk", k=size["k"], site="resid_post")
    engine = SlotEngine(_model(size, MFNConfig({middle: sae})), rows=MANY)
    five = [Intervention(middle, number, "set", 3.0) for number in range(5)]
    with Peer(python, "benchmarks.peers.transformerlens") as hooks:
        hooks.prepare("steered", **size, tokens=tokens, prompt=len(PROMPT))
        timing = against(lambda: _write(engine, 1, tokens, five), hooks)
    turned = Paired(timing.second, timing.first)
    return {
        "steered_over_transformerlens": _speed(turned, None),
        "transformerlens_steered": _rate(turned.first, tokens),
    }


def _speed(timing: Paired, target: float | None) -> Metric:
    """Tokens a second of the second against the first."""
    ratios = [a / b for a, b in zip(timing.first, timing.second, strict=True)]
    return summary(ratios, "×", target, "higher")


def _rate(times: Sequence[float], tokens: int) -> Metric:
    return summary([tokens / t for t in times], "tokens/s", better="higher")

"""How far first order carries, and how long it takes to find a good strength, on the demo model.

Features that fire are drawn at random in every layer and added to, at the last token of a prompt, by a share of the
stream's length. Agreement is Spearman's ρ of predicted with measured changes over the vocabulary, the median over
features: near 0 strength it tells whether the derivative is right, at the strengths that steer how far it carries. The
fourth claim of the preprint asks for 0.8, and for more than random directions have: as control a random direction is
added in the place of each feature, as long as what the feature added. Beside first order stand the other two ways to
predict (see `mfn_core.steering.linear`) and the direct lens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
import torch.autograd.forward_ad as fwd
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Result, seconds, summary
from mfn_core import Intervention, MFNConfig, MFNLayerConfig, MFNModel, Scope
from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.steering import SpotOrder, agreement, dose_response, first_order, predict, search_spot
from mfn_core.steering.linear import edits_of
from mfn_core.steering.results import Method
from mfn_core.text_tests import TextTest
from mfn_core.writing import Writing

ROOT = Path(__file__).parents[1]
SHARES = (0.001, 0.05, 0.5)  # of the stream's length
PROMPTS = (
    "The old house stood at the end of the road",
    "I watched this film last night and it was",
    "def area(radius):\n    return",
    "The history of the city begins in the",
)
PER_LAYER = 8  # features, of each prompt
SPOT = ("Long ago there was a", "mfn.resid_mid.3-33b5518e", 2525, "[ACGT]{12,}|[acgt]{12,}")  # the demo's first preset
GENERATED = Scope("generation")
METHODS: tuple[Method, ...] = ("path", "secant")


class Found(NamedTuple):
    """Spearman's ρ of one feature at one strength by each way to predict, that of first order for a random direction,
    and the share of later features that were replaced."""

    first_order: float
    path: float
    secant: float
    lens: float
    random: float
    replaced: float


def run(quick: bool) -> Result:
    """Agreement by layer and strength; seconds of a prediction, a sweep and a search."""
    model = _tiny() if quick else MFNModel.from_pretrained(ROOT / "demo/model")
    prompts, per_layer = (PROMPTS[:1], 2) if quick else (PROMPTS, PER_LAYER)
    metrics: dict[str, Metric] = {}
    for share in SHARES:
        everything: list[Found] = []
        target = 0.8 if share == SHARES[-1] else None
        for layer in model.coders:
            found = [f for prompt in prompts for f in _agreement(model, prompt, layer, share, per_layer)]
            everything += found
            for name, short in (("first_order", "rho"), ("secant", "secant_rho")):
                key = f"{short}_{share:g}_layer_{layer}"
                metrics[key] = summary([getattr(f, name) for f in found], "ρ", better="higher")
        columns = dict(zip(Found._fields, zip(*everything, strict=True), strict=True))
        replaced = columns.pop("replaced")
        for name, values in columns.items():
            key = f"rho_{share:g}" if name == "first_order" else f"{name}_rho_{share:g}"
            judged = target if name in ("first_order", "path", "secant") else None
            metrics[key] = summary(values, "ρ", target=judged, better="higher")
        metrics[f"replaced_{share:g}"] = summary(replaced, "share")
    metrics |= _seconds(model, quick)
    settings = {"model": model.fingerprint[:12], "prompts": len(prompts), "features_a_layer_and_prompt": per_layer}
    return Result(metrics, settings)


def _agreement(model: MFNModel, prompt: str, layer: int, share: float, n: int) -> list[Found]:
    """Of n features that fire at the prompt's last token, drawn at random."""
    ids = model.encode_text(prompt)
    with torch.no_grad():
        trace = model(torch.tensor([ids]), record=True, logits_to_keep=1).traces[layer]
    codes, length = trace.codes, float(trace.x[0, -1].norm())
    firing = codes.indices[0, -1][codes.fires[0, -1]]
    order = torch.randperm(len(firing), generator=torch.Generator().manual_seed(layer))[:n]
    out = []
    for feature in firing[order].tolist():
        turn = Intervention(layer, feature, "add", share * length, GENERATED)
        found = predict(model, ids, [turn])
        path, secant = (
            agreement(first_order(model, ids, [[turn]], method=method).through[0], found.measured).spearman or 0.0
            for method in METHODS
        )
        later = [t.replaced for t in found.side_effects.turnover if t.layer > layer]
        out.append(
            Found(
                found.agreement.spearman or 0.0,
                path,
                secant,
                found.lens_agreement.spearman or 0.0,
                _random(model, ids, turn),
                max(later) if later else 0.0,
            )
        )
    return out


@torch.no_grad()
def _random(model: MFNModel, ids: Sequence[int], turn: Intervention) -> float:
    """ρ of first order with what comes of a random direction, added where a feature would be and as long as it."""
    coder = model.coders[turn.layer]
    outputs: list[Tensor] = []
    inputs = torch.tensor([ids] * 2)
    handle = coder.register_forward_hook(lambda module, args, output: outputs.append(output))
    model(inputs, edits=edits_of(model, [(), [turn]], len(ids)), logits_to_keep=1)
    handle.remove()
    length = (outputs[0][1, -1] - outputs[0][0, -1]).norm()
    source = torch.Generator().manual_seed(turn.feature)
    direction = torch.randn(outputs[0].shape[-1], generator=source)
    change = torch.zeros_like(outputs[0][:1])
    change[0, -1] = direction * length / direction.norm()

    def logits(add: Callable[[Tensor], Tensor]) -> Tensor:
        handle = coder.register_forward_hook(lambda module, args, output: add(output))
        try:
            return cast(Tensor, model(inputs[:1], logits_to_keep=1).logits[0, 0])
        finally:
            handle.remove()

    with fwd.dual_level(), sdpa_kernel(SDPBackend.MATH):
        dual = logits(lambda output: cast(Tensor, fwd.make_dual(output, change)))  # type: ignore[no-untyped-call]
        predicted = fwd.unpack_dual(dual).tangent  # type: ignore[no-untyped-call]
    came = logits(lambda output: output + change) - logits(lambda output: output)  # of one shape: nothing else differs
    return agreement(predicted, came).spearman or 0.0


def _seconds(model: MFNModel, quick: bool) -> dict[str, Metric]:
    prompt, source, feature, pattern = SPOT
    layers = {model.source_key(layer): layer for layer in model.coders}
    turn = Intervention(layers.get(source, 0), 0 if quick else feature, "set", 8.0, Scope("generation", stop=16))
    tokens, samples, repeats = (4, 1, 2) if quick else (32, 8, 3)
    order = SpotOrder((prompt,), (turn,), TextTest(pattern=pattern), tokens=tokens, samples=samples)
    ids = model.encode_text(prompt)
    found = search_spot(model, order)

    def times(work: Callable[[], object], target: float | None = None) -> Metric:
        return summary([seconds(work) for _ in range(repeats)], "s", target)

    metrics = {
        "predict": times(lambda: predict(model, ids, [turn])),
        "sweep": times(lambda: dose_response(model, prompt, [turn], writing=Writing(tokens))),
        "sweet_spot": times(lambda: search_spot(model, order), target=30.0),
    }
    if found.best is not None and found.checked is not None:
        metrics["sweet_spot_concept"] = Metric(found.checked.concept, "share", better="higher")
        metrics["sweet_spot_cost"] = Metric(found.checked.ratio or float("nan"), "×")
    return metrics


def _tiny() -> MFNModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=96,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    layers = MFNConfig.uniform(2, MFNLayerConfig(48, 6))
    return MFNModel.equip(LlamaForCausalLM(config), layers, fit_tokenizer(list(PROMPTS) * 8, 300)).eval()

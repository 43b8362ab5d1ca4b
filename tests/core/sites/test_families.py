"""Every family's in-between site: exactness, the blend by hand, generating, padding, compiling, checkpoints, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from mfn_core import EditBuffers, Intervention, MFNLayerConfig, MFNModel, Scope
from mfn_core.config import BlendInto, Site
from mfn_core.layer import MFNLayer
from mfn_core.sites import FAMILIES

from .zoo import BLOCKS, CASES, WITH_MID, at, checkpoint, equipped, first, ids, mfn, plain

EDITS = [
    Intervention(0, 5, "set", 6.0, Scope("generation")),
    Intervention(1, 9, "add", 4.0, Scope("range", 7, 11)),
    Intervention(1, 3, "scale", 0.0, Scope("prompt")),
]
LONG, SHORT = 9, 6


def for_padding(name: str) -> MFNModel:
    """In double precision, except that Gemma 2's softmax, which is single, makes NaN of a double's smallest number."""
    return equipped(name, mfn(), torch.float32 if name == "gemma2" else torch.float64)


def edits_for(model: MFNModel, *prompt_lengths: int) -> EditBuffers:
    edits = EditBuffers.allocate(model.n_features, rows=len(prompt_lengths), dtype=model.dtype)
    for row, length in enumerate(prompt_lengths):
        edits.write(row, EDITS, prompt_length=length)
    return edits


def padded() -> tuple[Tensor, Tensor]:
    """Two texts of different length in one batch, the shorter filled up at its left; and the mask."""
    batch, mask = ids(2, LONG), torch.ones(2, LONG, dtype=torch.long)
    batch[1, : LONG - SHORT] = 0
    mask[1, : LONG - SHORT] = 0
    return batch, mask


def test_every_family_has_its_case() -> None:
    assert {case.model_type for case in CASES.values()} == set(FAMILIES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", WITH_MID)
def test_alpha_zero_is_the_plain_model_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    expected = plain(name, dtype)(ids(), use_cache=False).logits
    for blend in ("residual", "mlp"):
        model = equipped(name, mfn(0.0, blend), dtype)
        for record in (False, True):
            out = model(ids(), record=record)
            assert torch.equal(out.logits, expected)
        assert set(out.traces) == set(range(BLOCKS))


def by_hand(name: str, coders: dict[int, Any], blend: BlendInto) -> PreTrainedModel:
    """The plain model, each block's output replaced by one computed from its parts and the layer's formula."""
    base = plain(name, torch.float64)
    family, case = FAMILIES[CASES[name].model_type], CASES[name]
    assert case.stream is not None
    assert case.rest is not None
    stream_of, rest_of = case.stream, case.rest
    for number, block in enumerate(family.blocks(base)):
        attended: list[Tensor] = []

        def keep(module: Any, args: Any, output: Any, attended: list[Tensor] = attended) -> None:
            attended.append(first(output))

        def replace(
            block: Any, args: Any, output: Any, attended: list[Tensor] = attended, layer: MFNLayer = coders[number]
        ) -> Any:
            stream = stream_of(block, args[0], attended.pop())
            scale = (stream.square().mean(-1, keepdim=True) + 1e-6).sqrt()
            pre = torch.relu((stream / scale - layer.b_dec) @ layer.W_enc.T + layer.b_enc)
            z = torch.where(pre >= pre.topk(layer.k).values[..., -1:], pre, 0.0)
            rebuilt = scale * (z @ layer.W_dec + layer.b_dec)
            out = rest_of(block, rebuilt if blend == "residual" else stream, rebuilt)
            return (out, *output[1:]) if isinstance(output, tuple) else out

        family.attention(base, number).register_forward_hook(keep)
        block.register_forward_hook(replace)
    return base


@pytest.mark.parametrize("blend", ["residual", "mlp"])
@pytest.mark.parametrize("name", WITH_MID)
def test_alpha_one_is_the_blend_computed_by_hand(name: str, blend: BlendInto) -> None:
    model = equipped(name, mfn(1.0, blend), torch.float64)
    for coder in model.coders.values():
        torch.nn.init.normal_(coder.get_parameter("b_enc"), std=0.1)
        torch.nn.init.normal_(coder.get_parameter("b_dec"), std=0.1)
    logits = model(ids()).logits
    expected = by_hand(name, model.coders, blend)(ids(), use_cache=False).logits
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    assert (logits - plain(name, torch.float64)(ids()).logits).abs().max() > 1e-2


@pytest.mark.parametrize("name", WITH_MID)
def test_a_padded_batch_generates_what_each_row_does_alone_with_a_cache_or_without(name: str) -> None:
    model = for_padding(name)
    batch, mask = padded()
    for cached in (True, False):
        options = {"max_new_tokens": 6, "do_sample": False, "use_cache": cached, "pad_token_id": 0}
        with model.run(edits_for(model, LONG, SHORT)):
            texts = model.base.generate(batch, attention_mask=mask, **options)
        for row, length in enumerate((LONG, SHORT)):
            with model.run(edits_for(model, length)):
                alone = model.base.generate(
                    batch[row : row + 1, -length:], attention_mask=mask[row : row + 1, -length:], **options
                )
            assert torch.equal(texts[row, LONG:], alone[0, length:])
    unchanged = model.base.generate(batch, attention_mask=mask, **options)
    assert not torch.equal(texts, unchanged)


@pytest.mark.parametrize("name", WITH_MID)
def test_a_padded_row_gets_what_it_gets_alone(name: str) -> None:
    model = for_padding(name)
    batch, mask = padded()
    whole = model(batch, attention_mask=mask, edits=edits_for(model, LONG, SHORT), record=True)
    for row, length in enumerate((LONG, SHORT)):
        alone = model(batch[row : row + 1, -length:], edits=edits_for(model, length), record=True)
        torch.testing.assert_close(whole.logits[row, -length:], alone.logits[0], rtol=1e-5, atol=1e-5)
        for number, trace in alone.traces.items():
            torch.testing.assert_close(
                whole.traces[number].codes.dense()[row, -length:], trace.codes.dense()[0], rtol=1e-5, atol=1e-5
            )


DYNAMO = pytest.mark.filterwarnings("ignore:.*autograd.function.Function.*should not be instantiated")  # Dynamo does


@DYNAMO
@pytest.mark.parametrize("name", WITH_MID)
def test_an_opened_block_compiles_without_a_break(name: str) -> None:
    model = equipped(name, mfn())
    with torch.no_grad():
        expected = model(ids()).logits
        torch.compiler.reset()
        model.family.blocks(model.base)[1].compile(backend="eager", fullgraph=True)
        torch.testing.assert_close(model(ids()).logits, expected)


@DYNAMO
@pytest.mark.slow
@pytest.mark.parametrize("site", get_args(Site))
def test_a_whole_model_compiles_without_a_break(site: Site) -> None:
    model = equipped("llama", at(BLOCKS if site == "resid_final" else 1, MFNLayerConfig(48, 6, site=site)))
    with torch.no_grad():
        expected = model.base(ids()).logits
        torch.compiler.reset()
        compiled: Any = torch.compile(model.base, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(ids(), use_cache=False).logits, expected)


def training_gradients(model: MFNModel) -> dict[str, Tensor]:
    """By parameter, of a loss on the logits and one on the layers' own reconstructions."""
    out = model(ids(), branch="train")
    loss = out.logits.square().mean()
    for trace in out.traces.values():
        assert trace.aux is not None
        assert trace.aux.x_hat is not None
        loss = loss + (trace.aux.x_hat - trace.x).square().mean()
    with model.stage.use(out.run):  # for what checkpointing computes again
        loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@DYNAMO
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo looks there
@pytest.mark.slow
def test_compiled_blocks_train_as_eager_ones_do() -> None:
    models = [equipped("llama", mfn(0.5)).train() for _ in range(2)]
    torch.compiler.reset()
    for block in models[1].family.blocks(models[1].base):
        block.compile(backend="aot_eager", fullgraph=True)
    eager, compiled = map(training_gradients, models)
    assert set(eager) == set(compiled)
    for name, gradient in eager.items():
        torch.testing.assert_close(compiled[name], gradient)


@pytest.mark.parametrize("name", WITH_MID)
def test_gradient_checkpointing_gives_the_same_gradients(name: str) -> None:
    models = [equipped(name, mfn(0.5), torch.float64).train() for _ in range(2)]
    checkpoint(models[1].base)
    plainly, again = map(training_gradients, models)
    assert set(plainly) == set(again)
    for parameter, gradient in plainly.items():
        torch.testing.assert_close(again[parameter], gradient)


@pytest.mark.parametrize("name", WITH_MID)
def test_saving_and_loading_gives_the_same_model(name: str, tmp_path: Path) -> None:
    model = equipped(name, mfn(0.75, numbers=[1]))
    model.save_pretrained(tmp_path)
    again = MFNModel.from_pretrained(tmp_path)
    assert torch.equal(again(ids()).logits, model(ids()).logits)
    assert again.fingerprint == model.fingerprint

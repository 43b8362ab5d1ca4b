"""What the model's features do on a text. Runs in the model's thread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfn_core.model import MFNModel
from mfn_server.errors import APIError


@dataclass(frozen=True)
class LayerFindings:
    """One layer on a text of T tokens.

    Attributes:
        layer: block number.
        fvu: fraction of variance unexplained over the text, its first position left out; None for one without any.
        firing: for each token (feature, value, share of the squared length), strongest first.
    """

    layer: int
    fvu: float | None
    firing: list[list[tuple[int, float, float]]]


def token_ids(model: MFNModel, text: str) -> list[int]:
    """The text as the model reads it. Raises APIError where it is longer than the model's context."""
    ids = model.encode_text(text)
    if len(ids) > model.max_context:
        raise APIError(
            422,
            "text_too_long",
            f"the text has {len(ids)} tokens; this model reads at most {model.max_context}",
            hint="shorten it",
            field="text",
        )
    return ids


@torch.inference_mode()
def inspect_text(model: MFNModel, text: str, top: int) -> tuple[list[int], list[LayerFindings]]:
    """The strongest `top` features of every token and layer."""
    ids = token_ids(model, text)
    traces = model(torch.tensor([ids], device=model.device), record=True, logits_to_keep=1).traces
    findings = []
    for layer, trace in sorted(traces.items()):
        codes = trace.codes.flatten()
        energy = codes.values.square()
        share = energy / energy.sum(-1, keepdim=True).clamp(min=torch.finfo(energy.dtype).tiny)
        values, order = codes.values.topk(min(top, codes.width), dim=-1)
        rows = zip(
            codes.indices.gather(-1, order).tolist(), values.tolist(), share.gather(-1, order).tolist(), strict=True
        )
        firing = [[entry for entry in zip(*row, strict=True) if entry[1] != 0] for row in rows]
        findings.append(LayerFindings(layer, _fvu(trace.x, trace.x_hat), firing))
    return ids, findings


def _fvu(x: Tensor, x_hat: Tensor | None) -> float | None:
    """Σ‖x−x̂‖² / Σ‖x−x̄‖² over a text's positions but the first; x, x_hat: [1, T, d]."""
    if x_hat is None or x.shape[1] < 3:  # one position is its own mean: no variance
        return None
    x, x_hat = x[0, 1:].double(), x_hat[0, 1:].double()
    variance = (x - x.mean(0)).square().sum()
    return float((x - x_hat).square().sum() / variance) if variance > 0 else None


@torch.inference_mode()
def try_feature(model: MFNModel, text: str, layer: int, feature: int) -> tuple[list[int], list[float]]:
    """One feature's value on every token of a text."""
    ids = token_ids(model, text)
    return ids, model.codes(ids)[layer].value_of(feature).tolist()

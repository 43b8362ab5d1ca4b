"""What the model's features do on a text. These functions run in the worker; torch is imported inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfn_server.errors import APIError
from mfn_server.inspecting.findings import LayerFindings, TextFindings, TokenFit

if TYPE_CHECKING:
    from torch import Tensor

    from mfn_core.model import MFNModel
    from mfn_core.reading import Explained
    from mfn_core.run import LayerTrace


def token_ids(model: MFNModel, text: str, field: str = "text") -> list[int]:
    """The text as the model reads it. Raises APIError where it is longer than the model's context."""
    ids = model.encode_text(text)
    if len(ids) > model.max_context:
        raise APIError(
            422,
            "text_too_long",
            f"the text has {len(ids)} tokens; this model reads at most {model.max_context}",
            hint="shorten it",
            field=field,
        )
    return ids


def batch_ids(model: MFNModel, texts: list[str], top: int, most_entries: int) -> list[list[int]]:
    """Several texts as the model reads them.

    Raises:
        APIError: one is longer than the context; or tokens × layers × `top` are more than `most_entries`.
    """
    ids = [token_ids(model, text, f"texts.{number}") for number, text in enumerate(texts)]
    tokens = sum(map(len, ids))
    most = most_entries // (max(len(model.coders), 1) * top)
    if tokens > most:
        raise APIError(
            422,
            "batch_too_large",
            f"the texts have {tokens} tokens together; with the {top} strongest features of each, at most {most}",
            hint="send fewer texts at once, or ask for fewer features",
            field="texts",
        )
    return ids


def inspect_text(model: MFNModel, text: str, top: int) -> TextFindings:
    """What fires on one text; as `inspect_tokens` has it. Raises APIError where it is longer than the context."""
    return inspect_tokens(model, token_ids(model, text), top)


def inspect_tokens(model: MFNModel, ids: list[int], top: int) -> TextFindings:
    """The `top` features furthest from 0 of every token and layer, in a forward pass of this text alone.

    Alone even where there are several: arithmetic rounds otherwise in a batch of another shape, features that nearly
    tie for the last of the K places then change places, and what they write changes all later layers.
    """
    import torch

    from mfn_core.reading import explain

    with torch.inference_mode():
        output = model(torch.tensor([ids], device=model.device), record=True, logits_to_keep=1)
        explained = explain(model, output)
        layers = [
            _layer(number, trace, explained.get(number), top, model.coders[number].error_kept)
            for number, trace in sorted(output.traces.items())
        ]
    return TextFindings(ids, layers)


def _layer(number: int, trace: LayerTrace, explained: Explained | None, top: int, error_kept: float) -> LayerFindings:
    codes = trace.codes.flatten()
    order = codes.values.abs().topk(min(top, codes.width), dim=-1).indices
    features, values = codes.indices.gather(-1, order).tolist(), codes.values.gather(-1, order).tolist()
    shares: list[list[float | None]] = [[None] * len(row) for row in features]
    fvu, fits = None, None
    if explained is not None:
        shares = explained.shares[0].gather(-1, order).tolist()
        columns = (explained.total[0].tolist(), explained.fixed[0].tolist(), explained.error[0].tolist())
        fits = [TokenFit(*token) for token in zip(*columns, strict=True)]
        fvu = _fvu(trace.x[0], explained.error[0])
    rows = zip(features, values, shares, strict=True)
    firing = [[entry for entry in zip(*row, strict=True) if entry[1] != 0] for row in rows]
    return LayerFindings(number, fvu, error_kept, firing, fits)


def _fvu(x: Tensor, error: Tensor) -> float | None:
    """Σ|x−x̂|² / Σ|x−x̄|² over a text's positions but the first; x: [T, d], error: [T], in shares of |x|²."""
    if len(x) < 3:  # one position is its own mean: no variance
        return None
    x, error = x[1:].double(), error[1:].double()
    variance = (x - x.mean(0)).square().sum()
    return float((error * x.square().sum(-1)).sum() / variance) if variance > 0 else None


def try_feature(model: MFNModel, text: str, layer: int, feature: int) -> tuple[list[int], list[float]]:
    """One feature's value on every token of a text."""
    import torch

    ids = token_ids(model, text)
    with torch.inference_mode():
        return ids, model.codes(ids)[layer].value_of(feature).tolist()

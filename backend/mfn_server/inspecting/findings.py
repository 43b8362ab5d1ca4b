"""What the model's features do on a text, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenFit:
    """How well a code says one token's stream, in shares of its squared length |x|²; see `mfn_core.reading.explain`.

    Attributes:
        explained: ⟨x, x̂⟩ / |x|², of all features and what is fixed together.
        fixed: ⟨x, b⟩ / |x|², of the layer's constant and its token lookup.
        error: |x − x̂|² / |x|².
    """

    explained: float
    fixed: float
    error: float


@dataclass(frozen=True)
class LayerFindings:
    """One layer on a text of T tokens.

    Attributes:
        layer: block number.
        fvu: fraction of variance unexplained over the text, its first position left out; None for one without any.
        error_kept: the share of the error that the model goes on with.
        firing: for each token (feature, value, share of |x|² that it explains), furthest from 0 first.
        fits: for each token; None where a layer does not rebuild the stream, and then shares are None, too.
    """

    layer: int
    fvu: float | None
    error_kept: float
    firing: list[list[tuple[int, float, float | None]]]
    fits: list[TokenFit] | None


@dataclass(frozen=True)
class TextFindings:
    """A text as the model reads it, and its layers."""

    ids: list[int]
    layers: list[LayerFindings]

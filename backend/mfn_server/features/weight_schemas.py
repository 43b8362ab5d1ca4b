"""What the weights say of a feature, as the feature page has it."""

from __future__ import annotations

from pydantic import Field

from mfn_server.db.tables import Origin
from mfn_server.schemas import Schema, TokenShare


class LinkedFeature(Schema):
    """Another feature, with the figure that puts it on this list."""

    source: str
    layer: int
    index: int
    value: float = Field(description="Cosine of what the two write, or the virtual weight between them.")
    label: str | None
    label_origin: Origin | None
    top_tokens: list[TokenShare]


class LogitShape(Schema):
    """How the feature's direction moves the logits of the whole vocabulary, by the direct lens."""

    std: float = Field(description="Standard deviation. Their mean is 0.")
    skewness: float | None = Field(description="Null where the direction moves no logit, as is the next.")
    kurtosis: float | None = Field(description="Excess kurtosis: 0 for a normal distribution.")
    edges: list[float] = Field(description="Of the bins, in standard deviations; one more than `counts`.")
    counts: list[int] = Field(description="Tokens in each bin; the first and the last take in all that lies outside.")


class Reached(Schema):
    """The strongest connections of the feature to those of another layer, by the direct path."""

    layer: int
    positive: list[LinkedFeature] = Field(description="Largest virtual weight first.")
    negative: list[LinkedFeature] = Field(description="Smallest first.")


class Place(Schema):
    """Where the feature lies on the map."""

    pca: tuple[float, float]
    umap: tuple[float, float] | None


class WeightFacts(Schema):
    """What the weights alone say, beside the tokens and the neighbours of the page."""

    logits: LogitShape
    agreement: float | None = Field(
        description="Cosine of what the feature reads and what it writes; null where it reads by no direction."
    )
    opposite: list[LinkedFeature] | None = Field(description="Lowest cosines in the layer. Null where left out.")
    nearest_elsewhere: list[LinkedFeature] | None = Field(description="Highest cosines among all other layers.")
    opposite_elsewhere: list[LinkedFeature] | None = Field(description="Lowest cosines among all other layers.")
    upstream: Reached | None = Field(description="What writes to it from the layer before. Null without a direct path.")
    downstream: Reached | None = Field(description="What it writes to in the next layer. Null without a direct path.")
    place: Place | None
    left_out: list[str] = Field(description="A sentence for each part that would have cost too much to compute.")

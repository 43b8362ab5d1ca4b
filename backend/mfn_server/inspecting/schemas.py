"""Bodies of the inspection routes."""

from __future__ import annotations

from pydantic import Field

from mfn_server.db.tables import Origin
from mfn_server.features.schemas import ORIGIN
from mfn_server.schemas import Schema, Text, Token

LONGEST_TEXT = 100_000  # characters; the model's context is the real limit, this one spares the tokenizer


class InspectRequest(Schema):
    """A text to look into."""

    text: Text = Field(min_length=1, max_length=LONGEST_TEXT)
    top: int = Field(default=5, ge=1, le=64, description="How many features to give for each token and layer.")


class FiringFeature(Schema):
    """A feature that fires on a token."""

    index: int
    value: float
    share: float = Field(description="Its share of the code's squared length on this token.")
    label: str | None
    label_origin: Origin | None = Field(description=ORIGIN)
    top_tokens: list[str]


class InspectedLayer(Schema):
    """One layer's features on each token, strongest first."""

    source: str
    layer: int
    fvu: float | None = Field(
        description="Share of the stream's variance over this text that the code leaves unexplained; without the first "
        "position. Null where the text is too short to have any."
    )
    positions: list[list[FiringFeature]]


class Inspection(Schema):
    """Which features fire where in a text."""

    tokens: list[Token]
    layers: list[InspectedLayer]


class ActivationsRequest(Schema):
    """A text to try one feature on."""

    text: Text = Field(min_length=1, max_length=LONGEST_TEXT)


class Activations(Schema):
    """One feature's value on each token of a text, 0 where it is silent."""

    tokens: list[Token]
    values: list[float]

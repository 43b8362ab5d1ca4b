"""Bodies of the inspection routes."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from mfn_server.db.tables import Origin
from mfn_server.features.schemas import ORIGIN
from mfn_server.schemas import Schema, Text, Token

LONGEST_TEXT = 100_000  # characters; the model's context is the real limit, this one spares the tokenizer
MOST_TEXTS = 64
MOST_ENTRIES = 100_000
"""Most tokens × layers × features of one batch: an answer of some 15 MB, and a second to write it."""

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

TOP = Field(default=5, ge=1, le=64, description="How many features to give for each token and layer.")


class InspectRequest(Schema):
    """A text to look into."""

    text: Text = Field(min_length=1, max_length=LONGEST_TEXT)
    top: int = TOP


class InspectBatchRequest(Schema):
    """Texts to look into."""

    texts: list[Annotated[Text, Field(min_length=1, max_length=LONGEST_TEXT)]] = Field(
        min_length=1, max_length=MOST_TEXTS
    )
    top: int = TOP


# Of these an answer holds thousands: as dictionaries they take a third of the time that models would.
@with_config(_STRICT)
class FiringFeature(TypedDict):
    """A feature that fires on a token."""

    index: int
    value: float
    share: Annotated[
        float | None,
        Field(
            description="How much of the residual x it explains: ⟨x, z D⟩ / |x|², in the layer's normalised units. "
            "Below 0 where it points against x. Null where the layer does not rebuild the stream."
        ),
    ]
    label: str | None
    label_origin: Annotated[Origin | None, Field(description=ORIGIN)]
    top_tokens: list[str]


@with_config(_STRICT)
class Fit(TypedDict):
    """How well a layer's code says one token's residual x, in shares of |x|², in the layer's normalised units."""

    explained: Annotated[float, Field(description="⟨x, x̂⟩ / |x|²: the shares of all features that fire, and `fixed`.")]
    fixed: Annotated[
        float, Field(description="The part that does not depend on features: the layer's constant and token lookup.")
    ]
    error: Annotated[float, Field(description="|x − x̂|² / |x|², what the reconstruction x̂ misses.")]


class InspectedLayer(Schema):
    """One layer's features on each token, furthest from 0 first."""

    source: str
    layer: int
    fvu: float | None = Field(
        description="Share of the stream's variance over this text that the code leaves unexplained; without the first "
        "position. Null where the text is too short to have any."
    )
    error_kept: float = Field(
        description="Share of the error that the model goes on with: 0 where the code replaces the stream, 1 − α where "
        "it is blended in, 1 where it only reads, as an SAE does."
    )
    positions: list[list[FiringFeature]]
    fits: list[Fit] | None = Field(description="One a token; null where the layer does not rebuild the stream.")


class Inspection(Schema):
    """Which features fire where in a text."""

    tokens: list[Token]
    layers: list[InspectedLayer]


class InspectionBatch(Schema):
    """The texts of the request, in its order."""

    texts: list[Inspection]


class ActivationsRequest(Schema):
    """A text to try one feature on."""

    text: Text = Field(min_length=1, max_length=LONGEST_TEXT)


class Activations(Schema):
    """One feature's value on each token of a text, 0 where it is silent."""

    tokens: list[Token]
    values: list[float]

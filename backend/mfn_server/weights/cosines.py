"""How alike a few features write, whichever layers they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.model_facts import SourceFacts
from mfn_server.schemas import Schema
from mfn_server.studio import StudioDep

if TYPE_CHECKING:
    from mfn_core.model import MFNModel

router = APIRouter(prefix="/api/cosines", tags=["features"], responses=ERROR_RESPONSES)

FEWEST, MOST = 2, 16
_DECIMALS = 4


class NamedFeature(Schema):
    """A feature."""

    source: str
    index: int


class Cosines(Schema):
    """Cosines of what features write to the stream. Row and column i are of `features[i]`."""

    features: list[NamedFeature]
    cosines: list[list[float]] = Field(description="1 on the diagonal; 0 with a direction of length 0.")


Asked = Annotated[
    list[str], Query(alias="f", min_length=FEWEST, max_length=MOST, description="`SOURCE:INDEX` of each.")
]


@router.get("")
async def get_cosines(studio: StudioDep, asked: Asked) -> Cosines:
    """Cosines between the directions that a few features write, of any layers."""
    served = await studio.served()
    features = [_feature(text, number, served.facts.sources) for number, text in enumerate(asked)]
    found = await studio.worker.run(_between, [(source.layer, index) for source, index in features])
    return Cosines(
        features=[NamedFeature(source=source.key, index=index) for source, index in features],
        cosines=[[round(value, _DECIMALS) + 0.0 for value in row] for row in found],
    )


def _feature(text: str, number: int, sources: Sequence[SourceFacts]) -> tuple[SourceFacts, int]:
    key, _, digits = text.rpartition(":")
    source = next((source for source in sources if source.key == key), None)
    if source is None:
        hint = f"write SOURCE:INDEX; the sources: {', '.join(source.key for source in sources)}"
        raise APIError(404, "unknown_source", f"{text!r} names no source of this model", hint=hint, field=f"f.{number}")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and int(digits) < source.n_features):
        hint = f"its features are 0 to {source.n_features - 1}"
        raise APIError(404, "unknown_feature", f"{key} has no feature {digits!r}", hint=hint, field=f"f.{number}")
    return source, int(digits)


def _between(model: MFNModel, features: Sequence[tuple[int, int]]) -> list[list[float]]:
    from mfn_core.directions import cosines_between  # torch comes with it

    return cosines_between(model, features)

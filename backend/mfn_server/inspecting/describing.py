"""What was found in texts, with the features' names: labels and the tokens they fire on, from the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Row, select

from mfn_server.db.tables import Feature, FeatureDetail, Label, Origin, Source
from mfn_server.db.varints import split_rows
from mfn_server.inspecting.schemas import FiringFeature, Fit, InspectedLayer, Inspection
from mfn_server.schemas import Token
from mfn_server.studio import Served

if TYPE_CHECKING:
    from mfn_server.inspecting.inspection import LayerFindings, TextFindings, TokenFit

_TOP_TOKENS = 3
_AT_ONCE = 5_000  # features named in one statement; SQLite allows some 32,000 parameters
_DECIMALS = 4  # of values
_SHARE_DECIMALS = 6


class _Name(NamedTuple):
    """What a feature is called: its label, who wrote that, and the tokens it fires on most."""

    label: str | None
    label_origin: Origin | None
    top_tokens: list[str]


def describe(connection: Connection, served: Served, found: Sequence[TextFindings]) -> list[Inspection]:
    """The answer for each text. The features of a layer are looked up once, in however many texts they fire."""
    names = []
    for place, source in enumerate(served.facts.sources):
        numbers = {number for text in found for firing in text.layers[place].firing for number, _, _ in firing}
        names.append(_names(connection, served, source.key, numbers))
    return [_inspection(served, text, names) for text in found]


def tokens(ids: Sequence[int], served: Served) -> list[Token]:
    """Token ids with the texts they are shown as."""
    return [Token(id=number, text=served.token_texts[number]) for number in ids]


def _inspection(served: Served, text: TextFindings, names: Sequence[dict[int, _Name]]) -> Inspection:
    layers = [
        _layer(source.key, found, known)
        for source, found, known in zip(served.facts.sources, text.layers, names, strict=True)
    ]
    return Inspection(tokens=tokens(text.ids, served), layers=layers)


def _layer(key: str, found: LayerFindings, names: dict[int, _Name]) -> InspectedLayer:
    return InspectedLayer(
        source=key,
        layer=found.layer,
        fvu=found.fvu,
        error_kept=found.error_kept,
        positions=[[_firing(*entry, names) for entry in firing] for firing in found.firing],
        fits=None if found.fits is None else [_fit(fit) for fit in found.fits],
    )


def _firing(number: int, value: float, share: float | None, names: dict[int, _Name]) -> FiringFeature:
    label, origin, top_tokens = names[number]
    return {
        "index": number,
        "value": round(value, _DECIMALS),
        "share": None if share is None else _share(share),
        "label": label,
        "label_origin": origin,
        "top_tokens": top_tokens,
    }


def _fit(fit: TokenFit) -> Fit:
    return {"explained": _share(fit.explained), "fixed": _share(fit.fixed), "error": _share(fit.error)}


def _share(share: float) -> float:
    return round(share, _SHARE_DECIMALS)


def _names(connection: Connection, served: Served, key: str, numbers: Iterable[int]) -> dict[int, _Name]:
    """What a source's features are called."""
    wanted = sorted(numbers)
    labels: dict[int, Row[Any]] = {}
    fires_on: dict[int, list[str]] = {number: [] for number in wanted}
    for begin in range(0, len(wanted), _AT_ONCE):
        part = wanted[begin : begin + _AT_ONCE]
        labelled = (
            select(Label.number, Label.text, Label.origin)
            .join(Source, Source.id == Label.source_id)
            .where(Source.model_id == served.model_id, Source.key == key, Label.number.in_(part), Label.is_primary)
        )
        labels.update({row.number: row for row in connection.execute(labelled)})
        fired_on = (
            select(Feature.number, FeatureDetail.token_ids)
            .join(FeatureDetail, FeatureDetail.feature_id == Feature.id)
            .join(Source, (Source.id == Feature.source_id) & (Source.current_run_id == Feature.run_id))
            .where(Source.model_id == served.model_id, Source.key == key, Feature.number.in_(part))
        )
        rows = connection.execute(fired_on).all()
        for row, ids in zip(rows, split_rows([row.token_ids for row in rows]), strict=True):
            fires_on[row.number] = [served.token_texts[number] for number in ids[:_TOP_TOKENS]]
    named = {number: (row.text, row.origin) for number, row in labels.items()}
    return {number: _Name(*named.get(number, (None, None)), fires_on[number]) for number in wanted}

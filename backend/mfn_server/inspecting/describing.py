"""What was found in texts, with the features' names: labels, and the tokens they fire on most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.db.tables import Label, Origin, Source
from mfn_server.features.calling import called
from mfn_server.features.catalogue import Catalogue
from mfn_server.inspecting.schemas import FiringFeature, Fit, InspectedLayer, Inspection
from mfn_server.schemas import Token
from mfn_server.studio import Served

if TYPE_CHECKING:
    from mfn_server.inspecting.findings import LayerFindings, TextFindings, TokenFit

_AT_ONCE = 5_000  # features named in one statement; SQLite allows some 32,000 parameters
_DECIMALS = 4  # of values
_SHARE_DECIMALS = 6


class _Name(NamedTuple):
    """What a feature is called: its label, who wrote that, and the tokens it fires on most."""

    label: str | None
    label_origin: Origin | None
    top_tokens: list[str]


def describe(
    connection: Connection,
    catalogue: Catalogue | None,
    served: Served,
    found: Sequence[TextFindings],
    hidden: Hidden,
) -> list[Inspection]:
    """The answer for each text. The features of a layer are looked up once, in however many texts they fire.

    Args:
        connection: to the database.
        catalogue: of what is shown; None where that cannot be read, and then no tokens are given.
        served: the model.
        found: of each text.
        hidden: what is hidden from whoever asks; the catalogue is without it.
    """
    names = []
    for number, source in enumerate(served.facts.sources):
        wanted = sorted({entry[0] for text in found for firing in text.layers[number].firing for entry in firing})
        place = None if catalogue is None else catalogue.columns.place_of(source.key)
        if catalogue is not None and place is not None:
            said = called(catalogue, [place.begin + feature for feature in wanted], served.token_texts)
            names.append({feature: _name(**fields) for feature, fields in zip(wanted, said, strict=True)})
        else:
            names.append(_labels(connection, served, source.key, wanted, hidden))
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


def _name(label: str | None, label_origin: Origin | None, top_tokens: list[dict[str, Any]]) -> _Name:
    return _Name(label, label_origin, [token["text"] for token in top_tokens])


def _labels(
    connection: Connection, served: Served, key: str, numbers: Sequence[int], hidden: Hidden
) -> dict[int, _Name]:
    """What the features of a source without an index are called: labels outlive indexes."""
    names = dict.fromkeys(numbers, _Name(None, None, []))
    for begin in range(0, len(numbers), _AT_ONCE):
        labelled = (
            select(Label.source_id, Label.number, Label.text, Label.origin)
            .join(Source, Source.id == Label.source_id)
            .where(Source.model_id == served.model_id, Source.key == key, Label.is_primary)
            .where(Label.number.in_(numbers[begin : begin + _AT_ONCE]))
        )
        names |= {
            row.number: _Name(row.text, Origin(row.origin), [])
            for row in connection.execute(labelled)
            if (row.source_id, row.number) not in hidden.places
        }
    return names

"""All that the weights say of a model's features, in one call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mfn_core.directions import centred_lens, written
from mfn_core.indexing.from_weights.agreement import agreement
from mfn_core.indexing.from_weights.connections import connections, next_layer
from mfn_core.indexing.from_weights.layout import lay_out
from mfn_core.indexing.from_weights.logits import logit_facts
from mfn_core.indexing.from_weights.neighbours import neighbours
from mfn_core.indexing.from_weights.types import (
    Connections,
    LayerWeights,
    LogitFacts,
    MapPlaces,
    Neighbours,
    Progress,
    WeightSettings,
)
from mfn_core.model import MFNModel


@torch.inference_mode()
def describe_weights(
    model: MFNModel, settings: WeightSettings | None = None, progress: Progress | None = None
) -> dict[int, LayerWeights]:
    """What the weights say of every feature of every equipped layer; no text is read, no forward pass run.

    On the device where the model lies; results are numpy arrays. With N features in all, V tokens and a stream of width
    d it costs N·V·d multiply-adds for the logits, N²·d for neighbours, 2·F_l·F_m·d for each pair of layers that follow
    each other, and what the map costs (`lay_out`). What is quadratic is left out above
    `WeightSettings.most_pairs`. Memory beyond the model and the result is a handful of blocks of 2²² numbers and a
    float32 copy of the unembedding (for codes at `mlp_hidden` also of what they write), so N may be a million: the
    result then takes about a kilobyte a feature at the default settings.

    Args:
        model: with at least one code; if there is none, nothing is returned.
        settings: how much to keep.
        progress: told of `logits`, `neighbours`, `connections` and `map`, in that order.

    Returns:
        By block number, in order.

    Raises:
        ConfigError: a map by UMAP is asked for and umap-learn is not installed.
    """
    settings = settings or WeightSettings()
    directions = {layer: written(model, layer) for layer in sorted(model.coders)}
    part = _Part(progress, directions)
    left_out = _left_out(model, directions, settings)
    logits = _logits(model, directions, settings, part)
    alike = {} if "neighbours" in left_out else _neighbours(directions, settings, part)
    upstream, downstream = ({}, {}) if "connections" in left_out else _connections(model, directions, settings, part)
    places = _places(model, directions, settings, part)
    return {
        layer: LayerWeights(
            layer=layer,
            n_features=len(rows),
            logits=logits[layer],
            neighbours=alike.get(layer),
            agreement=agreement(model.coders[layer]),
            upstream=upstream.get(layer),
            downstream=downstream.get(layer),
            place=places.get(layer),
            left_out=tuple(left_out.values()),
        )
        for layer, rows in directions.items()
    }


@torch.inference_mode()
def draw_map(
    model: MFNModel, settings: WeightSettings | None = None, progress: Progress | None = None
) -> dict[int, MapPlaces]:
    """The map alone, by block number, as `describe_weights` draws it."""
    directions = {layer: written(model, layer) for layer in sorted(model.coders)}
    return _places(model, directions, settings or WeightSettings(), _Part(progress, directions))


def _left_out(model: MFNModel, directions: dict[int, Tensor], settings: WeightSettings) -> dict[str, str]:
    """Parts that compare more pairs of features than they may, each with a sentence that says so."""
    sizes = {layer: len(rows) for layer, rows in directions.items()}
    after = {layer: next_layer(model, layer) for layer in sizes}
    pairs = {
        "neighbours": sum(sizes.values()) ** 2,
        "connections": 2 * sum(sizes[layer] * sizes[other] for layer, other in after.items() if other is not None),
    }
    return {
        name: f"{name} are left out: {count:,} pairs of features would have to be compared, and most_pairs is "
        f"{settings.most_pairs:,}"
        for name, count in pairs.items()
        if count > settings.most_pairs
    }


class _Part:
    """Tells how far a part of the work is, over all layers."""

    def __init__(self, progress: Progress | None, directions: dict[int, Tensor]) -> None:
        self.progress = progress
        self.total = sum(len(rows) for rows in directions.values())

    def after(self, name: str, before: int) -> Callable[[int], None]:
        """What to call with the features done, when `before` were done already."""

        def tell(done: int) -> None:
            if self.progress:
                self.progress(name, before + done, self.total)

        return tell


def _logits(
    model: MFNModel, directions: dict[int, Tensor], settings: WeightSettings, part: _Part
) -> dict[int, LogitFacts]:
    if not directions:
        return {}
    lens, found, done = centred_lens(model), {}, 0
    for layer, rows in directions.items():
        found[layer] = logit_facts(rows, lens, settings, tell=part.after("logits", done))
        done += len(rows)
    return found


def _neighbours(directions: dict[int, Tensor], settings: WeightSettings, part: _Part) -> dict[int, Neighbours]:
    found, done = {}, 0
    for layer, rows in directions.items():
        found[layer] = neighbours(directions, layer, settings, tell=part.after("neighbours", done))
        done += len(rows)
    return found


def _connections(
    model: MFNModel, directions: dict[int, Tensor], settings: WeightSettings, part: _Part
) -> tuple[dict[int, Connections], dict[int, Connections]]:
    """Upstream and downstream, by layer."""
    up, down, done = {}, {}, 0
    for layer, rows in directions.items():
        pair = connections(model, layer, settings.n_connections, tell=part.after("connections", done))
        if pair is not None:
            down[layer], up[pair[0].layer] = pair
        done += len(rows)
        part.after("connections", done)(0)
    return up, down


def _places(
    model: MFNModel, directions: dict[int, Tensor], settings: WeightSettings, part: _Part
) -> dict[int, MapPlaces]:
    """A map for each site that has codes."""
    found: dict[int, MapPlaces] = {}
    if settings.map is None:
        return found
    for site in dict.fromkeys(model.coders[layer].config.site for layer in directions):
        here = {layer: rows for layer, rows in directions.items() if model.coders[layer].config.site == site}
        found |= lay_out(here, settings, tell=part.after("map", sum(len(directions[layer]) for layer in found)))
    return found

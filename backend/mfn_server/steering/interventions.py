"""Between the API's interventions, which name sources, and the engine's, which name layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mfn_server.errors import APIError
from mfn_server.intervention_bodies import ConditionBody, InterventionBody, RampBody, ScopeBody
from mfn_server.model_facts import SourceFacts

if TYPE_CHECKING:
    from mfn_core.interventions import Intervention
    from mfn_server.steering.schemas import WatchBody


def intervention_of(
    body: InterventionBody, sources: Mapping[str, SourceFacts], context: int, said: str, where: str
) -> Intervention:
    """One intervention as the engine takes it.

    Args:
        body: as it came.
        sources: those of the model, by key.
        context: how many tokens a text can have.
        said: what a message calls it.
        where: the field that it came in.

    Raises:
        APIError: 422, it names a source or a feature that is not there, a value that its feature cannot take, a
            condition that a later layer would have to answer, or a range behind the end of every text.
    """
    source = _source(body.source, sources, said, f"{where}.source")
    _check_feature(source, body.index, said, f"{where}.index")
    if body.mode in ("set", "scale") and not source.signed:
        for name, value in body.values:
            if value < 0:
                raise APIError(
                    422,
                    "invalid_intervention",
                    f"{said}: {body.mode} takes a value of at least 0, since a feature of {source.key} cannot fire "
                    f"below 0; not {value}",
                    field=f"{where}.{name}",
                )
    if body.scope.start is not None and body.scope.start >= context:
        raise APIError(
            422,
            "scope_out_of_range",
            f"{said}: its scope begins at token {body.scope.start}",
            hint=f"texts of this model end at token {context - 1}",
            field=f"{where}.scope.start",
        )
    if body.asks is not None:
        _check_condition(body.asks, source, sources, said, f"{where}.condition")
    return turned(body, {key: known.layer for key, known in sources.items()})


def turned(body: InterventionBody, layers: Mapping[str, int]) -> Intervention:
    """One intervention for `mfn_core`, whose sources are known to be there. Imports torch.

    Args:
        body: as it came, or was kept.
        layers: block by source.

    Raises:
        KeyError: on a source that is not there.
        InterventionError: on numbers that mean nothing together.
    """
    from mfn_core.interventions import Condition, Intervention, Ramp, Scope

    asks, ramp, scope = body.asks, body.ramp, body.scope
    return Intervention(
        layers[body.source],
        body.index,
        body.mode,
        body.value,
        Scope(scope.kind, scope.start, scope.stop),
        None if asks is None else Condition(asks.index, asks.above, layers[asks.source or body.source]),
        None if ramp is None else Ramp(ramp.start, ramp.steps),
    )


def body_of(one: Intervention, keys: Mapping[int, str]) -> InterventionBody:
    """An intervention of the engine as the API says it. Needs no torch.

    Args:
        one: what the engine has.
        keys: source by layer.
    """
    asks, ramp, scope = one.asks, one.ramp, one.scope
    condition = None
    if asks is not None:
        source = None if asks.layer in (None, one.layer) else keys[asks.layer]
        condition = ConditionBody(index=asks.feature, above=asks.above, source=source)
    return InterventionBody(
        source=keys[one.layer],
        index=one.feature,
        mode=one.mode,
        value=one.value,
        scope=ScopeBody(kind=scope.kind, start=scope.start, stop=scope.stop),
        condition=condition,
        ramp=None if ramp is None else RampBody(start=ramp.start, steps=ramp.steps),
    )


def watch_of(bodies: Sequence[WatchBody], sources: Mapping[str, SourceFacts]) -> tuple[tuple[int, int], ...]:
    """The features to follow, as the engine takes them.

    Raises:
        APIError: 422, one is not there.
    """
    found = []
    for number, body in enumerate(bodies):
        said, where = f"watched feature {number + 1}", f"watch.{number}"
        source = _source(body.source, sources, said, f"{where}.source")
        _check_feature(source, body.index, said, f"{where}.index")
        found.append((source.layer, body.index))
    return tuple(found)


def _check_condition(
    body: ConditionBody, own: SourceFacts, sources: Mapping[str, SourceFacts], said: str, where: str
) -> None:
    source = own if body.source is None else _source(body.source, sources, said, f"{where}.source")
    _check_feature(source, body.index, said, where)
    if source.layer > own.layer:
        raise APIError(
            422,
            "invalid_intervention",
            f"{said}: a condition on {source.key} is not known yet when layer {own.layer} is computed",
            hint="ask a feature of the same layer or of an earlier one",
            field=f"{where}.source",
        )


def _source(key: str, sources: Mapping[str, SourceFacts], said: str, where: str) -> SourceFacts:
    found = sources.get(key)
    if found is None:
        raise APIError(
            422,
            "unknown_source",
            f"{said}: this model has no source {key!r}",
            hint=f"its sources: {', '.join(sources)}",
            field=where,
        )
    return found


def _check_feature(source: SourceFacts, index: int, said: str, where: str) -> None:
    if index >= source.n_features:
        raise APIError(
            422,
            "unknown_feature",
            f"{said}: {source.key} has no feature {index}",
            hint=f"its features: 0 to {source.n_features - 1}",
            field=where,
        )

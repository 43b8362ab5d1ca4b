"""Interventions as their definition reads, one token and one at a time, in plain Python. Slow and obviously right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mfn_core import Condition, Intervention, Scope

Code = dict[int, float]  # the features that fire, with their strengths


def in_scope(scope: Scope, position: int, prompt_length: int) -> bool:
    if scope.kind == "prompt":
        return position < prompt_length
    if scope.kind == "generation":
        new = position - max(prompt_length - 1, 0)
        return new >= (scope.start or 0) and (scope.stop is None or new < scope.stop)
    if scope.kind == "range":
        return position >= (scope.start or 0) and (scope.stop is None or position < scope.stop)
    return True


def value_at(one: Intervention, position: int, prompt_length: int) -> float:
    """What the value is at a position: the whole of it, or as much as its ramp has come to."""
    if one.ramp is None:
        return one.value
    if one.scope.kind == "both":
        begins = max(prompt_length - 1, 0)
    elif one.scope.kind == "generation":
        begins = max(prompt_length - 1, 0) + (one.scope.start or 0)
    else:
        begins = one.scope.start or 0
    gone = position - begins
    if gone <= 0:
        return one.ramp.start
    if gone >= one.ramp.steps:
        return one.value
    return one.ramp.start + gone / one.ramp.steps * (one.value - one.ramp.start)


def holds(one: Intervention, untouched: Mapping[int, Code]) -> bool:
    """Whether its condition does, asked of the untouched codes by layer."""
    condition = one.condition
    if condition is None:
        return True
    if not isinstance(condition, Condition):
        return condition in untouched[one.layer]
    layer = one.layer if condition.layer is None else condition.layer
    return abs(untouched[layer].get(condition.feature, 0.0)) > condition.above


def acts(one: Intervention, untouched: Mapping[int, Code], position: int, prompt_length: int) -> bool:
    return in_scope(one.scope, position, prompt_length) and holds(one, untouched)


def steer(
    untouched: Mapping[int, Code],
    layer: int,
    interventions: Sequence[Intervention],
    position: int,
    prompt_length: int,
    signed: bool,
) -> Code:
    """The code of one token and layer after the interventions on that layer, without features that do not fire."""
    code = dict(untouched[layer])
    for one in interventions:
        if one.layer != layer or not acts(one, untouched, position, prompt_length):
            continue
        strength, value = code.get(one.feature, 0.0), value_at(one, position, prompt_length)
        if one.mode == "set":
            strength = value
        elif one.mode == "add":
            strength = strength + value
        elif one.mode == "scale":
            strength = strength * value
        else:
            strength = 0.0
        code[one.feature] = strength if signed else max(strength, 0.0)
    return {feature: strength for feature, strength in code.items() if strength != 0.0}

"""Interventions as their definition reads, one token and one at a time, in plain Python. Slow and obviously right."""

from __future__ import annotations

from collections.abc import Sequence

from mfn_core import Intervention, Scope

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


def acts(one: Intervention, untouched: Code, position: int, prompt_length: int) -> bool:
    return in_scope(one.scope, position, prompt_length) and (one.condition is None or one.condition in untouched)


def steer(code: Code, interventions: Sequence[Intervention], position: int, prompt_length: int, signed: bool) -> Code:
    """The code of one token after its interventions, without features that do not fire."""
    untouched, code = code, dict(code)
    for one in interventions:
        if not acts(one, untouched, position, prompt_length):
            continue
        strength = code.get(one.feature, 0.0)
        if one.mode == "set":
            strength = one.value
        elif one.mode == "add":
            strength = strength + one.value
        elif one.mode == "scale":
            strength = strength * one.value
        else:
            strength = 0.0
        code[one.feature] = strength if signed else max(strength, 0.0)
    return {feature: strength for feature, strength in code.items() if strength != 0.0}

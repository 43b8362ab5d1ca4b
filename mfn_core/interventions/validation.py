"""Whether interventions fit a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mfn_core.errors import InterventionError
from mfn_core.interventions.intervention import Intervention


def validate(
    interventions: Sequence[Intervention], n_features: Mapping[int, int], signed: Collection[int] = ()
) -> None:
    """Checks that what the interventions name exists and can take their values.

    Args:
        interventions: in the order in which they act.
        n_features: number of features by equipped block.
        signed: the blocks whose codes may be negative.

    Raises:
        InterventionError: on an unknown layer, feature or condition, on a condition that a later layer would have to
            answer, and on a value below 0 for `set` or `scale` where features cannot fire below 0.
    """
    for number, intervention in enumerate(interventions, start=1):
        where = f"intervention {number}"
        layer, mode = intervention.layer, intervention.mode
        _check_exists(where, "feature", layer, intervention.feature, n_features)
        condition = intervention.asks
        if condition is not None:
            assert condition.layer is not None, "named by `asks`"
            _check_exists(where, "condition", condition.layer, condition.feature, n_features)
            if condition.layer > layer:
                raise InterventionError(
                    f"{where}: a condition on layer {condition.layer} is not known yet when layer {layer} is computed"
                )
        if mode in ("set", "scale") and layer not in signed:
            for value in intervention.values:
                if value < 0:
                    raise InterventionError(
                        f"{where}: {mode} takes a value of at least 0, since a feature of layer {layer} cannot fire "
                        f"below 0; not {value}"
                    )


def _check_exists(where: str, name: str, layer: int, feature: int, n_features: Mapping[int, int]) -> None:
    if layer not in n_features:
        known = ", ".join(map(str, sorted(n_features))) or "none"
        raise InterventionError(f"{where}: block {layer} has no features; equipped blocks: {known}")
    if not 0 <= feature < n_features[layer]:
        raise InterventionError(
            f"{where}: {name} {feature} does not exist; layer {layer} has features 0 to {n_features[layer] - 1}"
        )

"""How far two codes of the same tokens differ."""

from __future__ import annotations

from torch import Tensor

from mfn_core.codes import SparseCodes


def squared_distance(first: SparseCodes, second: SparseCodes) -> Tensor:
    """Σ‖z − z̃‖² over all tokens, of codes [N, K] and [N, K'] of one dictionary; a scalar with gradient to both values.

    ‖z − z̃‖² = ‖z‖² + ‖z̃‖² − 2 z·z̃, and z·z̃ from the features that both have: never [N, F]. Rounding may leave a little
    below 0.
    """
    same = first.indices[:, :, None] == second.indices[:, None, :]
    shared = (same * first.values[:, :, None]).sum(1)
    return first.values.square().sum() + second.values.square().sum() - 2.0 * (shared * second.values).sum()

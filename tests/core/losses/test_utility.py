"""The utility loss."""

from __future__ import annotations

import torch

from mfn_core.losses import Utility


def test_utility_is_cross_entropy_and_leaves_out_what_is_marked() -> None:
    logits, targets = torch.randn(2, 5, 9, dtype=torch.float64), torch.randint(9, (2, 5))
    expected = -logits.log_softmax(-1).gather(-1, targets[..., None]).mean()
    torch.testing.assert_close(Utility()(logits, targets), expected)
    targets[0] = -100
    torch.testing.assert_close(Utility()(logits, targets), Utility()(logits[1:], targets[1:]))

"""Sparse codes against the dense vectors they stand for."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mfn_core.codes import SparseCodes, top_k


def codes() -> SparseCodes:
    """Two rows of three tokens, with padding: a stored 0 names a feature that means nothing."""
    indices = torch.tensor([[[4, 1, 0], [2, 3, 0], [0, 0, 0]], [[1, 2, 3], [4, 0, 0], [3, 1, 2]]])
    values = torch.tensor(
        [[[2.0, 0.5, 1.0], [3.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 2.0, 3.0], [4.0, 0.0, 0.0], [0.5, 0.0, 0.0]]]
    )
    return SparseCodes(indices, values, n_features=5)


def test_what_a_code_says_of_itself() -> None:
    code = codes()
    assert (code.width, code.n_tokens) == (3, 6)
    assert code.l0().tolist() == [[3, 2, 0], [3, 1, 1]]
    assert code.value_of(1).tolist() == [[0.5, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert code.value_of(0).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert code.dense()[0].tolist() == [[1, 0.5, 0, 0, 2], [0, 0, 3, 1, 0], [0, 0, 0, 0, 0]]


def test_flattening_keeps_the_order_of_tokens() -> None:
    flat = codes().flatten()
    assert flat.indices.shape == (6, 3)
    assert torch.equal(flat.dense(), codes().dense().flatten(0, 1))


def test_decoding_is_the_dense_product_whatever_the_leading_dimensions() -> None:
    code, directions = codes(), torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    for some in (code, code.flatten(), SparseCodes(code.indices[None], code.values[None], 5)):
        torch.testing.assert_close(some.decode(directions), some.dense() @ directions)


def test_decoding_has_the_precision_of_the_directions() -> None:
    directions = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert codes().decode(directions).dtype == torch.float64


def test_detached_codes_have_no_gradient() -> None:
    code = codes()
    code.values.requires_grad_()
    assert not code.detach().values.requires_grad
    assert code.detach().indices is code.indices


@pytest.mark.parametrize(("tokens", "n_features", "k"), [(6, 40, 5), (64, 4096, 8)])
def test_top_k_keeps_the_largest_and_silences_the_negative(tokens: int, n_features: int, k: int) -> None:
    pre = torch.randn(2, tokens // 2, n_features, generator=torch.Generator().manual_seed(0))
    pre[0, 0] = -pre[0, 0].abs()
    pre[0, 1] = -pre[0, 1].abs()
    pre[0, 1, 3] = 2.0
    found = top_k(pre, k)
    kth = pre.sort(-1, descending=True).values[..., k - 1 : k]
    assert torch.equal(found.dense(), torch.where(pre >= kth, F.relu(pre), 0.0))
    assert found.l0()[0, :2].tolist() == [0, 1]
    assert found.n_features == n_features


def test_top_k_sends_its_gradient_to_the_chosen_entries_that_are_positive() -> None:
    pre = torch.tensor([[3.0, -1.0, 2.0, -2.0, 1.0], [-5.0, -1.0, -2.0, 0.5, -3.0]], requires_grad=True)
    top_k(pre, 2).values.sum().backward()
    assert pre.grad is not None
    assert pre.grad.tolist() == [[1, 0, 1, 0, 0], [0, 0, 0, 1, 0]]


def test_codes_refuse_values_that_do_not_match_their_indices() -> None:
    with pytest.raises(ValueError, match="differ"):
        SparseCodes(torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 4), 5)

"""For each row of one matrix, the largest and the smallest products with the rows of another: in blocks, exactly.

The products of F₁ with F₂ rows are never held: a block of at most `CHUNK` of them is made, the best of each row are
kept, and the block is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 1 << 22  # entries of one block of products: 16 MiB in float32. Larger ones are no faster, and leave the cache
_FEWEST_IN_A_GROUP = 4  # with fewer columns in a group, nothing is gained by groups
SPARE = 8  # products beyond the n that are asked for, to be weighed once more in float64


def unchanged(x: Tensor) -> Tensor:
    """x."""
    return x


@dataclass(frozen=True)
class Rows:
    """The rows of some matrices, numbered through, each made ready when its turn comes, so that no copy is held.

    Attributes:
        parts: [F_i, d] each, on one device.
        ready: what a row goes through before it is multiplied; acts on the last dimension.
    """

    parts: Sequence[Tensor]
    ready: Callable[[Tensor], Tensor] = unchanged

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def blocks(self, size: int) -> Iterator[tuple[int, Tensor]]:
        """The number of a block's first row, and the block: float32 [at most size, d]."""
        first = 0
        for part in self.parts:
            for block in torch.split(part, size):
                yield first, self.ready(block.float())
                first += len(block)

    def at(self, numbers: Tensor) -> Tensor:
        """float64 [..., d]: the rows with these numbers [...]."""
        found = self.parts[0].new_empty((*numbers.shape, self.parts[0].shape[1]), dtype=torch.float64)
        first = 0
        for part in self.parts:
            here = (numbers >= first) & (numbers < first + len(part))
            found[here] = part[numbers[here] - first].double()
            first += len(part)
        return self.ready(found)


class Ranked(NamedTuple):
    """For each of R rows, n numbers of rows and the products with them. int64 and float32 [R, n]."""

    numbers: NDArray[np.int64]
    products: NDArray[np.float32]


class Extremes(NamedTuple):
    """The largest products, largest first, and the smallest, smallest first; equal ones by number."""

    largest: Ranked
    smallest: Ranked


def extremes(
    rows: Rows,
    columns: Rows,
    n_largest: int,
    n_smallest: int,
    without: Tensor | None = None,
    chunk: int = CHUNK,
    tell: Callable[[int], None] | None = None,
) -> Extremes:
    """The largest and the smallest products of each row of `rows` with the rows of `columns`.

    Candidates are found by float32 matmuls, n and `SPARE` more; of these the products are computed once more, in
    float64, and ranked by that, equal ones by number. So equal rows have equal products whatever kernel made the
    block, and the result depends neither on the device nor on the cut into blocks, as long as no more than `SPARE`
    others lie within float32 rounding of the n-th.

    Costs R·C·d multiply-adds, and a pass over R·C numbers for each side; the rest is small. Memory beyond the
    arguments and the result: some five blocks.

    Args:
        rows: [R, d].
        columns: [C, d].
        n_largest, n_smallest: how many; all that there are where they are fewer.
        without: int64 [R], one column for each row to leave out of its list: itself, where the columns hold it.
        chunk: entries of one block.
        tell: called with the number of rows that are done, after each stripe of blocks.
    """
    available = len(columns) - (without is not None)
    sides = [(sign, min(n, available)) for sign, n in ((1, n_largest), (-1, n_smallest))]
    if not any(n for _, n in sides):
        if tell:
            tell(len(rows))
        nobody = Ranked(np.zeros((len(rows), 0), np.int64), np.zeros((len(rows), 0), np.float32))
        return Extremes(nobody, nobody)
    stripe = max(1, min(len(rows), max(isqrt(chunk), chunk // max(1, len(columns)))))
    width = max(1, chunk // stripe)
    found: list[list[tuple[Tensor, Tensor]]] = [[], []]
    for first_row, block in rows.blocks(stripe):
        numbers_of_block = torch.arange(first_row, first_row + len(block), device=block.device)
        own = None if without is None else without[first_row : first_row + len(block)].to(block.device)
        best = [(block.new_empty(len(block), 0), numbers_of_block.new_empty(len(block), 0)) for _ in sides]
        for first_column, other in columns.blocks(width):
            products = block @ other.t()
            for side, (sign, n) in enumerate(sides):
                if n == 0:
                    continue
                scores = products if sign > 0 else products.neg_()
                if own is not None:
                    inside = (own >= first_column) & (own < first_column + len(other))
                    scores[inside, own[inside] - first_column] = -torch.inf
                values, numbers = largest(scores, min(n + SPARE, available))
                # Columns come in order, so where values are equal a stable sort keeps the smaller number in front.
                values = torch.cat([best[side][0], values], dim=-1)
                numbers = torch.cat([best[side][1], numbers + first_column], dim=-1)
                values, order = values.sort(dim=-1, descending=True, stable=True)
                best[side] = (values[:, : n + SPARE], numbers.gather(-1, order)[:, : n + SPARE])
        for side, (sign, n) in enumerate(sides):
            # Behind all others, at −∞, stands the row itself, where there was nothing else to put there.
            candidates = best[side][1][:, :available]
            found[side].append(_reweighed(rows.at(numbers_of_block), columns, candidates, sign, n, chunk))
        if tell:
            tell(first_row + len(block))
    return Extremes(*(_joined(parts) for parts in found))


def largest(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n largest of each row, largest first, and where they stand; equal ones by place, which topk leaves open.

    Args:
        scores: [R, C].
        n: all, where there are fewer columns.

    Returns:
        Values and int64 places, [R, min(n, C)].
    """
    n = min(n, scores.shape[1])
    values, places = _top(scores, min(n + 1, scores.shape[1]))
    if 0 < n < scores.shape[1]:
        split = (values[:, n - 1] == values[:, n]).nonzero().squeeze(-1)  # rows whose cut goes through equal scores
        values, places = values[:, :n].clone(), places[:, :n].clone()
        if len(split):
            ordered, order = scores[split].sort(dim=-1, descending=True, stable=True)
            values[split], places[split] = ordered[:, :n], order[:, :n]
    return _ranked(values[:, :n], places[:, :n])


def _top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`scores.topk(k)`, by way of the largest of each of some groups of columns, which is quick to find.

    The k largest lie in the k groups whose largest are the largest: whatever lies in another group has the largest of
    each of these k before it. So only k groups of about √(C / k) columns are looked at one by one.
    """
    n_columns = scores.shape[1]
    size = isqrt(n_columns // k) if k else 0
    if size < _FEWEST_IN_A_GROUP:
        return scores.topk(k, dim=-1)
    n_groups = n_columns // size
    grouped = size * n_groups  # column c is of group c modulo n_groups; those that are over are looked at all
    groups = scores[:, :grouped].reshape(-1, size, n_groups).amax(1).topk(k, dim=-1).indices
    starts = torch.arange(0, grouped, n_groups, device=scores.device)
    rest = torch.arange(grouped, n_columns, device=scores.device).expand(len(scores), -1)
    places = torch.cat([(groups[:, None] + starts[:, None]).flatten(1), rest], dim=1)
    values, which = scores.gather(1, places).topk(k, dim=-1)
    return values, places.gather(1, which)


def _reweighed(rows: Tensor, columns: Rows, candidates: Tensor, sign: int, n: int, chunk: int) -> tuple[Tensor, Tensor]:
    """The n best of each row's candidates [R, k] by their products in float64: numbers and products, [R, n]."""
    if n == 0:
        return candidates[:, :0], candidates[:, :0].double()
    parts = []
    step = max(1, chunk // (2 * candidates.shape[1] * rows.shape[1]))  # gathered rows are as large as a block
    for some, numbers in zip(torch.split(rows, step), torch.split(candidates, step), strict=True):
        products = (some[:, None] * columns.at(numbers)).sum(-1)
        values, numbers = _ranked(sign * products, numbers)
        parts.append((numbers[:, :n], sign * values[:, :n]))
    return _stacked(parts)


def _stacked(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    numbers, products = (torch.cat(column) for column in zip(*parts, strict=True))
    return numbers, products


def _joined(parts: list[tuple[Tensor, Tensor]]) -> Ranked:
    numbers, products = _stacked(parts)
    return Ranked(numbers.cpu().numpy(), products.float().cpu().numpy())


def _ranked(values: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Largest value first, equal ones by place."""
    places, order = places.sort(dim=-1)
    values, by_value = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return values, places.gather(-1, by_value)

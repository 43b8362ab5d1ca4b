"""Stability: a slightly perturbed text is to give the same code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from mfn_core.errors import ConfigError
from mfn_core.losses.shared import quotient
from mfn_core.metrics.stability import squared_distance
from mfn_core.run import LayerTrace
from mfn_core.world import ALONE, World

Kind = Literal["noise", "dropout", "tokens"]


@dataclass(frozen=True)
class Stability:
    """`‖sg(z) − z̃‖² / sg ‖z‖²`, z̃ from a second, perturbed forward pass over some of the sequences."""

    def __call__(
        self, clean: LayerTrace, perturbed: LayerTrace, rows: slice, keep: Tensor, world: World = ALONE
    ) -> Tensor:
        """A scalar.

        Args:
            clean: of the training pass, [B, T].
            perturbed: of the stability pass, [B', T].
            rows: which B' of the B rows those are.
            keep: bool [B', T], the tokens that count; replaced ones do not.
            world: the processes that share the batch.
        """
        assert perturbed.aux is not None
        z, other = clean.raw_codes[rows][keep], perturbed.aux.codes[keep]
        z = z.detach()
        size, distance = z.values.square().sum(), squared_distance(z, other)
        return quotient(distance, size, world)


class Perturbed(NamedTuple):
    """What goes into a perturbed pass.

    Attributes:
        ids: int64 [B', T].
        keep: bool [B', T], tokens that were not replaced.
        embed: what is done to the embeddings, or None.
    """

    ids: Tensor
    keep: Tensor
    embed: Callable[[Tensor], Tensor] | None


@dataclass(frozen=True)
class Perturbation:
    """A small change to a text.

    Every row draws from a generator of its own, seeded by the run's seed, the step and the row's number in the whole
    batch: what happens to a row depends neither on how many processes share the batch nor on what was drawn before.

    Attributes:
        kind: `noise`, Gaussian noise on the token embeddings; `dropout`, channels of the embeddings are left out;
            `tokens`, some tokens are replaced by others out of the same row.
        amount: noise: its size relative to the embedding's root mean square; dropout and tokens: the share.
        seed: of the run.
    """

    kind: Kind = "noise"
    amount: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"a perturbation is one of {', '.join(get_args(Kind))}, not {self.kind!r}")
        most = 1.0 if self.kind != "noise" else 10.0
        if not 0.0 < self.amount < most:
            raise ConfigError(f"the amount of {self.kind} must lie between 0 and {most:g}, not {self.amount}")

    def apply(self, ids: Tensor, step: int, first_row: int) -> Perturbed:
        """Perturbs some rows.

        Args:
            ids: int64 [B', T].
            step: of the run.
            first_row: number of the first of these rows in the whole batch.
        """
        keep = torch.ones_like(ids, dtype=torch.bool)
        if self.kind == "tokens":
            ids, keep = self._replace(ids, step, first_row)
            return Perturbed(ids, keep, None)

        def embed(embeddings: Tensor) -> Tensor:
            parts = [self._draw(embeddings[row], step, first_row + row) for row in range(len(embeddings))]
            return torch.stack(parts)

        return Perturbed(ids, keep, embed)

    def _generator(self, step: int, row: int) -> torch.Generator:
        mixed = (self.seed * 1_000_003 + step) * 1_000_003 + row
        return torch.Generator().manual_seed(mixed % 2**63)

    def _draw(self, embeddings: Tensor, step: int, row: int) -> Tensor:
        """One row [T, d]. Drawn on the CPU, so that every machine draws the same."""
        generator = self._generator(step, row)
        if self.kind == "noise":
            noise = torch.randn(embeddings.shape, generator=generator).to(embeddings)
            size = embeddings.square().mean(-1, keepdim=True).sqrt()
            return embeddings + self.amount * size * noise
        kept = torch.rand(embeddings.shape, generator=generator) >= self.amount
        return embeddings * kept.to(embeddings) / (1.0 - self.amount)

    def _replace(self, ids: Tensor, step: int, first_row: int) -> tuple[Tensor, Tensor]:
        others, keep = [], []
        for row in range(len(ids)):
            generator = self._generator(step, first_row + row)
            stays = torch.rand(ids.shape[1], generator=generator) >= self.amount
            stays[0] = True  # it begins the text
            source = torch.randint(ids.shape[1], (ids.shape[1],), generator=generator)
            stays = stays.to(ids.device)
            others.append(torch.where(stays, ids[row], ids[row][source.to(ids.device)]))
            keep.append(stays)
        return torch.stack(others), torch.stack(keep)

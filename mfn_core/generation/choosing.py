"""Choosing the next token of every row of a batch, each by parameters of its own.

What a row gets depends on its own logits, parameters and past alone: every step below is taken row by row, and leaves a
row that does not ask for it as it was, bit for bit. Twins differ by what steers them and not by chance: they share one
source of noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mfn_core.errors import ConfigError
from mfn_core.generation.sampling import Sampling

TINY = torch.finfo(torch.float32).tiny


class Noise:
    """A request's random numbers. Its rows draw the same ones: all that draw in one step share the draw."""

    def __init__(self, seed: int) -> None:
        """On the CPU, so that every device draws the same."""
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, out: Tensor) -> None:
        """Fills float32 [V] with exponentially distributed numbers above 0."""
        out.exponential_(generator=self._generator).clamp_(min=TINY)  # 0 / 0 would win every race


@dataclass(slots=True)
class _Row:
    """What is chosen for one row, and what it has got so far."""

    sampling: Sampling
    noise: Noise
    bias: dict[int, float]
    counts: Counter[int] = field(default_factory=Counter)


class Chooser:
    """Next tokens for up to R rows. Memory: 3 float32 [R, V], of which two are made when first asked for."""

    def __init__(self, rows: int, vocab_size: int, device: torch.device | str = "cpu") -> None:
        """Room for `rows` rows, none taken. A row that is not taken gets its likeliest token."""
        self._rows: list[_Row | None] = [None] * rows
        self._vocab_size = vocab_size
        self._device = torch.device(device)
        self._draws = torch.ones(rows, vocab_size, pin_memory=self._device.type == "cuda")
        self._shift: Tensor | None = None  # [R, V], what is added to the logits
        self._factor: Tensor | None = None  # [R, V], the repetition penalty, 1 for tokens not met
        self._arrange()

    def check(self, sampling: Sampling) -> None:
        """Raises ConfigError where a bias names a token that the model does not have."""
        if sampling.logit_bias and sampling.logit_bias[-1][0] >= self._vocab_size:
            token = sampling.logit_bias[-1][0]
            raise ConfigError(f"logit_bias: there is no token {token}; the model has 0 to {self._vocab_size - 1}")

    def join(self, row: int, sampling: Sampling, prompt: Sequence[int], noise: Noise) -> None:
        """Gives a row to a request.

        Args:
            row: which one.
            sampling: how its tokens are chosen.
            prompt: what the repetition penalty finds there already.
            noise: the request's; one object for its twins.
        """
        self.check(sampling)
        self._rows[row] = _Row(sampling, noise, dict(sampling.logit_bias))
        if sampling.shifts:
            if self._shift is None:
                self._shift = torch.zeros(len(self._rows), self._vocab_size, device=self._device)
            self._shift[row].zero_()
            if sampling.logit_bias:
                tokens, biases = zip(*sampling.logit_bias, strict=True)
                self._shift[row, list(tokens)] = torch.tensor(biases, device=self._device)
        if sampling.repetition_penalty != 1:
            if self._factor is None:
                self._factor = torch.ones(len(self._rows), self._vocab_size, device=self._device)
            self._factor[row].fill_(1.0)
            self._factor[row, sorted(set(prompt))] = sampling.repetition_penalty
        self._arrange()

    def leave(self, row: int) -> None:
        """Takes a row back."""
        found, self._rows[row] = self._rows[row], None
        if found is None:
            return
        if found.sampling.shifts and self._shift is not None:
            self._shift[row].zero_()
        if found.sampling.repetition_penalty != 1 and self._factor is not None:
            self._factor[row].fill_(1.0)
        self._arrange()

    def choose(self, logits: Tensor, active: Sequence[int]) -> Tensor:
        """The next token of each row.

        The noise is a Gumbel race, argmax p_i / e_i with e_i exponential: rows with equal logits take the same token,
        and rows with similar ones mostly do (ours). A draw has the size of the vocabulary whatever the filters leave,
        so that a request's n-th token always meets the same noise.

        Args:
            logits: [n, V], of the first n rows.
            active: the rows that get a token in this step; of the others' noise nothing is used up.

        Returns:
            int64 [n]; what it says for rows that are not active means nothing.
        """
        scores, n = logits.float(), len(logits)
        if self._repeats:
            assert self._factor is not None
            factor = self._factor[:n]
            scores = torch.where(scores > 0, scores / factor, scores * factor)
        if self._shifts:
            assert self._shift is not None
            scores = scores + self._shift[:n]
        best = scores.argmax(-1)
        if not self._drawing:
            return best
        race = self._filtered(scores / self._temperature[:n]) / self._drawn(active)[:n]
        return torch.where(self._greedy[:n], best, race.argmax(-1))

    def note(self, row: int, token: int) -> None:
        """Says which token a row got, for its penalties."""
        found = self._rows[row]
        if found is None:
            return
        sampling = found.sampling
        if sampling.frequency_penalty or sampling.presence_penalty:
            assert self._shift is not None
            found.counts[token] += 1
            penalty = sampling.frequency_penalty * found.counts[token] + sampling.presence_penalty
            self._shift[row, token] = found.bias.get(token, 0.0) - penalty
        if sampling.repetition_penalty != 1:
            assert self._factor is not None
            self._factor[row, token] = sampling.repetition_penalty

    def _arrange(self) -> None:
        """Gathers the parameters of all rows. Neutral where a row is free or greedy."""
        taken = [Sampling() if row is None else row.sampling for row in self._rows]
        drawn = [sampling if sampling.draws else Sampling(1.0) for sampling in taken]
        self._drawing = any(sampling.draws for sampling in taken)
        self._shifts = any(sampling.shifts for sampling in taken)
        self._repeats = any(sampling.repetition_penalty != 1 for sampling in taken)
        self._greedy = self._column([not sampling.draws for sampling in taken])[:, 0]
        self._temperature = self._column([sampling.temperature for sampling in drawn])
        ks = [min(sampling.top_k or self._vocab_size, self._vocab_size) for sampling in drawn]
        limited = [k for k in ks if k < self._vocab_size]
        self._most_k = max(limited, default=0)
        self._top_k = self._column([min(k, max(self._most_k, 1)) for k in ks])
        self._keeps_all = self._column([k == self._vocab_size for k in ks])
        self._by_mass = any(sampling.top_p < 1 for sampling in drawn)
        self._top_p = self._column([sampling.top_p if sampling.top_p < 1 else 2.0 for sampling in drawn])
        self._by_ratio = any(sampling.min_p > 0 for sampling in drawn)
        self._min_p = self._column([sampling.min_p for sampling in drawn])

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=self._device)[:, None]

    def _filtered(self, scores: Tensor) -> Tensor:
        """Probabilities [n, V], 0 where top_k, top_p and min_p leave a token out. The likeliest always stays."""
        n = len(scores)
        if self._most_k:
            least = scores.topk(self._most_k, dim=-1).values.gather(-1, self._top_k[:n] - 1)
            scores = scores.masked_fill((scores < least) & ~self._keeps_all[:n], -torch.inf)
        if self._by_mass:
            ordered, order = torch.softmax(scores, -1).sort(dim=-1, descending=True, stable=True)
            reached = ordered.cumsum(-1) - ordered >= self._top_p[:n]  # by the likelier ones alone
            scores = scores.masked_fill(torch.zeros_like(reached).scatter(-1, order, reached), -torch.inf)
        probabilities = torch.softmax(scores, -1)
        if self._by_ratio:
            least = self._min_p[:n] * probabilities.amax(-1, keepdim=True)
            probabilities = probabilities.masked_fill(probabilities < least, 0.0)
        return probabilities

    def _drawn(self, active: Sequence[int]) -> Tensor:
        """The noise of this step, float32 [R, V]: one draw a source."""
        drawn: dict[int, int] = {}
        for number in active:
            row = self._rows[number]
            if row is None or not row.sampling.draws:
                continue
            twin = drawn.setdefault(id(row.noise), number)
            if twin == number:
                row.noise.draw(self._draws[number])
            else:
                self._draws[number] = self._draws[twin]
        return self._draws.to(self._device, non_blocking=True)

"""Language models that read for us, wherever they run: what is asked of them, what came back, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mfn_core.errors import MFNError


class ReaderError(MFNError):
    """A language model that was asked did not answer, and will not."""


class BudgetSpentError(MFNError):
    """What was to be asked next might cost more than is left."""


@dataclass(frozen=True)
class Said:
    """A token of an answer. `likely` are tokens that could have stood there, itself among them, with the logarithms of
    their probabilities."""

    text: str
    likely: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Answer:
    """What a language model said, and how many tokens it read and wrote for it.

    `tokens` are those of the text, where log-probabilities were asked for and given.
    """

    text: str
    read: int
    written: int
    tokens: Sequence[Said] = ()


class Reader(Protocol):
    """A language model that answers questions. `name` is stored with everything that it says."""

    @property
    def name(self) -> str:
        """Which model it is."""
        ...

    def ask(self, system: str, question: str, most_tokens: int, logprobs: int = 0) -> Answer:
        """Its answer, the same for the same question as far as it can. Raises ReaderError.

        `logprobs`: of how many tokens that could stand in each place their probabilities are wanted; it may know none.
        """
        ...


class Purse:
    """Counts what asking costs, and refuses what might cost more than is left.

    Attributes:
        spent: so far, in the unit of the prices.
        read, written: tokens so far, by this purse.
    """

    def __init__(
        self,
        reader: Reader,
        prices: tuple[float, float] = (0.0, 0.0),
        budget: float | None = None,
        spent: float = 0.0,
    ) -> None:
        """Prices are of a million tokens read and of a million written; `spent` of the budget was spent before."""
        self._reader = reader
        self._prices = prices
        self._budget = budget
        self.spent = spent
        self.read = 0
        self.written = 0

    @property
    def name(self) -> str:
        """The reader's."""
        return self._reader.name

    def ask(self, system: str, question: str, most_tokens: int, logprobs: int = 0) -> Answer:
        """The reader's answer.

        Raises:
            BudgetSpentError: the answer might cost more than is left; nothing was asked.
            ReaderError: there is none.
        """
        # a token is a byte at least, so this is the most that it can be
        most = self.cost(len((system + question).encode()), most_tokens)
        if self._budget is not None and self.spent + most > self._budget:
            raise BudgetSpentError(
                f"{self.spent:.4f} of {self._budget:g} are spent, and the next question might cost {most:.4f}"
            )
        answer = self._reader.ask(system, question, most_tokens, logprobs)
        self.read += answer.read
        self.written += answer.written
        self.spent += self.cost(answer.read, answer.written)
        return answer

    def to_json(self) -> dict[str, Any]:
        """Plain data: who was asked, and what it came to."""
        return {"name": self.name, "read": self.read, "written": self.written, "cost": round(self.spent, 8)}

    def cost(self, read: int, written: int) -> float:
        """Of so many tokens."""
        return (read * self._prices[0] + written * self._prices[1]) / 1e6

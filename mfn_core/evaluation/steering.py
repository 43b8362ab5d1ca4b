"""Whether turning a feature shows in what a model writes: how many continuations come to be about its concept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from mfn_core.intervals import Share
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.text_tests import TextTest
from mfn_core.writing import Writing, decoded, perplexity, write

Pool = Callable[[Intervention], Sequence[int]]
"""The features of an intervention's layer among which its stand-in in the control is drawn."""


@dataclass(frozen=True)
class Steer:
    """Something that is turned, and what should come of it.

    Attributes:
        name: tells it from others.
        interventions: what is turned.
        test: of each continuation.
        top_tokens: of the features that are turned; their words do not count.
    """

    name: str
    interventions: tuple[Intervention, ...]
    test: TextTest
    top_tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class SteerEffect:
    """What came of it.

    Attributes:
        name: of the steer.
        steered, plain, control: share of continuations that pass, of the steered texts, of those with nothing turned,
            and of those with other features of the same layers turned as strongly.
        perplexity, plain_perplexity: of the steered and the plain continuations, under the judge.
    """

    name: str
    steered: Share
    plain: Share
    control: Share
    perplexity: float
    plain_perplexity: float

    @property
    def shows(self) -> bool:
        """Whether steered texts pass more often than the control beyond chance (intervals apart), and read at most
        twice as strange as plain ones."""
        apart = self.steered.interval()[0] > max(self.control.interval()[1], self.plain.value)
        return apart and self.perplexity <= 2 * self.plain_perplexity


def measure(
    model: MFNModel,
    judge: MFNModel,
    prompts: Sequence[str],
    steers: Sequence[Steer],
    others: Pool,
    writing: Writing | None = None,
) -> Iterator[SteerEffect]:
    """The effect of each steer over the prompts, one at a time.

    Args:
        model: that writes.
        judge: that says how strange a continuation is, with the same tokenizer: the dense twin, as a rule.
        prompts: some fifty.
        steers: what is turned.
        others: the features among which those of the control are drawn, another one for each prompt.
        writing: how texts are written.
    """
    writing = writing or Writing()
    nothing = [()] * len(prompts)
    plain = write(model, prompts, nothing, writing)
    strangeness = perplexity(judge, prompts, plain)
    for steer in steers:
        steered = write(model, prompts, [steer.interventions] * len(prompts), writing)
        drawn = [_other(steer, others, row) for row in range(len(prompts))]
        control = write(model, prompts, drawn, writing)
        yield SteerEffect(
            steer.name,
            _passing(model, steer, steered),
            _passing(model, steer, plain),
            _passing(model, steer, control),
            perplexity(judge, prompts, steered),
            strangeness,
        )


def _other(steer: Steer, others: Pool, row: int) -> tuple[Intervention, ...]:
    """What stands in for the steer at one prompt. Follows from its name, whatever is measured beside it."""
    drawn_from = hashlib.blake2b(f"{steer.name}/{row}".encode(), digest_size=6).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(drawn_from))
    own = {(i.layer, i.feature) for i in steer.interventions}
    out = []
    for intervention in steer.interventions:
        pool = [f for f in others(intervention) if (intervention.layer, f) not in own]
        drawn = pool[int(torch.randint(len(pool), (), generator=generator))]
        out.append(replace(intervention, feature=drawn))
    return tuple(out)


def _passing(model: MFNModel, steer: Steer, texts: Sequence[Sequence[int]]) -> Share:
    written = decoded(model, texts)
    return Share(sum(steer.test.holds(text, steer.top_tokens) for text in written), len(written))

"""Whether turning a feature shows in what a model writes: how many continuations come to be about its concept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.evaluation.concepts import Share
from mfn_core.evaluation.text_tests import TextTest
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel

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
class Writing:
    """How continuations are written.

    Attributes:
        tokens: in each.
        temperature: 0 for the likeliest token at each step.
        seed: of the choice of tokens.
        batch: prompts at a time.
    """

    tokens: int = 40
    temperature: float = 0.0
    seed: int = 0
    batch: int = 25


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


@torch.no_grad()
def write(
    model: MFNModel,
    prompts: Sequence[str],
    interventions: Sequence[Sequence[Intervention]],
    writing: Writing,
) -> list[list[int]]:
    """Continuations, each under its own interventions; token ids without the prompt, up to the end of the text.

    A text depends on its batch where it is sampled, since the rows of a batch share one stream of random numbers.
    """
    out: list[list[int]] = []
    end = model.bos_token_id
    options: dict[str, Any] = {"do_sample": writing.temperature > 0, "pad_token_id": end or 0}
    if writing.temperature > 0:
        options |= {"temperature": writing.temperature, "top_k": 0}
        torch.manual_seed(writing.seed)
    for at in range(0, len(prompts), writing.batch):
        rows = [model.encode_text(prompt) for prompt in prompts[at : at + writing.batch]]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), end or 0, device=model.device)
        mask = torch.zeros_like(ids)
        edits = EditBuffers.allocate(model.n_features, len(rows), device=model.device, signed=model.signed)
        for row, tokens in enumerate(rows):
            ids[row, longest - len(tokens) :] = torch.tensor(tokens)
            mask[row, longest - len(tokens) :] = 1
            edits.write(row, interventions[at + row], len(tokens))
        with model.run(edits):
            texts = cast(Any, model.base).generate(ids, attention_mask=mask, max_new_tokens=writing.tokens, **options)
        out += [_until(text, end) for text in texts[:, longest:].tolist()]
    return out


def _until(text: list[int], end: int | None) -> list[int]:
    return text[: text.index(end)] if end in text else text


def decoded(model: MFNModel, texts: Sequence[Sequence[int]]) -> list[str]:
    """Token ids as text, without special tokens."""
    decode = model.required_tokenizer.decode
    return [cast(str, decode(list(text), skip_special_tokens=True)) for text in texts]


def perplexity(judge: MFNModel, prompts: Sequence[str], texts: Sequence[Sequence[int]]) -> float:
    """e to the mean nats of the continuations' tokens after their prompts. NaN where nothing was written."""
    found = nats(judge, prompts, texts)
    return float(torch.cat(found).mean().exp()) if any(map(len, found)) else float("nan")


@torch.no_grad()
def nats(judge: MFNModel, prompts: Sequence[str], texts: Sequence[Sequence[int]], batch: int = 50) -> list[Tensor]:
    """What each token of each continuation costs after its prompt, in nats: float [length of the text] each."""
    out: list[Tensor] = []
    for at in range(0, len(texts), batch):
        before = [judge.encode_text(prompt) for prompt in prompts[at : at + batch]]
        rows = [[*b, *t][: judge.max_context] for b, t in zip(before, texts[at : at + batch], strict=True)]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64, device=judge.device)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        logits = judge(ids).logits  # padded behind: what stands there cannot be seen from before
        for row, (begin, tokens) in enumerate(zip(before, rows, strict=True)):
            predicted = logits[row, len(begin) - 1 : len(tokens) - 1].float()
            out.append(F.cross_entropy(predicted, ids[row, len(begin) : len(tokens)], reduction="none"))
    return out

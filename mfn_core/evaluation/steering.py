"""Whether turning a feature shows in what a model writes: how many continuations come to be about its concept."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mfn_core.errors import ConfigError
from mfn_core.evaluation.concepts import Share
from mfn_core.evaluation.sources import script_of
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel

WORD = re.compile(r"[^\W\d_]+")
SHORTEST_STEM = 3  # letters from which on a top token takes out the words that begin with it, too


@dataclass(frozen=True)
class TextTest:
    """Whether a text is on a concept, without a model's help. Exactly one of the three ways is given.

    Attributes:
        words: in lower case; so many different ones as `at_least` says must occur.
        script: at least half of the letters must be of it (see `sources.script_of`).
        pattern: a regular expression that must be found.
        at_least: for `words`.
    """

    words: frozenset[str] = frozenset()
    script: str | None = None
    pattern: str | None = None
    at_least: int = 2

    def __post_init__(self) -> None:
        if sum((bool(self.words), self.script is not None, self.pattern is not None)) != 1:
            raise ConfigError("a text is tested by words, by a script or by a pattern: give exactly one")

    def holds(self, text: str, ignore: Collection[str] = ()) -> bool:
        """Whether a text passes.

        Args:
            text: the continuation alone.
            ignore: a feature's own top tokens. To write these shows nothing: words that are one of them, or begin with
                one of three letters or more, do not count. Scripts and patterns are tested as they are.
        """
        if self.script is not None:
            letters = [c for c in text if c.isalpha()]
            return bool(letters) and 2 * sum(script_of(c) == self.script for c in letters) >= len(letters)
        if self.pattern is not None:
            return re.search(self.pattern, text) is not None
        own = {token.strip().lower() for token in ignore} - {""}
        stems = tuple(token for token in own if len(token) >= SHORTEST_STEM)
        found = {word.lower() for word in WORD.findall(text)} & self.words
        return sum(word not in own and not word.startswith(stems) for word in found) >= self.at_least


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
    others: Mapping[int, Sequence[int]],
    writing: Writing | None = None,
) -> Iterator[SteerEffect]:
    """The effect of each steer over the prompts, one at a time.

    Args:
        model: that writes.
        judge: that says how strange a continuation is, with the same tokenizer: the dense twin, as a rule.
        prompts: some fifty.
        steers: what is turned.
        others: by layer, the features among which those of the control are drawn, another one for each prompt.
        writing: how texts are written.
    """
    writing = writing or Writing()
    nothing = [()] * len(prompts)
    plain = write(model, prompts, nothing, writing)
    strangeness = perplexity(judge, prompts, plain)
    for number, steer in enumerate(steers):
        steered = write(model, prompts, [steer.interventions] * len(prompts), writing)
        drawn = [_other(steer, others, number * len(prompts) + row) for row in range(len(prompts))]
        control = write(model, prompts, drawn, writing)
        yield SteerEffect(
            steer.name,
            _passing(model, steer, steered),
            _passing(model, steer, plain),
            _passing(model, steer, control),
            perplexity(judge, prompts, steered),
            strangeness,
        )


def _other(steer: Steer, others: Mapping[int, Sequence[int]], number: int) -> tuple[Intervention, ...]:
    generator = torch.Generator().manual_seed(number)
    own = {(i.layer, i.feature) for i in steer.interventions}
    out = []
    for intervention in steer.interventions:
        pool = [f for f in others[intervention.layer] if (intervention.layer, f) not in own]
        drawn = pool[int(torch.randint(len(pool), (), generator=generator))]
        out.append(replace(intervention, feature=drawn))
    return tuple(out)


def _passing(model: MFNModel, steer: Steer, texts: Sequence[Sequence[int]]) -> Share:
    decode = model.required_tokenizer.decode
    written = [cast(str, decode(list(text), skip_special_tokens=True)) for text in texts]
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


@torch.no_grad()
def perplexity(judge: MFNModel, prompts: Sequence[str], texts: Sequence[Sequence[int]]) -> float:
    """e to the mean nats of the continuations' tokens after their prompts. NaN where nothing was written."""
    nats: list[Tensor] = []
    for prompt, text in zip(prompts, texts, strict=True):
        if text:
            before = judge.encode_text(prompt)
            ids = torch.tensor([[*before, *text]], device=judge.device)[:, : judge.max_context]
            logits = judge(ids).logits[0, len(before) - 1 : -1].float()
            nats.append(F.cross_entropy(logits, ids[0, len(before) :], reduction="none"))
    return float(torch.cat(nats).mean().exp()) if nats else float("nan")

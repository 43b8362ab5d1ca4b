"""One prompt continued twice, plain and steered, to be read side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfn_core.errors import MFNError
from mfn_core.generation import (
    Done,
    Failed,
    GenerationRequest,
    Reason,
    Sampling,
    SlotEngine,
    StreamName,
    TokenEvent,
    stream,
)
from mfn_core.generation.slots import LONGEST_CONTEXT, SLOTS
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.reading import markup
from mfn_core.reading.units import Tokens


@dataclass(frozen=True)
class Written:
    """One continuation.

    Attributes:
        text: what was written.
        tokens: the n tokens it is made of, an ending one included.
        logprobs: the log-probability of each, in nats under the stream's own model.
        reason: why it ended: `eos`, the model ended its text; `length`; `context`, no position was left.
    """

    text: str
    tokens: Tokens
    logprobs: tuple[float, ...]
    reason: Reason


@dataclass(frozen=True)
class Comparison:
    """What a model writes, plain and under interventions. Shows itself as two columns.

    Attributes:
        prompt: the tokens that both begin with.
        interventions: what the steered text was subjected to.
        plain, steered: the continuations.
        kl: KL(steered ‖ plain) in nats, of the distributions from which each steered token was taken; only as long as
            both have the same text before it, the first token that differs included.
    """

    prompt: Tokens
    interventions: tuple[Intervention, ...]
    plain: Written
    steered: Written
    kl: tuple[float, ...]

    @property
    def parted(self) -> int | None:
        """The first token, from 0, at which the texts differ; None where they are the same."""
        pairs = enumerate(zip(self.plain.tokens.ids, self.steered.tokens.ids, strict=False))
        return next((step for step, (plain, steered) in pairs if plain != steered), None)

    def __repr__(self) -> str:
        return f"prompt:  {self.prompt.text}\nplain:   {self.plain.text}\nsteered: {self.steered.text}"

    def _repr_html_(self) -> str:
        steers = "; ".join(map(_told, self.interventions)) or "no interventions"
        columns = [("plain", self._column(self.plain)), ("steered", self._column(self.steered))]
        return markup.frame(
            markup.heading("Plain and steered", steers), markup.beside(columns), markup.note(self._parting())
        )

    def _column(self, written: Written) -> str:
        """The prompt stepping back, then what was written; what only this text has, set off."""
        same = len(written.tokens) if self.parted is None else self.parted
        shared = [unit for unit in written.tokens.units if unit.stop <= same]
        own = [unit for unit in written.tokens.units if unit.stop > same]
        prompt = markup.faint(markup.plain_text(self.prompt.units))
        return prompt + markup.plain_text(shared) + (markup.aside(markup.plain_text(own)) if own else "")

    def _parting(self) -> str:
        if self.parted is None:
            return "The two texts are the same."
        return f"They part at token {self.parted} (KL {self.kl[self.parted]:.2f} nats there); what differs is set off."


def compare(
    model: MFNModel,
    prompt: str,
    interventions: Sequence[Intervention],
    max_new_tokens: int = 64,
    sampling: Sampling | None = None,
) -> Comparison:
    """Continues a prompt twice.

    Args:
        model: with a tokenizer.
        prompt: what both texts begin with.
        interventions: for the steered one, in the order in which they act.
        max_new_tokens: how many tokens each may get.
        sampling: how tokens are chosen, with the same random numbers for both; the likeliest ones if left out.

    Raises:
        PromptTooLongError: no position is left for a new token.
        InterventionError: an intervention names what is not there.
    """
    ids = model.encode_text(prompt)
    request = GenerationRequest(
        tuple(ids), max_new_tokens=max_new_tokens, interventions=tuple(interventions), sampling=sampling or Sampling()
    )
    longest = min(len(ids) + max_new_tokens, LONGEST_CONTEXT)  # a cache of just the length that is needed
    engine = SlotEngine(model, 2, longest, max(SLOTS, len(interventions)), pack=False)
    tokens: dict[StreamName, list[TokenEvent]] = {"plain": [], "steered": []}
    ends: dict[StreamName, Done] = {}
    for event in stream(engine, request):
        match event:
            case TokenEvent():
                tokens[event.stream].append(event)
            case Done():
                ends[event.stream] = event
            case Failed(message=message):
                raise MFNError(message)

    def written(name: StreamName) -> Written:
        events, end = tokens[name], ends[name]
        spelled = Tokens.of([event.token for event in events], model.tokenizer)
        return Written(end.text, spelled, tuple(event.logprob for event in events), end.reason)

    return Comparison(
        prompt=Tokens.of(ids, model.tokenizer),
        interventions=tuple(interventions),
        plain=written("plain"),
        steered=written("steered"),
        kl=tuple(event.kl for event in tokens["steered"] if event.kl is not None),
    )


def _told(intervention: Intervention) -> str:
    """An intervention in a few words."""
    place = f"{intervention.layer}/{intervention.feature}"
    value = "" if intervention.mode == "ablate" else f" {intervention.value:.4g}"
    scope = intervention.scope
    span = "" if scope.start is None and scope.stop is None else f" {scope.start or 0}–{scope.stop or ''}"
    said = [] if scope.kind == "both" else [f"{scope.kind}{span}"]
    if (ramp := intervention.ramp) is not None:
        said.append(f"from {ramp.start:.4g} over {ramp.steps} tokens")
    if (asks := intervention.asks) is not None:
        said.append(f"if {asks.layer}/{asks.feature}" + (f" above {asks.above:.4g}" if asks.above else ""))
    return f"{intervention.mode} {place}{value}" + (f" ({', '.join(said)})" if said else "")

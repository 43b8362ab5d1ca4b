"""The engine for one request at a time: its plain and its steered text as two rows of one batch.

Every forward pass has the same shape: two rows (prompt: [2, P], then [2, 1]) against a key-value cache of fixed length.
So what a row says depends on its own request alone, and the steered row is the same whether or not somebody reads the
plain one beside it.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import StaticCache

from mfn_core.generation.choosing import Chooser, Noise
from mfn_core.generation.engine import Load, UnknownRequestError
from mfn_core.generation.events import Done, Ended, Event, Failed, Reason, StreamName, TokenEvent
from mfn_core.generation.readings import divergence, likeliest, strongest
from mfn_core.generation.request import GenerationRequest, PromptTooLongError, check_interventions
from mfn_core.generation.text import GrowingText
from mfn_core.interventions import EditBuffers, Intervention, validate
from mfn_core.model import MFNModel
from mfn_core.run import LayerTrace
from mfn_core.tokens import token_bytes

STREAMS: tuple[StreamName, StreamName] = ("plain", "steered")
PLAIN, STEERED = 0, 1

LONGEST_CONTEXT = 2048  # positions; bounds the memory of cache and mask on models that could hold far more (ours)
SLOTS = 16


@dataclass(slots=True)
class _Row:
    """One stream as it grows."""

    text: GrowingText
    count: int = 0
    finished: bool = False


@dataclass(slots=True)
class _Pair:
    """The request that is being written."""

    request: GenerationRequest
    rows: tuple[_Row, _Row]
    inputs: Tensor  # int64 [2, T], what the next forward pass reads
    begun: float
    position: int = 0  # of the first token of `inputs`
    together: bool = True  # both rows have the same text so far
    watched: tuple[int, ...] = field(default=(PLAIN, STEERED))


class PairEngine:
    """An `Engine` with one pair of rows. Others wait in order of arrival.

    Owns nothing of the model but its turn: between two steps the model is free.
    """

    def __init__(self, model: MFNModel, context: int = LONGEST_CONTEXT, slots: int = SLOTS) -> None:
        """Allocates cache and buffers.

        Args:
            model: on its device; in eval mode.
            context: longest text in tokens; at most what the model can hold.
            slots: how many interventions a request can have.
        """
        self._model = model
        self._context = min(context, model.max_context)
        self._slots = slots
        self._cache = StaticCache(config=model.base.config, max_cache_len=self._context)
        self._edits = EditBuffers.allocate(
            model.n_features, rows=2, slots=slots, device=model.device, signed=model.signed
        )
        hidden = torch.full((self._context, self._context), -torch.inf, dtype=model.dtype, device=model.device)
        self._chooser = Chooser(2, model.vocab_size, model.device)
        self._mask = hidden.triu(1)  # row p: 0 up to position p, −inf behind it
        self._positions = torch.arange(self._context, device=model.device)[None]
        self._pieces = self._text_pieces()
        self._eos = _ids(model.base.generation_config, model.base.config)
        self._waiting: OrderedDict[str, GenerationRequest] = OrderedDict()
        self._pair: _Pair | None = None

    @property
    def capacity(self) -> int:
        """One request at a time."""
        return 1

    @property
    def load(self) -> Load:
        """How much of it is taken."""
        pairs = int(self._pair is not None)
        return Load(2, 2 * pairs, pairs, len(self._waiting))

    @property
    def row_bytes(self) -> int:
        """Memory that one row of the key-value cache takes, in bytes; 0 until the first step makes it."""
        layers = [layer for layer in self._cache.layers if layer.keys is not None and layer.values is not None]
        return sum((layer.keys.nbytes + layer.values.nbytes) // 2 for layer in layers)

    @property
    def context(self) -> int:
        """How many tokens a text can have, prompt included."""
        return self._context

    @property
    def slots(self) -> int:
        """How many interventions a request can have."""
        return self._slots

    @property
    def busy(self) -> bool:
        """Whether a request is being written or waits."""
        return self._pair is not None or bool(self._waiting)

    def check(self, request: GenerationRequest) -> None:
        """Raises an MFNError if `submit` would. Touches nothing that changes."""
        if len(request.prompt) >= self._context:
            raise PromptTooLongError(len(request.prompt), self._context - 1)
        self._check_interventions(request.interventions)
        self._chooser.check(request.sampling)

    def submit(self, request: GenerationRequest) -> None:
        """Takes a request in; its first step is taken when those before it have ended.

        Raises:
            PromptTooLongError: no position is left for a new token.
            InterventionError: an intervention names what is not there.
        """
        self.check(request)
        self._waiting[request.id] = request

    def update(self, request_id: str, interventions: Sequence[Intervention]) -> None:
        """Replaces a request's interventions from its next token on. What is written, and its cache, stay.

        Raises:
            UnknownRequestError: no such request, or it has ended.
            InterventionError: an intervention names what is not there; the old ones stay.
        """
        self._check_interventions(interventions)
        if self._pair is not None and self._pair.request.id == request_id:
            self._edits.write(STEERED, interventions, len(self._pair.request.prompt))
        elif request_id in self._waiting:
            self._waiting[request_id] = replace(self._waiting[request_id], interventions=tuple(interventions))
        else:
            raise UnknownRequestError("there is no such request, or it has ended")

    def cancel(self, request_id: str) -> None:
        """Drops a request, waiting or half written: no event of it follows."""
        self._waiting.pop(request_id, None)
        if self._pair is not None and self._pair.request.id == request_id:
            self._leave()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """One forward pass, hence one token for each stream that is not finished. The first one reads the prompt."""
        if self._pair is None:
            if not self._waiting:
                return []
            self._pair = self._join(self._waiting.popitem(last=False)[1])
        pair = self._pair
        try:
            events = self._advance(pair, *self._forward(pair))
        except BaseException:
            self._leave()  # a broken pass leaves a cache that nobody may use
            raise
        if isinstance(events[-1], Ended | Failed):
            self._leave()
        return events

    def _join(self, request: GenerationRequest) -> _Pair:
        self._cache.reset()  # type: ignore[no-untyped-call]
        self._edits.clear(PLAIN)
        self._edits.write(STEERED, request.interventions, len(request.prompt))
        noise = Noise(request.sampling.seed)
        for number in (PLAIN, STEERED):
            self._chooser.join(number, request.sampling, request.prompt, noise)
        return _Pair(
            request=request,
            rows=(_Row(GrowingText(self._pieces, request.stop)), _Row(GrowingText(self._pieces, request.stop))),
            inputs=torch.tensor([request.prompt] * 2, device=self._model.device),
            begun=time.perf_counter(),
            watched=(PLAIN, STEERED) if request.compare else (STEERED,),
        )

    def _leave(self) -> None:
        self._pair = None
        self._edits.clear(STEERED)

    def _forward(self, pair: _Pair) -> tuple[Tensor, dict[int, LayerTrace]]:
        """Logits [2, V] of the next token, and what the layers did."""
        here = slice(pair.position, pair.position + pair.inputs.shape[1])
        with self._model.run(self._edits, record=pair.request.fired > 0) as run:
            out = cast(Any, self._model.base)(
                input_ids=pair.inputs,
                attention_mask=self._mask[here].expand(2, 1, -1, -1),
                position_ids=self._positions[:, here],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        pair.position = here.stop
        return out.logits[:, -1], run.traces

    def _advance(self, pair: _Pair, logits: Tensor, traces: dict[int, LayerTrace]) -> list[Event]:
        """Chooses the next tokens and tells of them."""
        request = pair.request
        chosen = self._chooser.choose(logits, (PLAIN, STEERED))
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        tokens = chosen.tolist()
        chances = logprobs.gather(-1, chosen[:, None])[:, 0].tolist()
        if not all(map(math.isfinite, chances)):
            return [Failed(request.id, "the model's output is no longer a number: the interventions are too strong")]
        kl = divergence(logprobs[STEERED], logprobs[PLAIN]) if pair.together else None
        alternatives = likeliest(logprobs, request.alternatives)
        fired = strongest(traces, request.fired) if request.fired and traces else [(), ()]
        events: list[Event] = []
        for number in pair.watched:
            row, token = pair.rows[number], tokens[number]
            if row.finished:
                continue
            reason = self._reason(request, row.count + 1, token)
            delta = row.text.push(token, last=reason is not None)
            if row.text.stopped:
                reason = "stop"
            events.append(
                TokenEvent(
                    request=request.id,
                    stream=STREAMS[number],
                    step=row.count,
                    token=token,
                    delta=delta,
                    logprob=chances[number],
                    kl=kl if number == STEERED else None,
                    alternatives=alternatives[number],
                    fired=fired[number],
                )
            )
            row.count += 1
            if reason is not None:
                row.finished = True
                seconds = time.perf_counter() - pair.begun
                events.append(Done(request.id, STREAMS[number], reason, row.text.text, row.count, seconds))
        if all(pair.rows[number].finished for number in pair.watched):
            events.append(Ended(request.id))
        for number in (PLAIN, STEERED):
            self._chooser.note(number, tokens[number])
        pair.together = pair.together and tokens[PLAIN] == tokens[STEERED]
        pair.inputs = chosen[:, None]  # a finished row goes on unseen, so that the shape stays
        return events

    def _reason(self, request: GenerationRequest, count: int, token: int) -> Reason | None:
        if token in self._eos:
            return "eos"
        if count == request.max_new_tokens:
            return "length"
        return "context" if len(request.prompt) + count == self._context else None

    def _check_interventions(self, interventions: Sequence[Intervention]) -> None:
        check_interventions(interventions, self._slots, self._context)
        validate(interventions, self._model.n_features, self._model.signed)

    def _text_pieces(self) -> list[bytes]:
        """What each token adds to a text: nothing where it is special, or where there is no tokenizer."""
        pieces = [b""] * self._model.vocab_size
        tokenizer = self._model.tokenizer
        if tokenizer is not None:
            special = set(tokenizer.all_special_ids)
            known = token_bytes(tokenizer)[: len(pieces)]
            pieces[: len(known)] = [b"" if number in special else piece for number, piece in enumerate(known)]
        return pieces


def _ids(*configs: Any) -> frozenset[int]:
    """The ids that end a text, from the first configuration that names any."""
    for config in configs:
        ids = getattr(config, "eos_token_id", None)
        if ids is not None:
            return frozenset([ids] if isinstance(ids, int) else ids)
    return frozenset()

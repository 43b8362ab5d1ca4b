"""The engine for many requests at once: up to R texts, plain or steered, advance by one token a step.

A request takes one row of the batch, or two where its plain text is written beside the steered one. Requests that find
no row free wait in order of arrival; nobody overtakes. What a stream says depends on its own request alone, to the last
bit, whichever rows it gets and whoever comes, goes or is changed beside it (see `rows`).
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from mfn_core.errors import ConfigError
from mfn_core.generation.choosing import Chooser, Noise
from mfn_core.generation.engine import Load, UnknownRequestError
from mfn_core.generation.events import (
    Done,
    Ended,
    Event,
    Failed,
    Fired,
    Reason,
    StreamName,
    TokenEvent,
    Updated,
    Watched,
)
from mfn_core.generation.readings import Readings, read, strongest, watched
from mfn_core.generation.request import Change, GenerationRequest, check_interventions, check_request
from mfn_core.generation.rows import Piece, Rows
from mfn_core.generation.text import GrowingText
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.run import LayerTrace
from mfn_core.tokens import ending_ids, token_bytes

LONGEST_CONTEXT = 2048  # positions; bounds the memory of the cache on models that could hold far more (ours)
SLOTS = 16  # interventions a request can have
PIECE = 128  # tokens of prompts that are read between two steps of those who write, at most


class _Features(NamedTuple):
    """What features do where a token comes from."""

    fired: tuple[Fired, ...] = ()
    watched: tuple[Watched, ...] = ()


@dataclass(slots=True)
class _Stream:
    """One text as it grows."""

    name: StreamName
    row: int
    text: GrowingText
    known: int = 0  # tokens that its row has read
    last: int = -1  # the latest token, which its row has not read yet
    count: int = 0
    logits: Tensor | None = None  # [V], of the first token, once the prompt is read
    features: _Features = field(default_factory=_Features)  # with it


@dataclass(slots=True)
class _Writing:
    """A request that has rows."""

    request: GenerationRequest
    streams: list[_Stream]  # those that are not finished
    begun: float
    started: bool = False  # the prompt is read
    together: bool = True  # both streams have the same text so far
    changes: deque[Change] = field(default_factory=deque)  # to come
    changed: list[Updated] = field(default_factory=list)  # to be told


class SlotEngine:
    """An `Engine` with R rows.

    Owns nothing of the model but its turn: between two steps the model is free. A step reads a piece of the
    prompts and then decodes every text by one token, so that a long prompt holds nobody up for long.
    """

    def __init__(
        self,
        model: MFNModel,
        rows: int = 2,
        context: int = LONGEST_CONTEXT,
        slots: int = SLOTS,
        pack: bool = True,
        piece: int = PIECE,
        graphs: bool | None = None,
    ) -> None:
        """Allocates cache and buffers, and tries out which shapes of forward pass agree.

        Memory: a row of the cache takes 2 · (layers · heads · channels a head) · context numbers (`row_bytes`); on a
        CPU, in single precision and with `pack`, the weights have a second copy. Both are there from the beginning and
        do not grow.

        Args:
            model: on its device, in eval mode. Its weights are not to change any more.
            rows: R, how many texts are written at the same time.
            context: longest text in tokens; at most what the model can hold.
            slots: how many interventions a request can have.
            pack: on a CPU, keep the second copy, by which it is faster to multiply.
            piece: how many tokens of prompts a step reads, at most. Where a prompt is cut can move its last bits.
            graphs: take steps from CUDA graphs; on a GPU if left out.

        Raises:
            ConfigError: no rows, pieces without tokens, or a kind of model whose texts cannot be written side by side.
        """
        if rows < 1:
            raise ConfigError(f"an engine has at least one row, not {rows}")
        if piece < 1:
            raise ConfigError(f"a piece of a prompt has at least one token, not {piece}")
        if graphs and model.device.type != "cuda":
            raise ConfigError(f"CUDA graphs need a model on a CUDA device; this one is on {model.device}")
        self._model = model
        self._context = min(context, model.max_context)
        self._slots = slots
        self._piece = piece
        self._rows = Rows(
            model,
            rows,
            self._context,
            slots,
            pack,
            piece,
            model.device.type == "cuda" if graphs is None else graphs,
        )
        self._chooser = Chooser(self._rows.cache.rows, model.vocab_size, model.device)
        self._pieces = _text_pieces(model)
        self._eos = ending_ids(model.base.generation_config, model.base.config)
        self._waiting: OrderedDict[str, GenerationRequest] = OrderedDict()
        self._writing: OrderedDict[str, _Writing] = OrderedDict()
        self._free = set(range(rows))
        self._n_rows = rows

    @property
    def capacity(self) -> int:
        """How many requests can be written at the same time if each takes two rows; twice as many if none does."""
        return max(self._n_rows // 2, 1)

    @property
    def load(self) -> Load:
        """How much of it is taken."""
        return Load(self._n_rows, self._n_rows - len(self._free), len(self._writing), len(self._waiting))

    @property
    def row_bytes(self) -> int:
        """Memory that one row of the key-value cache takes, in bytes."""
        return self._rows.cache.row_bytes

    @property
    def exact(self) -> bool:
        """Whether texts are the same to the last bit in any company: a matter of the machine's kernels, found out."""
        return self._rows.exact

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
        return bool(self._writing or self._waiting)

    def check(self, request: GenerationRequest) -> None:
        """Raises an MFNError if `submit` would. Touches nothing that changes."""
        check_request(request, self._model.n_features, self._model.signed, self._slots, self._context)
        if not all(0 <= token < self._model.vocab_size for token in request.prompt):
            raise ConfigError(f"a prompt is made of tokens 0 to {self._model.vocab_size - 1}")
        if _needs(request) > self._n_rows:
            raise ConfigError(f"to compare takes two rows; this engine has {self._n_rows}")
        self._chooser.check(request.sampling)

    def submit(self, request: GenerationRequest) -> None:
        """Takes a request in; it is begun when rows are free and those before it have theirs.

        Raises:
            PromptTooLongError: no position is left for a new token.
            InterventionError: an intervention names what is not there.
            ConfigError: a token that is not there, an id that is in use, or no rows for a comparison.
        """
        self.check(request)
        if request.id in self._waiting or request.id in self._writing:
            raise ConfigError(f"there is a request {request.id} already")
        self._waiting[request.id] = request

    def update(self, request_id: str, interventions: Sequence[Intervention]) -> None:
        """Replaces a request's interventions from its next token on. What is written, and its cache, stay.

        A prompt that is being read is read to its end as it was begun: the second token is then the first to see them.
        Changes that the request brought along and that are still to come are dropped.

        Raises:
            UnknownRequestError: no such request, or it has ended.
            InterventionError: an intervention names what is not there; the old ones stay.
        """
        check_interventions(interventions, self._model.n_features, self._model.signed, self._slots, self._context)
        if request_id in self._writing:
            writing = self._writing[request_id]
            step = max((stream.count for stream in writing.streams), default=0) if writing.started else 1
            writing.changes = deque([Change(step, tuple(interventions))])
        elif request_id in self._waiting:
            first = Change(0, tuple(interventions))
            self._waiting[request_id] = replace(self._waiting[request_id], changes=(first,))
        else:
            raise UnknownRequestError("there is no such request, or it has ended")

    @torch.inference_mode()
    def cancel(self, request_id: str) -> None:
        """Drops a request, waiting or half written: no event of it follows. One that is not known is no error."""
        self._waiting.pop(request_id, None)
        if request_id in self._writing:
            self._drop(self._writing[request_id])

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Gives free rows to those who wait, reads a piece of the prompts, and writes one token of each text."""
        self._admit()
        try:
            begun = self._read_prompts()
            return self._write(begun)
        except BaseException:
            for writing in list(self._writing.values()):
                self._drop(writing)  # a broken pass leaves a cache that nobody may use
            raise

    def _admit(self) -> None:
        while self._waiting:
            request = next(iter(self._waiting.values()))
            if _needs(request) > len(self._free):
                return
            del self._waiting[request.id]
            noise = Noise(request.sampling.seed)
            names: tuple[StreamName, ...] = ("plain", "steered") if request.compare else ("steered",)
            streams = []
            for name in names:
                row = min(self._free)  # low ones first: a step takes as many rows as the highest in use asks for
                self._free.remove(row)
                self._chooser.join(row, request.sampling, request.prompt, noise)
                streams.append(_Stream(name, row, GrowingText(self._pieces, request.stop)))
            self._rows.steer(streams[-1].row, request.interventions, len(request.prompt))
            writing = _Writing(request, streams, time.perf_counter(), changes=deque(request.changes))
            self._change(writing)
            self._writing[request.id] = writing

    def _change(self, writing: _Writing) -> None:
        """Takes the interventions that are due with the next token of the steered text."""
        steered = next((stream for stream in writing.streams if stream.name == "steered"), None)
        if steered is None or not writing.changes or writing.changes[0].step > steered.count:
            return
        change = writing.changes.popleft()
        self._rows.steer(steered.row, change.interventions, len(writing.request.prompt))
        writing.changed.append(Updated(writing.request.id, change.step, change.interventions))

    def _drop(self, writing: _Writing) -> None:
        for stream in writing.streams:
            self._release(stream)
        del self._writing[writing.request.id]

    def _release(self, stream: _Stream) -> None:
        # The row may have taken part in a step of others while its prompt was being read, one position further on.
        self._rows.leave(stream.row, min(stream.known + 1, self._context))
        self._chooser.leave(stream.row)
        self._free.add(stream.row)

    def _read_prompts(self) -> list[_Writing]:
        """Reads prompts in order of arrival, a piece's worth of tokens. Gives the requests that are ready now.

        Where a prompt is cut depends on itself alone.
        """
        reading = [writing for writing in self._writing.values() if not writing.started]
        left = self._piece
        due: list[tuple[_Writing, _Stream, Piece]] = []
        streams = [(writing, stream) for writing in reading for stream in writing.streams]
        for writing, stream in streams:
            if stream.logits is not None or self._will_copy(writing, stream):
                continue
            piece = Piece(stream.row, writing.request.prompt[stream.known : stream.known + self._piece], stream.known)
            left -= len(piece.tokens)
            if left < 0:
                break
            due.append((writing, stream, piece))
        if due:
            self._read(due)
        ready = []
        for writing in reading:
            twin, stream = writing.streams[0], writing.streams[-1]
            if twin.logits is not None and self._will_copy(writing, stream):
                self._rows.cache.copy(twin.row, stream.row, twin.known)
                stream.known, stream.logits, stream.features = twin.known, twin.logits, twin.features
            writing.started = all(stream.logits is not None for stream in writing.streams)
            if writing.started:
                ready.append(writing)
        return ready

    def _will_copy(self, writing: _Writing, stream: _Stream) -> bool:
        """Whether nothing tells a stream's prompt from its twin's, so that one need not be read."""
        return stream is not writing.streams[0] and stream.known == 0 and not self._rows.steered(stream.row)

    def _read(self, due: Sequence[tuple[_Writing, _Stream, Piece]]) -> None:
        record = any(_looks(writing.request) for writing, _, _ in due)
        found = self._rows.read([piece for _, _, piece in due], record)
        for (writing, stream, piece), (logits, traces) in zip(due, found, strict=True):
            stream.known += len(piece.tokens)
            if stream.known == len(writing.request.prompt):
                stream.logits = logits
                stream.features = _features(traces, [(writing.request, 0)])[0]

    def _write(self, begun: Iterable[_Writing]) -> list[Event]:
        """One more token of each text."""
        for writing in self._writing.values():
            if writing.started and writing.streams[0].count:
                self._change(writing)
        started = [writing for writing in self._writing.values() if writing.started]
        active = [(writing, stream) for writing in started for stream in writing.streams]
        if not active:
            return []
        size = self._shape(stream.row for _, stream in active)
        logits, features = self._decode(active)
        fresh = [stream for writing in begun for stream in writing.streams]
        if fresh:
            whole = torch.zeros(size, self._model.vocab_size, dtype=self._model.dtype, device=self._model.device)
            if logits is not None:
                whole[: len(logits)] = logits
            for stream in fresh:
                assert stream.logits is not None
                whole[stream.row] = stream.logits
                stream.logits = None
                features[stream.row] = stream.features
            logits = whole
        assert logits is not None
        chosen = self._chooser.choose(logits, [stream.row for _, stream in active])
        readings = read(
            logits, chosen, self._partners(size), {writing.request.alternatives for writing in self._writing.values()}
        )
        events: list[Event] = []
        for writing in started:
            events += writing.changed
            writing.changed.clear()
            events += self._advance(writing, readings, features)
        return events

    def _shape(self, rows: Iterable[int]) -> int:
        highest = max(rows)
        return next(shape for shape in self._rows.shapes if shape > highest)

    def _decode(self, active: Sequence[tuple[_Writing, _Stream]]) -> tuple[Tensor | None, dict[int, _Features]]:
        """Logits of the texts that have a token already, [n, V], and what features did, by row."""
        going = [(writing, stream) for writing, stream in active if stream.logits is None]
        if not going:
            return None, {}
        size = self._shape(stream.row for _, stream in going)
        tokens, positions = [0] * size, [0] * size
        for writing in self._writing.values():
            for stream in writing.streams:
                if stream.row < size:
                    positions[stream.row] = stream.known  # also while it reads: what is put there is put again
        for _, stream in going:
            tokens[stream.row] = stream.last
        device = self._model.device
        logits, traces = self._rows.step(
            torch.tensor(tokens, device=device),
            torch.tensor(positions, device=device),
            max(stream.known for _, stream in going),
            record=any(_looks(writing.request) for writing, _ in going),
        )
        for _, stream in going:
            stream.known += 1
        return logits, _features(traces, [(writing.request, stream.row) for writing, stream in going])

    def _partners(self, size: int) -> list[int] | None:
        """Against whose distribution each row's is held; None where no two texts are still the same."""
        partners = list(range(size))
        for writing in self._writing.values():
            if writing.started and writing.together and len(writing.streams) == 2:
                plain, steered = writing.streams
                partners[steered.row] = plain.row
        return partners if partners != list(range(size)) else None

    def _advance(self, writing: _Writing, readings: Readings, features: dict[int, _Features]) -> list[Event]:
        """Tells of a request's new tokens."""
        request = writing.request
        if not all(math.isfinite(readings.chances[stream.row]) for stream in writing.streams):
            self._drop(writing)
            return [Failed(request.id, "the model's output is no longer a number: the interventions are too strong")]
        pair = len(writing.streams) == 2
        compared = pair and writing.together
        count = min(request.alternatives, self._model.vocab_size)
        alternatives, shifts = readings.alternatives.get(count), readings.shifts.get(count)
        events: list[Event] = []
        for stream in writing.streams[:]:
            token, seen = readings.tokens[stream.row], features.get(stream.row, _Features())
            reason = self._reason(request, stream.count + 1, token)
            told = compared and stream.name == "steered"
            delta = stream.text.push(token, last=reason is not None)
            if stream.text.stopped:
                reason = "stop"
            events.append(
                TokenEvent(
                    request=request.id,
                    stream=stream.name,
                    step=stream.count,
                    token=token,
                    delta=delta,
                    logprob=readings.chances[stream.row],
                    kl=readings.divergences[stream.row] if told else None,
                    alternatives=() if alternatives is None else alternatives[stream.row],
                    fired=seen.fired,
                    watched=seen.watched,
                    plain_logprob=readings.plain_chances[stream.row] if told else None,
                    shifts=shifts[stream.row] if told and shifts is not None else (),
                )
            )
            stream.last = token
            stream.count += 1
            self._chooser.note(stream.row, token)
            if reason is not None:
                seconds = time.perf_counter() - writing.begun
                events.append(Done(request.id, stream.name, reason, stream.text.text, stream.count, seconds))
                writing.streams.remove(stream)
                self._release(stream)
        if compared:
            writing.together = len({event.token for event in events if isinstance(event, TokenEvent)}) == 1
        if not writing.streams:
            del self._writing[request.id]
            events.append(Ended(request.id))
        return events

    def _reason(self, request: GenerationRequest, count: int, token: int) -> Reason | None:
        if token in self._eos:
            return "eos"
        if count == request.max_new_tokens:
            return "length"
        return "context" if len(request.prompt) + count == self._context else None


def _needs(request: GenerationRequest) -> int:
    """How many rows a request takes."""
    return 2 if request.compare else 1


def _looks(request: GenerationRequest) -> bool:
    """Whether it asks what features do."""
    return request.fired > 0 or bool(request.watch)


def _features(traces: Mapping[int, LayerTrace], asked: Sequence[tuple[GenerationRequest, int]]) -> dict[int, _Features]:
    """What each request is to be told of the features of a row, at its last position; by row."""
    if not traces:
        return {row: _Features() for _, row in asked}
    most = max(request.fired for request, _ in asked)
    found = strongest(traces, most) if most else None
    return {
        row: _Features(() if found is None else found[row][: request.fired], watched(traces, row, request.watch))
        for request, row in asked
    }


def _text_pieces(model: MFNModel) -> list[bytes]:
    """What each token adds to a text: nothing where it is special, or where there is no tokenizer."""
    pieces = [b""] * model.vocab_size
    if model.tokenizer is not None:
        special = set(model.tokenizer.all_special_ids)
        known = token_bytes(model.tokenizer)[: len(pieces)]
        pieces[: len(known)] = [b"" if number in special else piece for number, piece in enumerate(known)]
    return pieces

"""Forward passes over the rows of a cache: a piece of one row's prompt, or one token of each of the first rows.

What a row gives must depend on its own text alone, to the last bit. A prompt is read by itself, row by
row, or together with others in passes of a shape that gives the same numbers as its own; and one token of several rows
is read by passes of a few shapes. Which shapes do was found before anything was written (decision 0019).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Linear
from transformers.pytorch_utils import Conv1D

from mfn_core.codes import SparseCodes
from mfn_core.errors import ConfigError, InterventionError
from mfn_core.generation.cache import FULL, SLIDING, Place, SlotCache
from mfn_core.generation.graphs import StepGraphs
from mfn_core.generation.lean import LeanParts
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.kernels.select import whole_rows
from mfn_core.model import MFNModel
from mfn_core.run import LayerTrace

logger = logging.getLogger(__name__)

FEWEST_ROWS = 4  # of fewer rows a CPU's libraries take other sums than of many
SHORTEST = 64  # positions that attention looks at, at least
GRAIN = 32768  # numbers that torch gives a thread of an element-wise function at least
SHORTEST_PIECE = 8  # tokens; pieces of prompts are padded to twice that, and so on
MOST_JOINED = 4  # pieces of one length that are read together
GRAPH_ROUNDS = 2  # interventions on one feature that a CUDA graph has room for; a row with more is stepped without
PROBE = 12  # tokens on which the cache is held against the model without one


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of one row's prompt: its tokens, and the position of the first."""

    row: int
    tokens: Sequence[int]
    position: int


class Rows:
    """R rows of a cache and what each is subjected to.

    Attributes:
        exact: every shape gives every row the same numbers. Where no shape does, on hardware that we do not know, texts
            are as good but may differ in their last bits with the company that they are in.
    """

    def __init__(
        self,
        model: MFNModel,
        rows: int,
        context: int,
        slots: int,
        pack: bool = True,
        piece: int = 128,
        graphs: bool = False,
    ) -> None:
        """Allocates, and finds out which shapes agree: some twenty forward passes.

        Args:
            model: in eval mode; its weights are not to change any more.
            rows: R.
            context: longest text in tokens.
            slots: interventions that a row can have.
            pack: on a CPU, keep a second copy of the weights that is faster to multiply by.
            piece: the longest piece of a prompt.
            graphs: on CUDA, take steps from graphs.

        Raises:
            ConfigError: this kind of model cannot be written side by side.
        """
        self._model = model
        self._lean = LeanParts(model, pack)
        self._graphs: StepGraphs | None = None  # shapes are tried out without
        self._context = context
        length = _up(context, 2)  # of an odd number some threads would have no aligned memory (see `lean`)
        self._keys = torch.arange(length, device=model.device)
        self._slots = slots
        unit = alike(model)
        begin = _up(SHORTEST_PIECE, unit)
        self._paddings = _doubling(begin, max(_up(piece, begin), begin))
        device, signed = model.device, model.signed
        self._own = {
            count: EditBuffers.allocate(model.n_features, count, slots, device, signed=signed)
            for count in _doubling(1, MOST_JOINED)
        }
        # Where a kernel treats the last rows of a number that does not suit it otherwise, a rounder number suits it.
        least = max(rows, FEWEST_ROWS)
        sizes = dict.fromkeys(_up(_up(least, rounder), unit) for rounder in (1, 4, 8, 16, 32))
        for size in sizes:
            self.cache = SlotCache(model.base.config, size, length)
            self.shapes = self._agreeing(size, unit)
            self.exact = bool(self.shapes)
            if self.exact:
                break
        else:
            logger.warning("no number of rows was found of which each gives the same numbers on this machine")
            self.cache = SlotCache(model.base.config, next(iter(sizes)), length)
            self.shapes = [next(iter(sizes))]
        self._joined = self._joinable()
        self._edits = {
            shape: EditBuffers.allocate(model.n_features, shape, slots, device, signed=signed) for shape in self.shapes
        }
        # What a graph reads: buffers that it looks at as a whole, whatever is in them.
        self._fixed = {
            shape: EditBuffers.allocate(
                model.n_features, shape, slots, device, signed=signed, rounds=min(GRAPH_ROUNDS, slots)
            )
            for shape in (self.shapes if graphs else ())
        }
        self._deep: set[int] = set()  # rows that do not fit them
        if graphs:
            self._graphs = StepGraphs(self._graph_step, self.cache.rows, device)

    @property
    def nbytes(self) -> int:
        """Memory of the cache and of the second copies of weights."""
        return self.cache.row_bytes * self.cache.rows + self._lean.nbytes

    def steer(self, row: int, interventions: Sequence[Intervention], prompt_length: int) -> None:
        """Replaces what a row is subjected to.

        Raises:
            InterventionError: see `EditBuffers.write`; the row keeps what it had.
        """
        for shape, edits in self._edits.items():
            if row < shape:
                edits.write(row, interventions, prompt_length)
        self._deep.discard(row)
        for shape, edits in self._fixed.items():
            if row < shape:
                try:
                    edits.write(row, interventions, prompt_length)
                except InterventionError:  # valid, as was just seen, but too many on one feature
                    edits.clear(row)
                    self._deep.add(row)
        if interventions:
            self._steered[row] = tuple(interventions), prompt_length
        else:
            self._steered.pop(row, None)

    def steered(self, row: int) -> bool:
        """Whether anything is done to a row."""
        return row in self._steered

    def leave(self, row: int, length: int) -> None:
        """Empties a row that has a text of this length."""
        self.steer(row, (), 0)
        self.cache.clear(row, length)

    def read(self, pieces: Sequence[Piece], record: bool) -> list[tuple[Tensor, dict[int, LayerTrace]]]:
        """Reads pieces of different rows' texts, those of one length together where that gives the same numbers.

        Args:
            pieces: one a row.
            record: give traces.

        Returns:
            By piece: the logits [V] of the token after it, and what the layers did at its last token, [1, 1, ...].
        """
        found: dict[int, tuple[Tensor, dict[int, LayerTrace]]] = {}
        by_padding: dict[int, list[Piece]] = {}
        for piece in pieces:
            by_padding.setdefault(self._padding(piece), []).append(piece)
        for padding, alike in by_padding.items():
            while alike:
                count = max(count for count in self._joined[padding] if count <= len(alike))
                joined, alike = alike[:count], alike[count:]
                for piece, one in zip(joined, self._read(joined, padding, record), strict=True):
                    found[piece.row] = one
        return [found[piece.row] for piece in pieces]

    def _padding(self, piece: Piece) -> int:
        return next(padding for padding in self._paddings if padding >= len(piece.tokens))

    def _read(self, pieces: Sequence[Piece], padding: int, record: bool) -> list[tuple[Tensor, dict[int, LayerTrace]]]:
        """Reads some pieces in one pass [n, padding].

        What fills a piece up sees it, is seen by nobody, and is forgotten.
        """
        device, context = self._model.device, self._context
        ids = torch.tensor([[*piece.tokens, *[0] * (padding - len(piece.tokens))] for piece in pieces], device=device)
        begins = torch.tensor([[piece.position] for piece in pieces], device=device)
        positions = (begins + torch.arange(padding, device=device)).clamp_(max=context - 1)
        length = self._length(max(piece.position + len(piece.tokens) for piece in pieces))
        rows = [piece.row for piece in pieces]
        edits = None
        if any(row in self._steered for row in rows):
            edits = self._own[len(pieces)]
            for number, row in enumerate(rows):
                edits.write(number, *self._steered.get(row, ((), 0)))
        ends = [len(piece.tokens) - 1 for piece in pieces]
        # Never fewer than four rows for the unembedding, either.
        kept = ends + ends[-1:] * max(FEWEST_ROWS - len(ends), 0)
        first = rows == list(range(len(rows)))
        place = Place(torch.tensor(rows, device=device), first, positions, length, self.cache.length)
        logits, traces = self._forward(ids, place, edits, record, torch.tensor(kept, device=device))
        for piece in pieces:
            end = piece.position + len(piece.tokens)
            if len(piece.tokens) < padding and end < context:
                self.cache.clear(piece.row, min(piece.position + padding, context), end)
        return [
            (
                logits[number, number],
                {layer: _at(trace, number, end) for layer, trace in traces.items()},
            )
            for number, end in enumerate(ends)
        ]

    def step(
        self, tokens: Tensor, positions: Tensor, longest: int, record: bool
    ) -> tuple[Tensor, dict[int, LayerTrace]]:
        """Reads one token of each of the first n rows.

        Args:
            tokens: int64 [n]; n is one of `shapes`.
            positions: int64 [n], where each stands in its own text.
            longest: the largest of them.
            record: give traces.

        Returns:
            The logits [n, V] of the tokens after them, and what the layers did, [n, 1, ...].
        """
        count = len(tokens)
        length = self._length(longest + 1)
        steered = any(row < count for row in self._steered)
        if self._graphs is not None and not any(row < count for row in self._deep):
            return self._graphs(tokens, positions, length, steered, record)
        return self._step(tokens, positions, length, self._edits[count] if steered else None, record)

    def _graph_step(
        self, tokens: Tensor, positions: Tensor, length: int, steered: bool, record: bool
    ) -> tuple[Tensor, dict[int, LayerTrace]]:
        """A step that reads nothing but what keeps its place in memory."""
        return self._step(tokens, positions, length, self._fixed[len(tokens)] if steered else None, record)

    def _step(
        self, tokens: Tensor, positions: Tensor, length: int, edits: EditBuffers | None, record: bool
    ) -> tuple[Tensor, dict[int, LayerTrace]]:
        count = len(tokens)
        place = Place(self._numbers[:count], True, positions[:, None], length, self.cache.length)
        logits, traces = self._forward(tokens[:, None], place, edits, record, 1)
        return logits[:, -1], traces

    def _length(self, needed: int) -> int:
        return next(length for length in self._lengths if length >= needed)

    def _masks(self, place: Place) -> Tensor | dict[str, Tensor]:
        """What each token sees, [n, 1, T, length]: 0 up to its own position, −∞ behind it, and before its window."""
        keys, here = self._keys[: place.length], place.positions[:, None, :, None]
        visible = {FULL: keys <= here}
        if self.cache.window is not None:
            visible[SLIDING] = visible[FULL] & (keys > here - self.cache.window)
        masks = {}
        for kind in set(self.cache.kinds):
            masks[kind] = torch.zeros(visible[kind].shape, dtype=self._model.dtype, device=keys.device)
            masks[kind].masked_fill_(~visible[kind], -torch.inf)
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _forward(
        self, ids: Tensor, place: Place, edits: EditBuffers | None, record: bool, kept: Tensor | int
    ) -> tuple[Tensor, dict[int, LayerTrace]]:
        """Logits [n, ·, V] of the places kept, and what the layers did, [n, T, ...]."""
        self.cache.place = place
        with self._lean.use(), whole_rows(), self._model.run(edits, record) as run:
            out = cast(Any, self._model.base)(
                input_ids=ids,
                attention_mask=self._masks(place),
                position_ids=place.positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=kept,
            )
        return out.logits, run.traces

    @torch.inference_mode()
    def _joinable(self) -> dict[int, list[int]]:
        """By padded length, how many pieces can be read together so that each gets the numbers it gets alone."""
        source = torch.Generator().manual_seed(1)
        found: dict[int, list[int]] = {}
        for padding in self._paddings:
            found[padding] = [1]
            count = min(padding, self._context - 1)
            texts = torch.randint(self._model.vocab_size, (MOST_JOINED, count), generator=source).tolist()
            pieces = [Piece(row, text, 0) for row, text in enumerate(texts)]
            for many in _doubling(2, MOST_JOINED):
                if many * padding > self._paddings[-1] or many > self.cache.rows:
                    break
                together = self._read(pieces[:many], padding, False)
                singles = [self._read([pieces[row]], padding, False)[0] for row in (0, many - 1)]
                if undivided(self._model, many * padding) and all(
                    torch.equal(one[0], together[row][0]) for one, row in zip(singles, (0, many - 1), strict=True)
                ):
                    found[padding].append(many)
        for row in range(min(MOST_JOINED, self.cache.rows)):
            self.cache.clear(row, self.cache.length)
        return found

    @torch.inference_mode()
    def _agreeing(self, size: int, unit: int) -> list[int]:
        """The numbers of rows, `size` the largest, of which a step gives every row the same numbers.

        Multiples of `unit` are tried; none is left if `size` itself will not do.

        Lengths of attention that change a number are left out of use for all. Kernels are chosen by shape, not by what
        is in it: so random keys and values will do.

        Raises:
            ConfigError: with this cache the model does not give what it gives without.
        """
        self._steered: dict[int, tuple[tuple[Intervention, ...], int]] = {}
        self._lengths = _doubling(SHORTEST, self.cache.length)
        self._numbers = torch.arange(size, device=self._model.device)
        self._hold_against_model()
        source = torch.Generator().manual_seed(0)
        for part in self.cache.parts:
            part.copy_(torch.randn(part.shape, generator=source))
        ids = torch.randint(self._model.vocab_size, (size,), generator=source).to(self._model.device)
        lengths, shapes = self._lengths, _doubling(_up(FEWEST_ROWS, unit), size)
        whole = lengths[-1]

        def step(rows: int, seen: int, last: int) -> Tensor:
            self._lengths, last = [seen], min(last, self._context - 1)
            return self.step(ids[:rows], torch.full_like(ids[:rows], last), last, False)[0]

        expected = {length: step(size, whole, length - 1) for length in lengths}
        for length in lengths[:-1]:
            if not torch.equal(step(size, length, length - 1), expected[length]):
                lengths.remove(length)
        shapes = [
            rows
            for rows in shapes
            if undivided(self._model, rows)
            and all(
                torch.equal(step(rows, seen, length - 1), expected[length][:rows])
                for length in lengths
                for seen in {length, whole}
            )
        ]
        if size not in shapes:
            shapes = []
        # Every text one row further on: the numbers must go along.
        ids = ids.roll(1)
        for part in self.cache.parts:
            part.copy_(part.roll(1, 0))
        if not all(torch.equal(step(size, whole, length - 1), expected[length].roll(1, 0)) for length in lengths):
            shapes = []
        self._lengths = lengths
        for row in range(size):
            self.cache.clear(row, self.cache.length)
        return shapes

    def _hold_against_model(self) -> None:
        """Reads a text in two pieces and a step, and compares with a pass without a cache."""
        count = min(PROBE, self._context)
        ids = torch.arange(1, count + 1, device=self._model.device)[None] % self._model.vocab_size
        with self._model.run():
            expected = cast(Any, self._model.base)(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
        tokens = ids[0].tolist()
        half = max(min(count // 2, self._paddings[-1]), 1)
        for begin in range(0, count, half):
            piece = Piece(0, tokens[begin : begin + half], begin)
            got, _ = self._read([piece], self._padding(piece), False)[0]
        tolerance = torch.finfo(self._model.dtype).eps ** 0.5 * float(expected.abs().max())
        if not torch.allclose(got, expected, rtol=0.0, atol=tolerance):
            raise ConfigError(
                f"models of the type {self._model.base.config.model_type} cannot be written side by side: their "
                "attention does not take a mask for keys and values that lie in slots"
            )
        self.cache.clear(0, count)


def _at(trace: LayerTrace, row: int, token: int) -> LayerTrace:
    """A trace with the codes of one token of one row, [1, 1, K]."""

    def one(codes: SparseCodes) -> SparseCodes:
        here = slice(row, row + 1), slice(token, token + 1)
        return codes[here]

    whole = None if trace.whole is None else (one(trace.whole[0]), one(trace.whole[1]))
    return trace._replace(codes=one(trace.codes), raw_codes=one(trace.raw_codes), whole=whole)


def alike(model: MFNModel) -> int:
    """Of how many rows, or a multiple, a CPU treats every row of an element-wise function alike.

    torch takes functions such as exp and tanh of whole vectors at a time, and what is left over at the end of a tensor
    one number at a time, by another approximation. So nothing may be left over: rows · width must be a multiple of the
    numbers that it takes at once, for every width that a function may be taken of.
    """
    at_once = _at_once(model)
    return at_once // math.gcd(at_once, *_widths(model))


def undivided(model: MFNModel, rows: int) -> bool:
    """Whether threads, too, that share an element-wise function of so many rows leave nothing over."""
    at_once, threads = _at_once(model), torch.get_num_threads()
    for width in _widths(model):
        parts = min(threads, -(-rows * width // GRAIN))
        if parts > 1 and -(-rows * width // parts) % at_once:
            return False
    return True


def _at_once(model: MFNModel) -> int:
    if model.device.type != "cpu":
        return 1
    return 32 if model.dtype in (torch.float32, torch.float64) else 64  # two vectors of 512 bits


def _widths(model: MFNModel) -> set[int]:
    """Channels of what a model may take functions of: the outputs of its linear maps, and angles of positions."""
    base = cast(Any, model.base)
    found = {int(buffer.numel()) * 2 for name, buffer in base.named_buffers() if name.endswith("inv_freq")}
    head = base.get_output_embeddings()
    for module in base.modules():
        if isinstance(module, Linear | Conv1D) and module is not head:
            found.add(module.weight.shape[0 if isinstance(module, Linear) else 1])
    if getattr(base.config, "final_logit_softcapping", None):
        found.add(model.vocab_size)
    return found


def _up(number: int, unit: int) -> int:
    """The next multiple."""
    return -(-number // unit) * unit


def _doubling(first: int, last: int) -> list[int]:
    """first, twice that, and so on below `last`; and `last`."""
    found = []
    while first < last:
        found.append(first)
        first *= 2
    return [*found, last]

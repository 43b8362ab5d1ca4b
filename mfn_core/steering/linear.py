"""What interventions do to the logits to first order: through the model, and by the direct lens.

Through the model: the derivative of the logits along the change that the interventions make to their layers' codes,
`Σ_j Δz_j · ∂logit/∂z_j`, summed over layers, features and positions; all of the vocabulary in one pass, by forward-mode
differentiation. Each Δz is taken on the untouched text, hence what several interventions do adds up.

What that leaves out is all that does not follow from the slope at the untouched text: the curvature of attention, MLPs
and norms; that an intervention meets another stream where one below it has acted already; and every change in which
features fire later on. The last weighs most in a model whose layers of features replace the stream: TopK keeps the K
features that fire on the untouched text and lets their values move, while in truth a finite change swaps some of them
for others at once, and nothing of that shows in a derivative.

Along the path: the same derivative, not at the untouched text alone but on the mean over points between it and the
steered one, at which a share t of what the interventions do is done already (integrated gradients, Sundararajan et al.
2017, arXiv:1703.01365, with the nodes of Gauss and Legendre). It bends with attention, MLPs and norms, and from where a
later feature has been swapped for another it follows the other. What it still leaves out is the swap itself, a jump,
which no derivative has: where features come and go on the way, the mean of the slopes is not the whole change.

By secants (ours): a finite change is sent through the model, through attention, MLPs and norms by their derivative at
the untouched text, through each layer of features as it is: what the layer makes of the changed stream less what it
makes of the untouched one. So the features that fire are chosen anew, and a swap counts in full; what is left out is
the curvature of what lies between the layers. It takes no more passes than first order.

The direct lens: `α · s_t · Δz_j · (D_j · W_U)`, what a feature's direction alone adds to the logits, if nothing between
its layer and the final norm reacted. It sees the position that predicts and no other. The final norm's own derivative
is taken at the stream that it reads there: its gain, its division by the scale of that token, and that this scale grows
with what is added along the stream. It is a lens: for layers far from the output it mostly shows what a feature says,
not what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.autograd.forward_ad as fwd
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mfn_core.coder import SparseCoder
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel
from mfn_core.run import Run
from mfn_core.slices import Slices, at_once, finish
from mfn_core.steering.results import Method

POINTS = 6  # of a path


@dataclass(frozen=True)
class FirstOrder:
    """Changes of the logits at one position, a row each set of interventions.

    Attributes:
        through: [R, V], through the model, by the method asked for.
        lens: [R, V], by the direct lens.
    """

    through: Tensor
    lens: Tensor


def first_order(
    model: MFNModel,
    ids: Sequence[int],
    rows: Sequence[Sequence[Intervention]],
    position: int = -1,
    batch: int = 16,
    method: Method = "first_order",
) -> FirstOrder:
    """What each set of interventions would do to the logits of the next token.

    Args:
        model: in eval mode.
        ids: T token ids, of which the whole is the prompt where scopes ask.
        rows: R sets, each in the order in which its interventions act.
        position: of the token after which the logits are read, in [−T, T).
        batch: rows at a time, one a point.
        method: by the derivative at the untouched text, on the mean along the path, or by secants.

    Returns:
        In the model's type, on its device.

    Raises:
        InterventionError: an intervention names what is not there.
    """
    return finish(first_order_in_slices(model, ids, rows, position, method, batch))


def first_order_in_slices(
    model: MFNModel,
    ids: Sequence[int],
    rows: Sequence[Sequence[Intervention]],
    position: int = -1,
    method: Method = "first_order",
    batch: int | None = None,
) -> Slices[FirstOrder]:
    """The same in slices: with `batch=None` of as many rows as one has room for."""
    position = range(len(ids))[position]
    places, weights = _nodes(POINTS) if method == "path" else ([0.0], [1.0])
    batch = batch or at_once(len(ids))
    through: list[Tensor] = []
    lens: list[Tensor] = []
    every = [(row, place) for row in rows for place in places]
    for at in range(0, len(every), batch):
        some = every[at : at + batch]
        part = _some(model, ids, [row for row, _ in some], [place for _, place in some], position, method == "secant")
        through.append(part.through)
        lens.append(part.lens)
        yield
    shape = (len(rows), len(places), -1)
    changes, lenses = (torch.cat(parts).reshape(shape) for parts in (through, lens))
    return FirstOrder(torch.einsum("rpv,p->rv", changes, torch.tensor(weights).to(changes)), lenses[:, 0])


def _nodes(points: int) -> tuple[list[float], list[float]]:
    """Where on the path from 0 to 1 the derivative is taken, and how much each counts. First comes 0, for the lens."""
    found, weights = np.polynomial.legendre.leggauss(points)
    return [0.0, *((found + 1) / 2).tolist()], [0.0, *(weights / 2).tolist()]


def _some(
    model: MFNModel,
    ids: Sequence[int],
    rows: Sequence[Sequence[Intervention]],
    places: Sequence[float],
    position: int,
    secants: bool,
) -> FirstOrder:
    edits = edits_of(model, rows, len(ids))
    inputs = torch.tensor([list(ids)], device=model.device).expand(len(rows), -1)
    run = Run()
    place = torch.tensor(places, dtype=torch.float64)[:, None, None]
    tangents = _Tangents(model, run, edits, position, place, secants)
    # fused attention kernels have no forward-mode derivative; the plain formula has
    with torch.no_grad(), fwd.dual_level(), sdpa_kernel(SDPBackend.MATH), tangents.hooked(), model.stage.use(run):
        kept = len(ids) - position
        logits = cast(Any, model.base)(input_ids=inputs, use_cache=False, logits_to_keep=kept).logits[:, 0]
        plain, through = _parts(logits)
        return FirstOrder(torch.zeros_like(plain) if through is None else through, tangents.lens(plain))


def edits_of(model: MFNModel, rows: Sequence[Sequence[Intervention]], prompt_length: int) -> EditBuffers:
    """Buffers of the model's own type with a row each set of interventions.

    Raises:
        InterventionError: an intervention names what is not there.
    """
    slots = max(1, *map(len, rows))
    dtype = torch.float64 if model.dtype == torch.float64 else torch.float32
    edits = EditBuffers.allocate(
        model.n_features, len(rows), slots, device=model.device, dtype=dtype, signed=model.signed
    )
    for row, interventions in enumerate(rows):
        edits.write(row, interventions, prompt_length)
    return edits


@dataclass
class _Tangents:
    """Gives what each layer of features passes on the tangent that its interventions are, and keeps the lens's share.

    Attributes:
        model, run, edits: of the pass.
        position: that predicts.
        place: [R, 1, 1], how much of what the interventions do is done already.
        secants: layers pass on the difference that a change of their stream makes, instead of the derivative.
        written: [R, d], what all layers write to the stream there, in its own units.
        stream: [R, d], what the final norm reads there.
    """

    model: MFNModel
    run: Run
    edits: EditBuffers
    position: int
    place: Tensor
    secants: bool
    written: Tensor | None = None
    stream: Tensor | None = field(default=None)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        hooks = [
            coder.register_forward_hook(self._adding(number, coder)) for number, coder in self.model.coders.items()
        ]
        norm = self.model.family.final_norm(self.model.base)
        if norm is not None:
            hooks.append(norm.register_forward_pre_hook(self._read_stream))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _adding(self, number: int, coder: SparseCoder) -> Callable[..., Tensor]:
        def add(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if self.secants:
                return self._difference(number, coder, args[0], output)
            # What a layer passes on is linear in its code: the difference of its two outputs is α s Σ Δz_j D_j, the
            # tangent asked for, whatever kind of code it is. With a share t of it done, a layer passes on
            # plain + t · change, whose derivative by t is plain' + change + t · change'.
            begun = bool(self.place.any())
            edited = _parts(self._edited(coder, args[0] if begun else _parts(args[0])[0]))
            primal, tangent = _parts(output)
            change = edited[0] - primal
            if not bool(change.any()):
                return output
            self._write(number, coder, change[:, self.position])
            moved = change if tangent is None else tangent + change
            if not begun:
                return _dual(primal, moved)
            place = self.place.to(primal)
            if edited[1] is not None or tangent is not None:
                moved = moved + place * (_or_zero(edited[1], primal) - _or_zero(tangent, primal))
            return _dual(primal + place * change, moved)

        return add

    def _difference(self, number: int, coder: SparseCoder, dual: Tensor, output: Tensor) -> Tensor:
        """What a layer passes on, with what a finite change of its stream and its interventions make of it."""
        h, moved = _parts(dual)
        plain = _parts(output)[0]
        own = self._edited(coder, h) - plain
        if bool(own.any()):
            self._write(number, coder, own[:, self.position])
        return _dual(plain, own if moved is None else self._edited(coder, h + moved) - plain)

    def _edited(self, coder: SparseCoder, h: Tensor) -> Tensor:
        self.run.edits = self.edits
        try:
            return coder.forward(h)
        finally:
            self.run.edits = None

    def _write(self, number: int, coder: SparseCoder, change: Tensor) -> None:
        if coder.config.site == "mlp_hidden":
            change = change @ self.model.family.down_directions(self.model.base, number).to(change.dtype)
        self.written = change if self.written is None else self.written + change

    def _read_stream(self, module: Any, args: tuple[Tensor, ...]) -> None:
        self.stream = _parts(args[0])[0][:, self.position]

    def lens(self, logits: Tensor) -> Tensor:
        """[R, V], for the untouched logits [R, V] at the position. Within the pass's dual level."""
        if self.written is None:
            return torch.zeros_like(logits)
        family, base = self.model.family, self.model.base
        norm, read = family.final_norm(base), self.written
        if norm is not None:
            assert self.stream is not None
            moved = _parts(norm.forward(_dual(self.stream, self.written)))[1]
            assert moved is not None
            read = moved
        unembedding = family.unembedding(base)
        change = read.to(unembedding.dtype) @ unembedding.t()
        cap = getattr(base.config, "final_logit_softcapping", None)
        return change if cap is None else change * (1 - (logits / cap).square())  # the derivative of cap · tanh(y/cap)


def _dual(value: Tensor, tangent: Tensor) -> Tensor:
    """A value that carries its tangent."""
    return cast(Tensor, fwd.make_dual(value, tangent))  # type: ignore[no-untyped-call]


def _or_zero(tangent: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if tangent is None else tangent


def _parts(dual: Tensor) -> tuple[Tensor, Tensor | None]:
    """The two again; None where there is no tangent."""
    return cast("tuple[Tensor, Tensor | None]", fwd.unpack_dual(dual))  # type: ignore[no-untyped-call]

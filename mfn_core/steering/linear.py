"""What interventions do to the logits to first order: through the model, and by the direct lens.

Through the model: the derivative of the logits along the change that the interventions make to their layers' codes,
`Σ_j Δz_j · ∂logit/∂z_j`, summed over layers, features and positions; all of the vocabulary in one pass, by forward-mode
differentiation. Each Δz is taken on the untouched text, hence what several interventions do adds up.

What that leaves out is all that does not follow from the slope at the untouched text: the curvature of attention, MLPs
and norms; that an intervention meets another stream where one below it has acted already; and every change in which
features fire later on. The last weighs most in a model whose layers of features replace the stream: TopK keeps the K
features that fire on the untouched text and lets their values move, while in truth a finite change swaps some of them
for others at once, and nothing of that shows in a derivative.

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

import torch
import torch.autograd.forward_ad as fwd
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mfn_core.coder import SparseCoder
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel
from mfn_core.run import Run


@dataclass(frozen=True)
class FirstOrder:
    """Changes of the logits at one position, a row each set of interventions.

    Attributes:
        through: [R, V], through the model.
        lens: [R, V], by the direct lens.
    """

    through: Tensor
    lens: Tensor


def first_order(
    model: MFNModel, ids: Sequence[int], rows: Sequence[Sequence[Intervention]], position: int = -1, batch: int = 16
) -> FirstOrder:
    """What each set of interventions would do to the logits of the next token, to first order.

    Args:
        model: in eval mode.
        ids: T token ids, of which the whole is the prompt where scopes ask.
        rows: R sets, each in the order in which its interventions act.
        position: of the token after which the logits are read, in [−T, T).
        batch: rows at a time.

    Returns:
        In the model's type, on its device.

    Raises:
        InterventionError: an intervention names what is not there.
    """
    position = range(len(ids))[position]
    parts = [_some(model, ids, rows[at : at + batch], position) for at in range(0, len(rows), batch)]
    return FirstOrder(torch.cat([p.through for p in parts]), torch.cat([p.lens for p in parts]))


def _some(model: MFNModel, ids: Sequence[int], rows: Sequence[Sequence[Intervention]], position: int) -> FirstOrder:
    edits = edits_of(model, rows, len(ids))
    inputs = torch.tensor([list(ids)], device=model.device).expand(len(rows), -1)
    run = Run()
    tangents = _Tangents(model, run, edits, position)
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
        written: [R, d], what all layers write to the stream there, in its own units.
        stream: [R, d], what the final norm reads there.
    """

    model: MFNModel
    run: Run
    edits: EditBuffers
    position: int
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
            # What a layer passes on is linear in its code: the difference of its two outputs is α s Σ Δz_j D_j, the
            # tangent asked for, whatever kind of code it is.
            h = _parts(args[0])[0]
            plain = _parts(output)[0]
            self.run.edits = self.edits
            try:
                change = coder.forward(h) - plain
            finally:
                self.run.edits = None
            if not bool(change.any()):
                return output
            self._write(number, coder, change[:, self.position])
            primal, tangent = _parts(output)
            return _dual(primal, change if tangent is None else tangent + change)

        return add

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


def _parts(dual: Tensor) -> tuple[Tensor, Tensor | None]:
    """The two again; None where there is no tangent."""
    return cast("tuple[Tensor, Tensor | None]", fwd.unpack_dual(dual))  # type: ignore[no-untyped-call]

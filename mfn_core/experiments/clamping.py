"""P4 measured: features drawn from all that fire, clamped, and beside each a random direction in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.evaluation.inner_change import watched
from mfn_core.evaluation.late_start import padded_ids
from mfn_core.evaluation.predictions.p4 import DOSES, FeatureSweep
from mfn_core.interventions import Intervention, Scope
from mfn_core.metrics.outputs import kl
from mfn_core.model import MFNModel
from mfn_core.run import LayerTrace
from mfn_core.steering.agreeing import TOP, agreement, centred
from mfn_core.steering.linear import edits_of, first_order
from mfn_core.steering.pushes import in_stream, pushed, random_direction, slope_along, written

SHORTEST, LONGEST = 8, 64  # tokens of the texts at whose end features are clamped
OTHER_TEXTS, OTHER_TOKENS = 4, 48  # in which side effects are looked for
READ = 500  # texts among whose tokens features are drawn
NO_STEP = 1e-3  # of the peak: a step so short drowns in rounding

LAST = Scope("generation")  # of a text that is all prompt: its last token
BEHIND_FIRST = Scope("range", 1, OTHER_TOKENS)  # the first token's stream is like no other
Progress = Callable[[int, int], None]
Rows = Sequence[NDArray[np.int64]]


class Place(NamedTuple):
    """A feature, and a token on which it fires.

    Attributes:
        layer, feature: which.
        row, position: of the text, and in it.
        peak: its strength, sign included, where it is greatest by magnitude in all that was read.
        silent: numbers of texts in which it does not fire; empty where there is none.
    """

    layer: int
    feature: int
    row: int
    position: int
    peak: float
    silent: tuple[int, ...]


def usable(rows: Rows) -> list[NDArray[np.int64]]:
    """Texts long enough for a feature to be clamped behind something, cut to a length; some hundred of them."""
    return [row[:LONGEST] for row in rows if len(row) > SHORTEST][:READ]


@torch.no_grad()
def places(
    model: MFNModel, rows: Rows, per_layer: int, seed: int = 0, batch: int = 16, progress: Progress = lambda *at: None
) -> list[Place]:
    """Features drawn by lot from all of each layer that fire, each with a token drawn from those on which it does.

    Args:
        model: with layers of features of any kind.
        rows: token ids, as `usable` gives them; tokens from number `SHORTEST` on are drawn from.
        per_layer: features of a layer; fewer where fewer fire.
        seed: of the lots.
        batch: rows in a forward pass.
        progress: told how many rows have been read, and of how many.
    """
    rng = np.random.default_rng(seed)
    fired: dict[int, list[NDArray[np.float64]]] = {n: [] for n in model.coders}
    for at in range(0, len(rows), batch):
        ids, lengths = padded_ids(rows[at : at + batch], model.device)
        for number, trace in model(ids, record="codes", logits_to_keep=1).traces.items():
            for i, length in enumerate(lengths):
                indices, values = trace.codes.indices[i, :length], trace.codes.values[i, :length]
                position, entry = (values != 0).nonzero(as_tuple=True)
                columns = indices[position, entry], values[position, entry], position
                kept = [column.double().cpu().numpy() for column in columns]
                fired[number].append(np.stack([*kept, np.full(len(kept[0]), at + i)], axis=1))
        progress(min(at + batch, len(rows)), len(rows))
    fit = [n for n, row in enumerate(rows) if len(row) >= OTHER_TOKENS]
    found: list[Place] = []
    for number, parts in fired.items():
        entries = np.concatenate([part[part[:, 2] > 0] for part in parts])
        late = entries[entries[:, 2] >= SHORTEST]
        for feature in rng.permutation(np.unique(late[:, 0]))[:per_layer]:
            own = entries[entries[:, 0] == feature]
            drawn = rng.choice(late[late[:, 0] == feature])
            peak = own[np.abs(own[:, 1]).argmax(), 1]
            silent = np.setdiff1d(fit, own[:, 3])
            chosen = tuple(int(n) for n in rng.permutation(silent)[:OTHER_TEXTS])
            found.append(Place(number, int(feature), int(drawn[3]), int(drawn[2]), float(peak), chosen))
    return found


@torch.no_grad()
def sweep(model: MFNModel, rows: Rows, place: Place, seed: int = 0) -> FeatureSweep:
    """Clamps one feature to all doses at the token it was drawn with, and looks at what that does.

    Args:
        model: in eval mode.
        rows: those that the place was drawn from.
        place: the feature and its token.
        seed: of the random direction in its place.
    """
    ids = rows[place.row][: place.position + 1].tolist()
    turns = [[Intervention(place.layer, place.feature, "set", dose * place.peak, LAST)] for dose in DOSES]
    measured = _Measured(model, ids, place, turns)
    # linear in Δz: one derivative tells of all doses. The greatest dose is farther from any strength that occurs.
    steps = [dose * place.peak - measured.value for dose in DOSES]
    order = first_order(model, ids, turns[-1:])
    slope, lens = (centred(part[0].double()) / steps[-1] for part in (order.through, order.lens))
    secant = first_order(model, ids, turns, method="secant").through
    direction = random_direction(model, place.layer, seed)
    along = centred(slope_along(model, ids, place.layer, direction).double())
    signed = [length if step >= 0 else -length for length, step in zip(measured.lengths, steps, strict=True)]
    stray = measured.pushed(direction, signed)
    full, sign = DOSES.index(1.0), 1 if place.peak >= 0 else -1
    rising = _rising(slope * sign)
    # where a dose is the strength that it has there already, nothing is told
    acts = [abs(step) > NO_STEP * abs(place.peak) for step in steps]

    def told(predicted: Iterable[Tensor], changes: Tensor) -> list[float | None]:
        both = zip(acts, predicted, changes, strict=True)
        return [_rho(one, other) if acting else None for acting, one, other in both]

    off, on, random_on = _elsewhere(model, rows, place, direction)
    return FeatureSweep(
        layer=place.layer,
        feature=place.feature,
        tokens=len(ids),
        value=measured.value,
        peak=place.peak,
        length=measured.lengths[full] / measured.stream,
        first_order=told((step * slope for step in steps), measured.changes),
        secant=told(secant, measured.changes),
        lens=told((step * lens for step in steps), measured.changes),
        random=told((step * along for step in signed), stray.changes),
        rise=_rise(measured.changes[:, rising]),
        random_rise=_rise(stray.changes[:, _rising(along * sign)]),
        predicted=float((steps[full] * slope)[rising].mean()),
        measured=float(measured.changes[full, rising].mean()),
        kl=measured.kl,
        random_kl=stray.kl,
        inside=_inside(model, ids, place, turns[full], direction * signed[full]),
        off=off,
        on=on,
        random_on=random_on,
    )


def _keeping(outputs: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def keep(output: Tensor) -> Tensor:
        outputs.append(output)
        return output

    return keep


class _Pushed(NamedTuple):
    changes: Tensor  # [doses, V], about their means
    kl: list[float]


class _Measured:
    """What clamping to each dose did."""

    def __init__(
        self, model: MFNModel, ids: Sequence[int], place: Place, turns: Sequence[Sequence[Intervention]]
    ) -> None:
        self._model, self._place = model, place
        self._inputs = torch.tensor([list(ids)] * (len(turns) + 1), device=model.device)
        outputs: list[Tensor] = []
        # the untouched text is a row of the same batch, so that where nothing is changed nothing differs
        with pushed(model, place.layer, _keeping(outputs)):
            out = model(self._inputs, edits=edits_of(model, [(), *turns], len(ids)), record=True, logits_to_keep=1)
        passed = in_stream(model, place.layer, outputs[0][:, -1])
        self.lengths = [float(length) for length in (passed[1:] - passed[0]).norm(dim=-1)]
        self.stream = float(passed[0].norm())
        self.value = _value(out.traces[place.layer], place.feature)
        self.changes, self.kl = _Pushed(*_changes(out.logits[:, -1]))

    def pushed(self, direction: Tensor, amounts: Sequence[float]) -> _Pushed:
        """The same where so much of a direction is added instead."""
        amount = torch.tensor([0.0, *amounts], dtype=direction.dtype, device=direction.device)

        def push(output: Tensor) -> Tensor:
            moved = output.clone()
            moved[:, -1] += amount[:, None] * direction
            return moved

        with pushed(self._model, self._place.layer, push):
            return _changes(self._model(self._inputs, logits_to_keep=1).logits[:, -1])


def _value(trace: LayerTrace, feature: int) -> float:
    """Before interventions, at the last token of the first row."""
    codes = trace.raw_codes if trace.whole is None else trace.whole[0]
    return float(codes[0, -1].value_of(feature))


def _changes(logits: Tensor) -> _Pushed:
    """Of rows [1 + doses, V] to the first."""
    return _Pushed(centred((logits[1:] - logits[:1]).double()), kl(logits[:1], logits[1:]).tolist())


def _rho(predicted: Tensor, measured: Tensor) -> float:
    """0 where one of them does not change: nothing was told, or nothing came."""
    return agreement(predicted, measured).spearman or 0.0


def _rising(slope: Tensor) -> Tensor:
    """The tokens that are to rise most."""
    return slope.topk(min(TOP, len(slope))).indices


def _rise(changes: Tensor) -> float:
    """Spearman's ρ of the doses and how far some tokens moved, [doses, tokens]."""
    doses = torch.tensor(DOSES, dtype=torch.float64, device=changes.device)
    return _rho(doses, changes.mean(-1))


def _inside(
    model: MFNModel, ids: Sequence[int], place: Place, turn: Sequence[Intervention], push: Tensor
) -> list[dict[str, float]]:
    """How far blocks moved from the layer on, by the feature and by the random direction."""

    def add(output: Tensor) -> Tensor:
        moved = output.clone()
        moved[2, -1] += push
        return moved

    inputs = torch.tensor([list(ids)] * 3, device=model.device)
    with watched(model) as inside, pushed(model, place.layer, add):
        model(inputs, edits=edits_of(model, [(), turn, ()], len(ids)), logits_to_keep=1)
    both = zip(inside.changes(0, 1, place.layer), inside.changes(0, 2, place.layer), strict=True)
    return [
        asdict(ours) | {f"random_{name}": value for name, value in asdict(random).items() if name != "block"}
        for ours, random in both
    ]


def _elsewhere(model: MFNModel, rows: Rows, place: Place, direction: Tensor) -> Sequence[float | None]:
    """KL a token in other texts: the feature off, on, and the random direction on. None where there is no such text."""
    if not place.silent:
        return None, None, None
    texts = torch.stack([torch.from_numpy(rows[n][:OTHER_TOKENS]) for n in place.silent]).to(model.device)
    turns = [
        (),
        (Intervention(place.layer, place.feature, "ablate", scope=BEHIND_FIRST),),
        (Intervention(place.layer, place.feature, "set", place.peak, BEHIND_FIRST),),
    ]
    inputs = texts.repeat(len(turns), 1)
    sets = [turn for turn in turns for _ in texts]
    logits = model(inputs, edits=edits_of(model, sets, OTHER_TOKENS)).logits.view(
        len(turns), len(texts), OTHER_TOKENS, -1
    )
    added = written(model, texts, place.layer, [turns[-1]] * len(texts))
    length = in_stream(model, place.layer, added).norm(dim=-1, keepdim=True)
    with pushed(model, place.layer, lambda output: output + length * direction):
        stray = model(texts).logits
    return [float(kl(logits[0], changed).mean()) for changed in (logits[1], logits[2], stray)]

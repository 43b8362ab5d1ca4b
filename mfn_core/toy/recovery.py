"""Does a layer of features find the features that were planted? Against a post-hoc SAE, and against neurons.

The world is that of `engineering`: N sparse features pass a fixed random projection P to m dimensions, so that what a
dictionary ought to find is known: the columns of P. Four kinds of units are trained on the same task, on equally many
samples, at equal width:

- an MFN layer before the two-layer model, which sees nothing but its code; trained by the task and the pressures;
- a TopK SAE of equal K on the same stream of the model without a layer, after the fact;
- the neurons of that model, as they come, and engineered ones, whose biases began at −1 (`engineering`).

(ours)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.baselines.config import SAEConfig
from mfn_core.baselines.objectives import objective_of
from mfn_core.baselines.sae import SAE
from mfn_core.coder import SparseCoder
from mfn_core.config import MFNLayerConfig
from mfn_core.errors import ConfigError
from mfn_core.layer import MFNLayer
from mfn_core.losses import Competition, FeatureStatistics, Rate, Reconstruction, Stability
from mfn_core.metrics.dictionaries import cosines, match
from mfn_core.run import LayerTrace, Run
from mfn_core.toy.engineering import Engineered, ToyModel, relative_error, train
from mfn_core.toy.work import Progress

RECOVERED = 0.9
"""Cosine, or correlation, from which on a planted feature counts as found."""
SAMPLES = 16_384  # on which activations are compared
NOISE = 0.1  # of the perturbed pass, relative to the stream's root mean square (the trainer's default)
RECON, RATE, COMP, STAB = 0.5, 0.01, 0.01, 0.05  # weights beside the task's loss (the trainer's defaults)
HORIZON = 50_000  # samples over which rates and strengths are averaged (the trainer's default)


@dataclass(frozen=True)
class Recovery:
    """What is trained.

    Attributes:
        world: task, sizes and training, of the model and of what is compared with it. Its neurons are as many as
            features of layer and SAE.
        k: K of layer and SAE.
    """

    world: Engineered
    k: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.world.neurons:
            raise ConfigError(f"k must lie between 1 and the {self.world.neurons} units, not {self.k}")


class Found(NamedTuple):
    """How much of what was planted some units find.

    Attributes:
        cosine: mean over planted directions of the greatest cosine with a unit's.
        identified: share of planted features that the best one-to-one matching pairs with a direction of cosine 0.9
            or more.
        read: share of planted features whose strength some unit's activation follows, correlation 0.9 or more.
        loss: of the model they belong to, at its task (see `engineering.Outcome`); NaN for random directions.
    """

    cosine: float
    identified: float
    read: float
    loss: float


UNITS = ("MFN", "SAE", "engineered neurons", "neurons", "random directions")


def recover(case: Recovery, progress: Progress | None = None) -> dict[str, Found]:
    """Trains all kinds of units in one world and compares them with what was planted, by `UNITS`."""
    world, count = case.world, 4 * case.world.steps
    begun = [0]

    def told(step: int, steps: int) -> None:
        if progress is not None:
            progress(begun[0] + step, count)

    def next_one() -> None:
        begun[0] += world.steps

    plain, outcome = train(replace(world, bias=0.0, bias_decay=0.0), told)
    next_one()
    engineered, better = train(replace(world, bias=-1.0), told)
    next_one()
    layer, layer_loss = _train_mfn(case, plain.P, told)
    next_one()
    sae = _train_sae(case, plain, told)
    f = plain.features(SAMPLES, torch.Generator().manual_seed(world.seed + 3))
    x = f @ plain.P.T
    planted = plain.P.T
    random = F.normalize(torch.randn(world.neurons, world.inputs, generator=torch.Generator().manual_seed(world.seed)))
    with torch.no_grad():
        return {
            "MFN": _found(planted, layer.directions, f, _codes(layer, x), layer_loss),
            "SAE": _found(planted, sae.directions, f, _codes(sae, x), outcome.loss),
            "engineered neurons": _found(planted, engineered.W_in, f, engineered.activations(f), better.loss),
            "neurons": _found(planted, plain.W_in, f, plain.activations(f), outcome.loss),
            "random directions": _found(planted, random, f, F.relu(x @ random.T), float("nan")),
        }


def correlations(planted: Tensor, units: Tensor) -> Tensor:
    """Pearson correlation over samples of every planted feature with every unit, float64 [N, F]; 0 for one that never
    changes. Shapes: [S, N], [S, F]."""

    def standard(values: Tensor) -> Tensor:
        centred = values.double() - values.double().mean(dim=0)
        lengths: Tensor = centred.norm(dim=0)
        return centred / lengths.clamp_min(1e-12)

    return standard(planted).T @ standard(units)


def _found(planted: Tensor, directions: Tensor, f: Tensor, units: Tensor, loss: float) -> Found:
    similar = cosines(planted, directions)
    return Found(
        float(similar.amax(dim=1).mean()),
        float((match(similar).similarity >= RECOVERED).double().mean()),
        float((correlations(f, units).amax(dim=1) >= RECOVERED).double().mean()),
        loss,
    )


def _codes(coder: SparseCoder, x: Tensor) -> Tensor:
    """z, dense [S, F], in units of the stream: what a unit says of a feature's strength counts the sample's scale."""
    codes, scale = coder.encode(x)
    return codes.dense() * scale


def _train_mfn(case: Recovery, P: Tensor, told: Progress) -> tuple[MFNLayer, float]:
    """A layer before a model of its own, trained together, in the same world; and its loss at the task."""
    world = case.world
    torch.manual_seed(world.seed)  # layers start from torch's own generator
    layer = MFNLayer(world.inputs, MFNLayerConfig(world.neurons, case.k))
    model = ToyModel(world)
    model.P.copy_(P)
    statistics = FeatureStatistics(world.neurons, HORIZON)
    recon, rate, comp, stab = Reconstruction(), Rate(), Competition(), Stability()
    keep = torch.ones(1, world.batch, dtype=torch.bool)
    every = slice(None)
    noise = torch.Generator().manual_seed(world.seed + 4)

    def traced(h: Tensor, run: Run) -> tuple[Tensor, LayerTrace]:
        layer.stage.run = run
        try:
            out: Tensor = layer(h)
            return out, run.traces[layer.number]
        finally:
            layer.stage.run = None

    def loss_of(f: Tensor) -> Tensor:
        h = (f @ P.T)[None]
        out, trace = traced(h, Run(branch="train"))
        statistics.update(trace.raw_codes, keep)
        spread = NOISE * h.square().mean().sqrt()
        _, moved = traced(h + spread * torch.randn(h.shape, generator=noise), Run(branch="stability"))
        return (
            relative_error(model.answer(out[0]), model.target(f))
            + RECON * recon(trace, keep)
            + RATE * rate(trace, keep, every, statistics.rate, case.k / world.neurons)
            + COMP * comp(trace, keep, statistics.power, every)
            + STAB * stab(trace, moved, every, keep)
        )

    _descend(world, model, [*layer.parameters(), *model.parameters()], loss_of, layer, told)
    with torch.no_grad():
        fresh = model.features(SAMPLES, torch.Generator().manual_seed(world.seed + 2))
        return layer, float(relative_error(model.answer(layer(fresh @ P.T)), model.target(fresh)))


def _train_sae(case: Recovery, model: ToyModel, told: Progress) -> SAE:
    """A TopK SAE on the stream of a model that is done."""
    world = case.world
    torch.manual_seed(world.seed)
    sae = SAE(world.inputs, SAEConfig(world.neurons, "topk", case.k))
    objective = objective_of(sae)
    keep = torch.ones(1, world.batch, dtype=torch.bool)
    done = [0]

    def loss_of(f: Tensor) -> Tensor:
        run = Run(branch="train")
        sae.stage.run = run
        sae((f @ model.P.T)[None])
        sae.stage.run = None
        done[0] += 1
        return objective(sae, run.traces[sae.number], keep, done[0] / world.steps).loss

    _descend(world, model, list(sae.parameters()), loss_of, sae, told)
    return sae


def _descend(
    world: Engineered,
    source: ToyModel,
    parameters: list[nn.Parameter],
    loss_of: Callable[[Tensor], Tensor],
    coder: MFNLayer | SAE,
    told: Progress,
) -> None:
    """Adam on fresh features each step, with directions kept at unit norm; schedule and data as in `train`."""
    rng = torch.Generator().manual_seed(world.seed + 1)
    optimizer = torch.optim.Adam(parameters, lr=world.lr)
    for step in range(world.steps):
        for group in optimizer.param_groups:
            group["lr"] = world.rate(step)
        loss = loss_of(source.features(world.batch, rng))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        coder.project_decoder_grad_()
        optimizer.step()
        coder.normalize_decoder_()
        if (step + 1) % 50 == 0:
            told(step + 1, world.steps)

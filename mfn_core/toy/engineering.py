"""Monosemanticity by training: equal losses, very different neurons; `ŷ = W₂ ReLU(W₁ P f + b)`.

Sparse features pass a fixed random projection, as the world might present them, into a layer of neurons. Which local
minimum training finds decides whether neurons stand for single features; the bias at the start and the learning rate
decide which it finds.

Source: Jermyn, Schiefer, Hubinger 2022, *Engineering Monosemanticity in Toy Models* (arXiv 2211.09169).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfn_core.errors import ConfigError
from mfn_core.toy.work import Progress

Task = Literal["decoder", "reprojector", "absolute"]

MONOSEMANTIC = 0.999
"""r of a neuron above which it counts as monosemantic (the source's)."""
FIRES = 1e-6  # an activation below which a neuron is silent
BF16_FROM = 2**17  # weights; with fewer, bfloat16 costs a CPU more than it saves


@dataclass(frozen=True)
class Engineered:
    """One model to train.

    Attributes:
        task: `decoder` gives the features back; `reprojector` another random projection of them; `absolute` their
            absolute values, features then lying in [−1, 1].
        features: N. inputs: m, what they are projected to. neurons: k.
        density: ε, the chance that a feature is present.
        bias: mean of the neurons' biases at the start.
        bias_decay: decoupled decay of the biases in the first half of training, in units of the learning rate.
        lr, batch, steps: of Adam.
        seed: of projection, weights and data.
    """

    task: Task = "decoder"
    features: int = 512
    inputs: int = 64
    neurons: int = 1024
    density: float = 1 / 64
    bias: float = 0.0
    bias_decay: float = 0.0
    lr: float = 5e-3
    batch: int = 128
    steps: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise ConfigError(f"task must be one of {', '.join(get_args(Task))}, not {self.task!r}")
        if not 1 <= self.inputs <= self.features:
            raise ConfigError(f"inputs must be between 1 and the {self.features} features, not {self.inputs}")
        if not 0.0 < self.density <= 1.0:
            raise ConfigError(f"a density is above 0 and at most 1, not {self.density}")
        if min(self.neurons, self.steps, self.batch) < 1 or self.lr <= 0:
            raise ConfigError("neurons, steps, batch and lr must be positive")

    def rate(self, step: int) -> float:
        """The learning rate of a step, the first being 0: constant for the first half, then falling to 0 (ours)."""
        return self.lr * min(1.0, 2 * (1 - step / self.steps))


class ToyModel(nn.Module):
    """`ŷ = W₂ ReLU(W₁ x + b)`, of inputs x = P f [B, m] to outputs [B, o]. P [m, N] and, where the task is to project
    again, the target's P' [m, N] are fixed.
    """

    P: Tensor
    P_out: Tensor

    def __init__(self, case: Engineered) -> None:
        super().__init__()
        self.case = case
        rng = torch.Generator().manual_seed(case.seed)
        m, n, k = case.inputs, case.features, case.neurons
        self.register_buffer("P", torch.randn(m, n, generator=rng) / m**0.5)  # a feature becomes a unit vector, nearly
        self.register_buffer("P_out", torch.randn(m, n, generator=rng) / m**0.5)
        outputs = m if case.task == "reprojector" else n
        self.W_in = nn.Parameter(torch.randn(k, m, generator=rng) / m**0.5)
        self.bias = nn.Parameter(case.bias + torch.randn(k, generator=rng) / m**0.5)
        # small, so that the first steps do not silence neurons for what others answer wrongly (ours)
        self.W_out = nn.Parameter(0.3 * torch.randn(outputs, k, generator=rng) / k**0.5)

    def features(self, count: int, rng: torch.Generator) -> Tensor:
        """Draws [count, N]: each present with chance ε, then uniform in [0, 1], or [−1, 1] for absolute values."""
        drawn = 1 - torch.rand(count, self.case.features, generator=rng) / self.case.density
        if self.case.task == "absolute":
            return torch.where(drawn > 0, 2 * drawn - 1, 0.0)
        return F.relu(drawn)

    def target(self, features: Tensor) -> Tensor:
        """What the task asks for, [B, o]."""
        match self.case.task:
            case "reprojector":
                return features @ self.P_out.T
            case "absolute":
                return features.abs()
            case _:
                return features

    def activations(self, features: Tensor) -> Tensor:
        """Of the neurons, [B, k], on features [B, N]."""
        return self._neurons(features @ self.P.T)

    def answer(self, x: Tensor) -> Tensor:
        """ŷ [B, o] of inputs [B, m]. While a large model trains, W₂ is multiplied in bfloat16 by a CPU that has units
        for it: most of a step is that product and the two of its gradient.
        """
        a = self._neurons(x)
        if self.training and self.W_out.numel() >= BF16_FROM and has_bf16_units():
            return (a.bfloat16() @ self.W_out.T.bfloat16()).float()
        return a @ self.W_out.T

    def forward(self, features: Tensor) -> Tensor:
        """ŷ [B, o] of features [B, N]."""
        return self.answer(features @ self.P.T)

    def _neurons(self, x: Tensor) -> Tensor:
        return F.relu(F.linear(x, self.W_in, self.bias))


@cache
def has_bf16_units() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware. Where it does not, PyTorch imitates it, many times slower."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    return any(value for name, value in torch.cpu.get_capabilities().items() if "bf16" in name)


@dataclass(frozen=True)
class Neurons:
    """What the neurons of a trained model stand for.

    Attributes:
        purity: float32 [k], `r = max_f a_f / Σ_f a_f` over single features at full strength (for absolute values, at
            both signs); NaN for a neuron that is silent for all of them.
        feature: int64 [k], the feature that a neuron fires most for; −1 for a silent one.
    """

    purity: Tensor
    feature: Tensor

    @property
    def monosemantic(self) -> int:
        """How many neurons stand for one feature, r > 0.999."""
        return int((self.purity > MONOSEMANTIC).sum())  # NaN is not above anything

    @property
    def silent(self) -> int:
        """How many never fire for a single feature."""
        return int(self.purity.isnan().sum())

    @property
    def covered(self) -> int:
        """How many features have a monosemantic neuron of their own."""
        return len(set(self.feature[self.purity > MONOSEMANTIC].tolist()))


@dataclass(frozen=True)
class Outcome:
    """What training one model came to.

    Attributes:
        case: what was trained.
        loss: mean squared error over fresh features, in units of the mean square of the target: 1 is what an answer of
            zeros has.
        neurons: what they stand for.
        bias: float32 [k], the biases at the end.
        curve: (step, loss) now and then, over the training batches in between.
    """

    case: Engineered
    loss: float
    neurons: Neurons
    bias: Tensor
    curve: tuple[tuple[int, float], ...]


def train(case: Engineered, progress: Progress | None = None) -> tuple[ToyModel, Outcome]:
    """Trains one model by Adam on fresh features each step; the same case gives the same numbers on one machine."""
    model = ToyModel(case)
    rng = torch.Generator().manual_seed(case.seed + 1)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    every = max(1, case.steps // 50)
    curve: list[tuple[int, float]] = []
    late = 0.0
    for step in range(case.steps):
        lr = case.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        features = model.features(case.batch, rng)
        loss = relative_error(model(features), model.target(features))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if case.bias_decay and step < case.steps // 2:
            with torch.no_grad():
                model.bias.mul_(1 - lr * case.bias_decay)
        late += float(loss.detach()) / every
        if (step + 1) % every == 0:
            curve.append((step + 1, late))
            late = 0.0
            if progress is not None:
                progress(step + 1, case.steps)
    model.eval()
    with torch.no_grad():
        fresh = model.features(16_384, torch.Generator().manual_seed(case.seed + 2))
        error = float(relative_error(model(fresh), model.target(fresh)))
        neurons = neurons_of(model)
    return model, Outcome(case, error, neurons, model.bias.detach().clone(), tuple(curve))


def relative_error(answer: Tensor, target: Tensor) -> Tensor:
    """Mean squared error in units of the target's mean square, []."""
    return (answer - target).square().mean() / target.square().mean()


@torch.no_grad()
def neurons_of(model: ToyModel) -> Neurons:
    """What each neuron stands for, from its activations on single features."""
    single = torch.eye(model.case.features)
    found = model.activations(single)
    if model.case.task == "absolute":  # a neuron may stand for one sign of a feature
        found = torch.maximum(found, model.activations(-single))
    return purity_of(found)


def purity_of(activations: Tensor) -> Neurons:
    """From activations on single features, [N, k], none below 0."""
    total = activations.sum(dim=0)
    strongest, feature = activations.max(dim=0)
    fires = strongest > FIRES
    return Neurons(torch.where(fires, strongest / total, torch.nan), torch.where(fires, feature, -1))

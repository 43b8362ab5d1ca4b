"""What the codes of a model are like on held-out text, layer by layer, and what the model costs beside its dense twin.

None of it is a verdict. It is what has to stand beside verdicts: how much of the stream a code keeps, how evenly its
features fire, how far they overlap, whether a slightly perturbed text gives the same code, how far an ablation spreads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.coder import PostHocCoder, SparseCoder
from mfn_core.evaluation.layer_firing import FiringCount
from mfn_core.evaluation.row_batches import row_batches
from mfn_core.evaluation.splicing import logits_with, rebuilt
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.losses import Perturbation
from mfn_core.metrics.bootstrap import mean_of
from mfn_core.metrics.dictionaries import encoder_decoder_agreement
from mfn_core.metrics.firing import dead, dense, near_target, spread, ultra_rare
from mfn_core.metrics.outputs import cross_entropy, downstream_sparsity, kl, recovered
from mfn_core.metrics.reconstruction import ReconstructionSums
from mfn_core.metrics.stability import squared_distance
from mfn_core.model import MFNModel
from mfn_core.run import LayerTrace

ABLATED = 24  # features of a layer that are ablated, each on one text
SPLICED = 16  # texts on which the code of a retrofit is put in the place of the stream
NOISE = 0.1  # of the perturbed pass, relative to each embedding's root mean square

Rows = Sequence[NDArray[np.int64]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LayerQuality:
    """One layer on held-out text; None where a measure has no meaning for this kind of code.

    Attributes:
        layer, kind, n_features: which.
        fvu: of the normalised stream that the code reads; `fvu_stream` of the stream in its own units.
        shrinkage, cosine: of the reconstruction (`metrics.reconstruction`), in normalised units.
        l0: features that fire on a token, mean.
        dead, ultra_rare, dense: shares of features (`metrics.firing`). Of a few hundred thousand tokens ultra-rare says
            no more than dead does.
        near_target: share of live features within a factor of two of K / F.
        spread: Gini coefficient of the rates.
        overlap: 99th percentile of the Jaccard overlaps of pairs of features.
        agreement: median cosine of what a feature reads and what it writes.
        moved: ‖z − z̃‖² / ‖z‖² under noise of a tenth of each embedding's size.
        reach: median over ablated features of the share of all logits that an ablation is spread over.
        added: nats a token costs more with the code in the place of the stream it watches; `recovered` and
            `recovered_mean` that as a share of what its ablation to zero, or to its mean, costs. Of codes that watch.
    """

    layer: int
    kind: str
    n_features: int
    fvu: float
    fvu_stream: float | None
    shrinkage: float
    cosine: float
    l0: float
    dead: float
    ultra_rare: float
    dense: float
    near_target: float | None
    spread: float
    overlap: float
    agreement: float | None
    moved: float
    reach: float
    added: float | None = None
    recovered: float | None = None
    recovered_mean: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class _Layer:
    """Sums of one layer over batches."""

    def __init__(self, coder: SparseCoder) -> None:
        self.coder = coder
        self.x, self.h = ReconstructionSums(coder.d_model), ReconstructionSums(coder.d_model)
        self.count = FiringCount(coder.n_features, getattr(coder.current_config, "k", None) or 0)
        self.distance = self.size = 0.0
        self.where: dict[int, int] = {}  # of each feature, a text on which it fires

    def add(self, clean: LayerTrace, perturbed: LayerTrace, keep: Tensor, numbers: Sequence[int]) -> None:
        assert clean.x_hat is not None
        x, x_hat, scale = clean.x[keep], clean.x_hat[keep], clean.scale[keep]
        self.x.add(x, x_hat)
        self.h.add(scale * x, scale * x_hat)
        z, other = clean.raw_codes[keep], perturbed.raw_codes[keep]
        self.count.add(z)
        self.size += float(z.values.double().square().sum())
        self.distance += float(squared_distance(z, other))
        for row, number in enumerate(numbers):
            fires = clean.raw_codes.fires[row] & keep[row][:, None]
            for feature in np.unique(clean.raw_codes.indices[row][fires].cpu().numpy()).tolist():
                self.where.setdefault(feature, number)


@torch.no_grad()
def layer_qualities(
    model: MFNModel, rows: Rows, batch: int = 16, seed: int = 0, progress: Progress = lambda done, total: None
) -> list[LayerQuality]:
    """Of every code of a model but raw neurons and token tables, which rebuild nothing.

    Args:
        model: whose codes are looked at.
        rows: token ids, one text each; the first token of each is left out.
        batch: rows in a forward pass.
        seed: of the perturbation, and of which features are ablated.
        progress: told how many rows have been read, and of how many.
    """
    layers = {n: _Layer(coder) for n, coder in model.coders.items() if coder.config.kind in ("mfn", "sae")}
    perturbation = Perturbation("noise", NOISE, seed)
    done = 0
    for numbers, ids, keep in row_batches(rows, batch, model.device):
        clean = model(ids, record=True, logits_to_keep=1).traces
        changed = perturbation.apply(ids, 0, done)
        perturbed = model(changed.ids, record="codes", perturbation=changed.embed, logits_to_keep=1).traces
        for number, layer in layers.items():
            layer.add(clean[number], perturbed[number], keep, numbers)
        done += len(numbers)
        progress(done, len(rows))
    return [_quality(model, number, layer, rows, seed) for number, layer in layers.items()]


def _quality(model: MFNModel, number: int, layer: _Layer, rows: Rows, seed: int) -> LayerQuality:
    coder = layer.coder
    normalised, firing = layer.x.result(), layer.count.result()
    counts, tokens = firing.counts, firing.tokens
    encoder = coder.encoder_rows
    spliced = _spliced(model, number, rows[:SPLICED]) if isinstance(coder, PostHocCoder) else {}
    return LayerQuality(
        layer=number,
        kind=coder.config.kind,
        n_features=coder.n_features,
        fvu=normalised.fvu,
        fvu_stream=None if getattr(coder.config, "norm", "") == "layer" else layer.h.result().fvu,
        shrinkage=normalised.shrinkage,
        cosine=normalised.cosine,
        l0=float(counts.sum()) / tokens,
        dead=dead(counts),
        ultra_rare=ultra_rare(counts, tokens),
        dense=dense(counts, tokens),
        near_target=near_target(counts, tokens, firing.target) if firing.target else None,
        spread=spread(counts),
        overlap=firing.overlap.percentile(),
        agreement=None
        if encoder is None
        else float(encoder_decoder_agreement(encoder.float(), coder.directions.float()).median()),
        moved=layer.distance / layer.size if layer.size else float("nan"),
        reach=_reach(model, number, layer.where, rows, seed),
        **spliced,
    )


def _reach(model: MFNModel, number: int, where: Mapping[int, int], rows: Rows, seed: int) -> float:
    """Median over features of how far their ablation spreads over the logits of a text; see `downstream_sparsity`."""
    live = sorted(where)
    drawn = np.random.default_rng(seed).permutation(live)[:ABLATED].tolist()
    found = []
    for feature in drawn:
        ids = torch.from_numpy(rows[where[feature]])[None].to(model.device)
        edits = EditBuffers.allocate(model.n_features, 1, slots=1, device=model.device, signed=model.signed)
        edits.write(0, [Intervention(number, feature, "ablate")], 0)
        change = model(ids, edits=edits).logits.double() - model(ids).logits.double()
        found.append(float(downstream_sparsity(change)))
    return float(np.median(found)) if found else float("nan")


def _spliced(model: MFNModel, number: int, rows: Rows) -> dict[str, float]:
    """What the model loses where a watching code takes the stream's place, on a few texts."""
    coder = model.coders[number]
    seen: list[Tensor] = []

    def look(h: Tensor) -> Tensor:
        seen.append(h)
        return h

    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "plain": look,
        "code": lambda h: rebuilt(coder, h),
        "zero": torch.zeros_like,
        "mean": lambda h: seen[-1][keep].mean(0).expand_as(h),
    }
    nats, tokens = dict.fromkeys(changes, 0.0), 0
    for _, ids, keep in row_batches(rows, SPLICED, model.device):
        after = keep[:, 1:]
        for name, change in changes.items():
            logits = logits_with(model, number, change, ids)
            nats[name] += float(cross_entropy(logits, ids)[after].double().sum())
        tokens += int(after.sum())
    plain, code, zero, mean = (nats[name] / tokens for name in ("plain", "code", "zero", "mean"))
    return {
        "added": code - plain,
        "recovered": recovered(code, plain, zero) if zero > plain else float("nan"),
        "recovered_mean": recovered(code, plain, mean) if mean > plain else float("nan"),
    }


@torch.no_grad()
def beside_twin(
    model: MFNModel, twin: MFNModel, rows: Rows, batch: int = 16, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """What a model costs beside its dense twin, and how far apart their predictions are.

    Args:
        model: with layers of features.
        twin: of the same tokens.
        rows: token ids, one text each.
        batch: rows in a forward pass.
        progress: told how many rows have been read, and of how many.

    Returns:
        Estimates as plain data, means over texts with bootstrap intervals over texts, in nats a token: `cross_entropy`,
        `twin`, `above`, `kl` of the twin's predictions to the model's.
    """
    found: dict[str, list[float]] = {"cross_entropy": [], "twin": [], "above": [], "kl": []}
    done = 0
    for numbers, ids, keep in row_batches(rows, batch, model.device):
        ours, theirs = model(ids).logits.float(), twin(ids).logits.float()
        costs, others = cross_entropy(ours, ids), cross_entropy(theirs, ids)
        apart = kl(theirs[:, :-1], ours[:, :-1])
        for row, counted in enumerate(keep[:, 1:]):
            if not counted.any():
                continue
            one, other = float(costs[row][counted].mean()), float(others[row][counted].mean())
            found["cross_entropy"].append(one)
            found["twin"].append(other)
            found["above"].append(one - other)
            found["kl"].append(float(apart[row][counted].mean()))
        done += len(numbers)
        progress(done, len(rows))
    return {name: mean_of(values).to_json() for name, values in found.items()}

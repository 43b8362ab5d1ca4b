"""Any sparse code at a site of a model: what layers of features and the codes they are compared with have in common.

Browsing, steering, indexing and evaluation work on this interface, whatever stands behind it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfn_core.codes import SparseCodes
from mfn_core.config import CoderConfig
from mfn_core.kernels.bags import dot_rows
from mfn_core.run import AuxBranch, LayerTrace, Stage

NORM_EPS = 1e-6  # keeps the scale of an all-zero token away from 0 (ours)


class SparseCoder(nn.Module):
    """Reads the stream at one site as a sparse code over F features, and may write it.

    Attributes:
        config: what it was made from; `config.kind` and `config.site` name it.
        number: of the block; the model's number of blocks for `resid_final`.
        stage: the model's, where the orders for a forward pass lie.
        d_model: d, channels at the site.
        n_features: F.
        signed: whether values below 0 occur; otherwise 0 is the least.
        rebuilds: whether x̂ is meant to be x, so that their difference is an error.
    """

    signed = False
    rebuilds = True

    def __init__(self, d_model: int, config: CoderConfig, number: int = 0, stage: Stage | None = None) -> None:
        super().__init__()
        self.config = config
        self.number = number
        self.stage = stage or Stage()
        self.d_model = d_model
        self.n_features = config.n_features

    @property
    def current_config(self) -> CoderConfig:
        """The configuration as it stands: what a schedule moves may have been moved since."""
        return self.config

    @property
    def directions(self) -> Tensor:
        """[F, d]: row j is what one unit of feature j adds to the normalised stream."""
        raise NotImplementedError

    @property
    def error_kept(self) -> float:
        """The share of h − ĥ that the model goes on with: 1 if a code reads from outside, 0 if it replaces."""
        return 1.0

    @property
    def encoder_rows(self) -> Tensor | None:
        """[F, d]: row j is what x is multiplied by for feature j's pre-activation; None where that is no product."""
        return None

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, s and shift with h = s · x + shift. Shapes [..., d], [..., 1], [..., 1] (None: no shift)."""
        raise NotImplementedError

    def pre_activations(self, x: Tensor) -> Tensor:
        """What the features' values are chosen from: [..., d] → [..., F]."""
        raise NotImplementedError

    def activate(self, pre: Tensor) -> SparseCodes:
        """The code of some pre-activations: [..., F] → [..., K]."""
        raise NotImplementedError

    def decode(self, codes: SparseCodes) -> Tensor:
        """x̂, the stream as the code says it, in normalised units: codes [..., K] → [..., d]."""
        raise NotImplementedError

    def products(self, x: Tensor, codes: SparseCodes) -> Tensor:
        """⟨x, D_j⟩ of each entry of a code: x [..., d], codes [..., K] → [..., K], in the dtype of x."""
        flat = codes.flatten()
        found = dot_rows(flat.indices, x.reshape(-1, x.shape[-1]), self.directions.to(x.dtype))
        return found.view(codes.indices.shape)

    def encode(self, h: Tensor) -> tuple[SparseCodes, Tensor]:
        """The code of a stream.

        Args:
            h: [..., d].

        Returns:
            Codes [..., K] in units of z, and the scale s [..., 1].
        """
        x, scale, _ = self.normalise(full_precision(h))
        return self.activate(self.pre_activations(x)), scale

    def forward(self, h: Tensor) -> Tensor:
        """What the model goes on with in place of h [B, T, d]. Leaves the trace that the current run asks for."""
        raise NotImplementedError


class PostHocCoder(SparseCoder):
    """A code that reads a model from outside: what it cannot rebuild passes untouched.

    It steers with its error term kept, `h' = h + s_t Σ (z'_j − z_j) D_j`; where nothing is changed, h passes bit for
    bit. In training it sees the stream without gradient, and nothing of it reaches the model.

    Where it `replaces` the stream, what passes is what it makes of it, and of that the model's gradient is taken.

    Attributes:
        replaces: whether it does.
    """

    replaces = False

    @property
    def error_kept(self) -> float:
        """All of it, or nothing where the code replaces the stream."""
        return 0.0 if self.replaces else 1.0

    def forward(self, h: Tensor) -> Tensor:
        """h, with the current run's interventions. Shape [B, T, d]."""
        run = self.stage.run
        if not self.replaces and (run is None or not (run.watched or run.edits is not None)):
            return h
        if run is not None and run.branch != "none":
            return self._learn(h)
        x, scale, shift = self.normalise(full_precision(h))
        codes = raw = self.activate(self.pre_activations(x))
        changed = h
        if run is not None and run.edits is not None:
            codes = run.edits.layers[self.number].apply(raw, self.stage.positions)
        if self.replaces:
            made = scale * self.decode(codes)
            changed = (made if shift is None else made + shift).to(h.dtype)
        elif run is not None and run.edits is not None:
            # Entries stand where they stood, those that joined behind them: a difference of 0 is exactly 0.
            change = torch.cat([codes.values[..., : raw.width] - raw.values, codes.values[..., raw.width :]], dim=-1)
            added = SparseCodes(codes.indices, change, codes.n_features).decode(self.directions)
            changed = (h + scale * added).to(h.dtype)
        if run is not None and run.record:
            x_hat = None if run.record == "codes" else self.decode(codes)
            run.traces[self.number] = LayerTrace(codes, raw, scale.detach(), x.detach(), x_hat)
        return changed

    def _learn(self, h: Tensor) -> Tensor:
        run = self.stage.run
        assert run is not None
        x, scale, _ = self.normalise(full_precision(h.detach()))
        with torch.enable_grad():
            pre = self.pre_activations(x)
            codes = self.activate(pre)
            x_hat = self.decode(codes) if run.branch == "train" else None
            revived = None
            if x_hat is not None and self.number in run.revive:
                dead, k = run.revive[self.number]
                revived = revive(pre, dead, k, self.directions)
        raw = codes.detach()
        run.traces[self.number] = LayerTrace(raw, raw, scale, x, None, AuxBranch(pre, codes, x_hat, revived))
        return h


def revive(pre: Tensor, dead: Tensor, k: int, directions: Tensor) -> Tensor | None:
    """AuxK: what the `k` dead features of largest pre-activation would write, to be held against the others' error.

    `Σ_j ReLU(p_j) D_j` over them. The decoder's bias is in x̂ already, hence not in here; the encoder gets its gradient
    through p.

    Args:
        pre: [..., F].
        dead: bool [F].
        k: at most so many a token.
        directions: [F, d].

    Returns:
        [..., d], or None where no feature is dead.
    """
    numbers = dead.nonzero().squeeze(-1)
    if numbers.numel() == 0:
        return None
    values, places = pre[..., numbers].topk(min(k, numbers.numel()), dim=-1, sorted=False)
    codes = SparseCodes(numbers[places], torch.relu(values).to(directions.dtype), pre.shape[-1])
    return codes.decode(directions)


def over_rms(h: Tensor) -> tuple[Tensor, Tensor, None]:
    """h over its root mean square, and that; no shift. Shapes [..., d], [..., 1]."""
    scale = (h.square().mean(-1, keepdim=True) + NORM_EPS).sqrt()
    return h / scale, scale, None


def full_precision(h: Tensor) -> Tensor:
    """At least single precision: a half-precision mean of squares loses the scale."""
    return h if h.dtype in (torch.float32, torch.float64) else h.float()

"""What the weights say of features: settings, and plain arrays, one set a layer of F features.

Nothing here depends on a text. docs/concepts/weights.md says what the figures mean, and what they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import ConfigError

Progress = Callable[[str, int, int], None]
"""Told which part is being worked on, how many features of it are done, and of how many."""

MapMethod = Literal["auto", "pca", "umap"]


@dataclass(frozen=True)
class WeightSettings:
    """How much is kept of each feature.

    Attributes:
        n_logits: promoted tokens, and suppressed tokens.
        hist_bins: bins of the histogram of logits.
        hist_reach: how far the bins reach to either side of 0, in standard deviations of the feature's own logits.
        n_neighbours: nearest features of the same layer.
        n_opposite: opposite features of the same layer.
        n_elsewhere: nearest, and opposite, features of all other layers together.
        n_connections: strongest positive, and strongest negative, connections in each direction.
        most_pairs: how many pairs of features may be compared to find neighbours, and again to find connections. N
            features are N² pairs: 10¹⁰ admit 100,000 features. Above it that part is left out, and says so. (A sample
            of candidates would leave each feature's nearest out more often than not, and show others in its place.)
        map: how the map is drawn. `pca`; `umap`, beside PCA, which needs `pip install 'mfn-studio[map]'`; `auto`, UMAP
            too where it is installed and there are no more than 100,000 features to draw; None, no map.
        map_neighbours: n_neighbors of UMAP, the feature itself included.
        seed: of UMAP.
    """

    n_logits: int = 10
    hist_bins: int = 32
    hist_reach: float = 8.0
    n_neighbours: int = 8
    n_opposite: int = 8
    n_elsewhere: int = 8
    n_connections: int = 8
    most_pairs: int = 10**10
    map: MapMethod | None = "auto"
    map_neighbours: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_logits", "n_neighbours", "n_opposite", "n_elsewhere", "n_connections", "most_pairs", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.hist_bins < 1:
            raise ConfigError(f"hist_bins must be at least 1, not {self.hist_bins}")
        if not 0 < self.hist_reach < float("inf"):
            raise ConfigError(f"hist_reach must be positive, not {self.hist_reach}")
        if self.map is not None and self.map not in get_args(MapMethod):
            raise ConfigError(f"map must be one of {', '.join(get_args(MapMethod))} or None, not {self.map!r}")
        if self.map_neighbours < 2:
            raise ConfigError(f"map_neighbours must be at least 2, not {self.map_neighbours}")


@dataclass(frozen=True)
class LogitFacts:
    """What each feature's direction adds to the logits by itself: the direct lens over the whole vocabulary.

    Logits are those of the *direct lens*: D_j · diag(g) · W_U, g the final norm's weight (for LayerNorm, after its
    subtraction of the mean), minus the mean over the vocabulary, which softmax ignores. It is what one unit of z_j · s
    adds to the logits times the final norm's scale if nothing between this layer and the output reacted. Later layers
    do react: it is a lens, not a prediction. Features of `mlp_hidden` are taken by what they write to the stream.

    Moments are those of the V logits themselves (divisors V, nothing corrected: the vocabulary is all there is, not a
    sample).

    Attributes:
        promoted_ids, promoted_logits: int32 and float32 [F, n], the tokens it raises most, largest first, equal ones by
            id; n is at most V.
        suppressed_ids, suppressed_logits: the same for those it lowers most, lowest first.
        std: float32 [F], standard deviation, in units of the logits.
        skewness: float32 [F], third standardised moment. Far above 0: it raises a few tokens more than it lowers any.
            NaN where the direction moves no logit.
        kurtosis: float32 [F], fourth standardised moment minus 3, so that a normal distribution has 0. Large: what it
            does is concentrated on few tokens. NaN as above.
        histogram: int32 [F, H], how many tokens have a logit in each bin. A bin includes its lower edge; the first
            and the last also take what lies outside.
        bin_edges: float32 [H + 1], shared by all features, in standard deviations of each: times std[j] they are
            logits. (Shared edges in logits would fit neither a weak nor a strong feature; edges of each feature's own
            would have to be stored, and no two could be compared. This way the shape has common bins and the size is
            `std`. Ours.)
    """

    promoted_ids: NDArray[np.int32]
    promoted_logits: NDArray[np.float32]
    suppressed_ids: NDArray[np.int32]
    suppressed_logits: NDArray[np.float32]
    std: NDArray[np.float32]
    skewness: NDArray[np.float32]
    kurtosis: NDArray[np.float32]
    histogram: NDArray[np.int32]
    bin_edges: NDArray[np.float32]


@dataclass(frozen=True)
class Links:
    """For each of F features, n others and a figure for each, strongest first, equal figures by layer and feature.

    Attributes:
        layers: int16 [F, n], number of the equipped block.
        features: int32 [F, n], number of the feature in that layer.
        values: float32 [F, n].
    """

    layers: NDArray[np.int16]
    features: NDArray[np.int32]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """Features that write alike, by cosine of what they write to the stream; a feature is none of its own.

    n is at most the number of features there are to choose from. A direction of length 0 has cosine 0 with all.

    Attributes:
        nearest: the highest cosines within the layer, highest first.
        opposite: the lowest within the layer, lowest first. (Lowest, not nearest to 0: −1 is what cancels out.)
        nearest_elsewhere, opposite_elsewhere: the same among the features of all other layers together.
    """

    nearest: Links
    opposite: Links
    nearest_elsewhere: Links
    opposite_elsewhere: Links


@dataclass(frozen=True)
class Connections:
    """The direct path to, or from, features of a neighbouring equipped layer. See `connections` for what it leaves out.

    Attributes:
        layer: number of the other layer.
        positive: the n largest virtual weights, largest first. Where a feature has fewer than n that are positive, the
            last are not: the sign tells.
        negative: the n smallest, smallest first; as above.
    """

    layer: int
    positive: Links
    negative: Links


@dataclass(frozen=True)
class MapPlaces:
    """Where features lie on the map of their site, which all layers at that site share.

    Attributes:
        pca: float32 [F, 2], coordinates along the first two axes, in units of a direction's length 1.
        explained: float32 [2], the share of the variance of all these directions along each of the two.
        umap: float32 [F, 2], in units without meaning; None where none was drawn.
    """

    pca: NDArray[np.float32]
    explained: NDArray[np.float32]
    umap: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class LayerWeights:
    """Everything the weights say of one layer's features.

    Attributes:
        layer: number of the equipped block.
        n_features: F.
        logits: what the directions add to the logits.
        neighbours: features that write alike; None where they are left out.
        agreement: float32 [F], cosine of what a feature reads and what it writes; None where the code has no encoder.
        upstream: what writes to these features from the equipped layer before, along the direct path; None where there
            is no such path.
        downstream: what these features write to in the next equipped layer; None as above.
        place: on the map of the site; None where no map was asked for.
        left_out: a sentence for each part that would have cost too much (`WeightSettings.most_pairs`).
    """

    layer: int
    n_features: int
    logits: LogitFacts
    neighbours: Neighbours | None
    agreement: NDArray[np.float32] | None
    upstream: Connections | None
    downstream: Connections | None
    place: MapPlaces | None
    left_out: tuple[str, ...] = ()

"""How features of one equipped layer reach features of the next along the skip connection: virtual weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mfn_core.config import MFNLayerConfig
from mfn_core.directions import seen, written
from mfn_core.indexing.from_weights.extremes import CHUNK, Rows, extremes
from mfn_core.indexing.from_weights.neighbours import links
from mfn_core.indexing.from_weights.types import Connections
from mfn_core.model import MFNModel

_STREAM = ("resid_pre", "resid_mid", "resid_post", "resid_final")  # sites at which a code reads the stream itself


def next_layer(model: MFNModel, layer: int) -> int | None:
    """The next equipped layer, if the direct path leads there; None otherwise.

    It does not lead anywhere from the last layer; from a layer whose blend goes into the MLP alone, so that the skip
    connection does not carry it; to a code that reads within the MLP or what the MLP adds, or that reads by no encoder
    rows; nor in a model whose norms stand on the stream itself (opt-350m).
    """
    after = min((number for number in model.coders if number > layer), default=None)
    if after is None or not getattr(model.base.config, "do_layer_norm_before", True):
        return None
    config, reader = model.coders[layer].config, model.coders[after]
    only_mlp = isinstance(config, MFNLayerConfig) and config.blend_into == "mlp"
    if only_mlp or reader.config.site not in _STREAM or reader.encoder_rows is None:
        return None
    return after


def connections(
    model: MFNModel, layer: int, n: int, chunk: int = CHUNK, tell: Callable[[int], None] | None = None
) -> tuple[Connections, Connections] | None:
    """The strongest connections between a layer l and the next equipped layer m, by the direct path.

    The virtual weight from feature j of l to feature i of m is `V_ij = W_e^m[i] · D_j^l` (Elhage et al. 2021, "A
    Mathematical Framework for Transformer Circuits"), D_j^l being what j writes to the stream. It is exact for the part
    of the stream that the skip connection carries from l to m: a unit of z_j adds `V_ij · α_l · s_l / s_m` to the
    pre-activation p_i at the same token, s_l and s_m the scales of both layers' norms at that token.

    Included, for it is linear and the same for every token: the centring of the reader's norm, where it is
    `norm="layer"`. (The writer's own centring adds back a mean that does not depend on z.)

    Left out, and often the larger part:
    - everything that reads the stream between the two and adds to it: the MLP of block l, the attention of block m, and
      whole blocks that are not equipped;
    - the scales s_l and s_m, and that s_m itself moves with z_j; α_l;
    - all that does not depend on z_j: biases b_e and b_d, the token lookup;
    - what becomes of p_i: whether it is among the K largest.

    With α = 1 into the residual at l and at m, no feature of l has a direct path beyond m. With α < 1, and with codes
    that only watch (SAEs, neurons), the stream also carries what the code leaves out, and features reach later layers
    directly too; for a code that only watches, V says what an intervention on it adds.

    Costs 2·F_l·F_m·d multiply-adds, and four passes over F_l·F_m numbers, in blocks (`extremes`).

    Args:
        model: whose.
        layer: l.
        n: how many of each sign, in each direction.
        chunk: entries of one block.
        tell: called with the number of features of l that are done; each counts half in either direction.

    Returns:
        Downstream of the features of l, and upstream of the features of m; None where the path does not lead anywhere
        (`next_layer`).
    """
    after = next_layer(model, layer)
    if after is None:
        return None
    reader = model.coders[after]
    assert reader.encoder_rows is not None
    sources = Rows([written(model, layer)])
    targets = Rows([reader.encoder_rows.detach()], partial(seen, reader))
    size = len(sources)
    first = (lambda done: tell(done // 2)) if tell else None
    second = (lambda done: tell((size + done * size // len(targets)) // 2)) if tell else None
    down = extremes(sources, targets, n, n, chunk=chunk, tell=first)
    up = extremes(targets, sources, n, n, chunk=chunk, tell=second)
    return (
        Connections(after, *links(down, [after], [len(targets)])),
        Connections(layer, *links(up, [layer], [len(sources)])),
    )

"""The pass over the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.data.corpus import Document
from mfn_core.errors import CorpusError
from mfn_core.indexing.accumulator import LayerAccumulator, WindowBatch
from mfn_core.indexing.batching import Batcher, ForwardBatch
from mfn_core.indexing.finish import finish_layer
from mfn_core.indexing.from_weights import weight_facts
from mfn_core.indexing.on_device import DeviceIntake, in_windows, upload
from mfn_core.indexing.tallies import HALVES
from mfn_core.indexing.token_r2 import half_of
from mfn_core.indexing.types import CorpusIndex, IndexSettings
from mfn_core.model import MFNModel

Progress = Callable[[int, int | None], None]
"""Told how many tokens are done, and of how many; None until that is known."""


class IndexState:
    """All layers' states after some part of a corpus. Merges exactly, in any order.

    Its settings must fit the model: see `IndexSettings.fit`.

    Attributes:
        layers: by block number.
        token_counts: int64 [halves, V], how often each token counted in each half of the corpus.
    """

    def __init__(self, model: MFNModel, settings: IndexSettings) -> None:
        self.settings = settings
        self.layers = {n: LayerAccumulator(f, model.vocab_size, settings) for n, f in model.n_features.items()}
        self.token_counts = np.zeros((HALVES, model.vocab_size), np.int64)

    @property
    def n_tokens(self) -> int:
        """Tokens that counted."""
        return int(self.token_counts.sum())

    def count(self, windows: WindowBatch) -> None:
        """Counts the tokens of a batch."""
        key = half_of(windows.document)[:, None] * self.token_counts.shape[1] + windows.tokens
        np.add.at(self.token_counts.reshape(-1), key[windows.counted], 1)

    def merge(self, other: IndexState) -> IndexState:
        """The state after both parts."""
        both = object.__new__(IndexState)
        both.settings = self.settings
        both.layers = {number: state.merge(other.layers[number]) for number, state in self.layers.items()}
        both.token_counts = self.token_counts + other.token_counts
        return both


def build_index(
    model: MFNModel,
    documents: Iterable[Document],
    settings: IndexSettings | None = None,
    progress: Progress | None = None,
) -> CorpusIndex:
    """Indexes a corpus under a model: one pass, all layers and all features at once.

    Interrupting it (KeyboardInterrupt) leaves nothing behind: the index is in memory until it is returned.

    Args:
        model: with a tokenizer.
        documents: read once.
        settings: what to keep.
        progress: called after every batch.

    Raises:
        CorpusError: there is no text.
    """
    tell: Progress = progress or (lambda done, total: None)
    ids: list[NDArray[np.uint32]] = []
    meta: list[dict[str, Any]] = []
    for document in documents:
        ids.append(np.array(model.encode_text(document.text), np.uint32))
        meta.append(dict(document.meta))
        if len(ids) % 256 == 0:
            tell(0, None)
    return index_tokens(model, ids, meta, settings, tell)


def index_tokens(
    model: MFNModel,
    documents: Sequence[NDArray[np.uint32]],
    meta: Sequence[dict[str, Any]],
    settings: IndexSettings | None = None,
    progress: Progress | None = None,
) -> CorpusIndex:
    """`build_index` for documents that are token ids already, their beginning-of-text token first."""
    settings = (settings or IndexSettings()).fit(model.max_context)
    total = sum(max(len(ids) - 1, 0) for ids in documents)
    if not total:
        raise CorpusError("there is no text to index: the corpus is empty")
    state = IndexState(model, settings)
    collect(model, enumerate(documents), state, (lambda done: progress(done, total)) if progress else None)
    lengths = np.array([len(ids) for ids in documents], np.int64)
    layers = []
    for number, layer in state.layers.items():
        facts = weight_facts(model, number, settings.n_logits, settings.n_neighbours)
        layers.append(finish_layer(number, layer, facts, lengths, state.token_counts))
    return CorpusIndex(layers, list(documents), list(meta), state.n_tokens, settings, model.fingerprint)


@torch.inference_mode()
def collect(
    model: MFNModel,
    documents: Iterable[tuple[int, NDArray[np.uint32]]],
    state: IndexState,
    progress: Callable[[int], None] | None = None,
    on_device: bool | None = None,
) -> None:
    """Runs documents, given as (ordinal in the corpus, token ids), through the model, and their codes into `state`.

    Forward batches have a fixed shape for each padded length. Under another shape, the same token's codes may differ
    where pre-activations nearly tie; from the codes on, everything is exact.

    Args:
        model: with a code in at least one block.
        documents: read once.
        state: what to add to.
        progress: told how many tokens are done, after every batch.
        on_device: whether codes are counted and sifted where the model is, or all copied to the host. Left out: where
            the model is on a CUDA device. The outcome is the same to the byte.
    """
    settings = state.settings
    batcher = Batcher(settings.seq_len, settings.window, settings.batch_rows, model.bos_token_id)
    was_training = model.training
    model.eval()
    try:
        with ThreadPoolExecutor(min(torch.get_num_threads(), len(state.layers) or 1)) as pool:
            there = model.device.type == "cuda" if on_device is None else on_device
            intake = DeviceIntake(state.layers, model.device, pool) if there else None
            for batch in batcher.batches(documents):
                take_in(model, batch, state, pool, intake)
                if progress:
                    progress(state.n_tokens)
            if intake is not None:
                intake.finish()
    finally:
        model.train(was_training)


def take_in(
    model: MFNModel,
    batch: ForwardBatch,
    state: IndexState,
    pool: ThreadPoolExecutor,
    intake: DeviceIntake | None = None,
) -> None:
    """Runs one batch through the model and its codes into `state`. Call it under `torch.inference_mode()`.

    With an `intake` of the same state, by way of that: the state is up to date when it has finished.
    """
    kind = model.device.type
    with torch.autocast(kind, torch.bfloat16) if state.settings.bf16 else nullcontext():
        traces = model(upload(batch.input_ids, model.device), record=True, logits_to_keep=1).traces
    state.count(batch.windows)
    if intake is not None:
        intake.take(batch.windows, {number: in_windows(trace.codes, batch) for number, trace in traces.items()})
        return
    # Tensors are turned into arrays here: torch would start threads of its own inside the pool's.
    codes = {n: (_array(trace.codes.indices), _array(trace.codes.values.float())) for n, trace in traces.items()}

    def windows(x: NDArray[Any]) -> NDArray[Any]:
        whole = x.reshape(-1, state.settings.window, x.shape[-1])
        return whole if len(batch.grid) == len(whole) else whole[batch.grid]

    def add(number: int) -> None:
        indices, values = codes[number]
        state.layers[number].add(batch.windows, windows(indices), windows(values))

    # Layers share nothing, and numpy lets go of the interpreter: while the model rests, they use its cores.
    for _ in pool.map(add, state.layers):
        pass


def _array(x: Tensor) -> NDArray[Any]:
    return np.asarray(x.cpu().numpy())

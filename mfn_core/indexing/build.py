"""The pass over the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfn_core.data.corpus import Document
from mfn_core.errors import CorpusError
from mfn_core.indexing.batching import Batcher, ForwardBatch
from mfn_core.indexing.checkpoint import Work
from mfn_core.indexing.finish import finish_layer
from mfn_core.indexing.from_weights import weight_facts
from mfn_core.indexing.on_device import DeviceIntake, in_windows, upload
from mfn_core.indexing.shards import ShardReader, cut
from mfn_core.indexing.state import IndexState
from mfn_core.indexing.types import CorpusIndex, IndexSettings
from mfn_core.model import MFNModel

Progress = Callable[[int, int | None], None]
"""Told how many tokens are done, and of how many; None until that is known."""


def build_index(
    model: MFNModel,
    documents: Iterable[Document],
    settings: IndexSettings | None = None,
    progress: Progress | None = None,
    work: Path | None = None,
) -> CorpusIndex:
    """Indexes a corpus under a model: one pass, all layers and all features at once.

    The corpus is read in a thread of its own, ahead of the model, into files from which the index goes on reading token
    ids: memory does not grow with it.

    Args:
        model: with a tokenizer.
        documents: read once. Of a `Corpus` on the hub, a run that goes on does not read again what it has read.
        settings: what to keep.
        progress: called after every batch. The total is known once the corpus is read to its end.
        work: a folder for what is done so far. An interrupted run goes on from there when it is called again with the
            same arguments, and ends in the same index. It belongs to this one run; delete it when the index is no
            longer needed. Without one, an interrupted run leaves nothing behind.

    Raises:
        CorpusError: there is no text.
        CorpusChangedError: `work` holds a part of another corpus. `forget_work` empties it.
    """
    settings = (settings or IndexSettings()).fit(model.max_context)
    tell: Progress = progress or (lambda done, total: None)
    run = Work.open(work, model, settings)
    with ShardReader(documents, model.encode_text, run.store, settings.shard_tokens, run.log) as reader:
        for shard in reader:
            if shard.number not in run.done:
                collect(model, run.store.of_shard(shard), run.state, lambda done: tell(done, reader.n_tokens))
                run.add(shard)
    run.finish()
    tell(run.state.n_tokens, run.state.n_tokens)
    return finish_index(model, run.state, run.store.documents(), run.store.meta())


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
    state = IndexState(model, settings)
    tell = (lambda done: progress(done, total)) if progress else None
    for first, end in cut(map(len, documents), settings.shard_tokens):
        collect(model, enumerate(documents[first:end], first), state, tell)
    return finish_index(model, state, documents, meta)


def finish_index(
    model: MFNModel, state: IndexState, documents: Sequence[NDArray[np.uint32]], meta: Sequence[dict[str, Any]]
) -> CorpusIndex:
    """The index of a corpus that is in `state` as a whole.

    Raises:
        CorpusError: there is no text.
    """
    settings = state.settings
    if not state.n_tokens:
        raise CorpusError("there is no text to index: the corpus is empty")
    lengths = np.fromiter(map(len, documents), np.int64, len(documents))
    layers = []
    for number, layer in state.layers.items():
        facts = weight_facts(model, number, settings.n_logits, settings.n_neighbours)
        layers.append(finish_layer(number, layer, facts, lengths, state.token_counts))
    return CorpusIndex(layers, documents, meta, state.n_tokens, settings, model.fingerprint)


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
            all codes lie on one CUDA device. The outcome is the same to the byte.
    """
    settings = state.settings
    batcher = Batcher(settings.seq_len, settings.window, settings.batch_rows, model.bos_token_id)
    was_training = model.training
    model.eval()
    try:
        with ThreadPoolExecutor(min(torch.get_num_threads(), len(state.layers) or 1)) as pool:
            there = _on_one_gpu(model) if on_device is None else on_device
            intake = DeviceIntake(state.layers, model.device, pool) if there else None
            for batch in batcher.batches(documents):
                take_in(model, batch, state, pool, intake)
                if progress:
                    progress(state.n_tokens)
            if intake is not None:
                intake.finish()
    finally:
        model.train(was_training)


def _on_one_gpu(model: MFNModel) -> bool:
    """Whether all codes lie on the same CUDA device as the model; they do not where it is spread over several."""
    devices = {weight.device for coder in model.coders.values() for weight in coder.parameters()} | {model.device}
    return len(devices) == 1 and model.device.type == "cuda"


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
        traces = model(upload(batch.input_ids, model.device), record="codes", logits_to_keep=1).traces
    state.count(batch.windows)
    if intake is not None:
        found = {number: trace.codes for number, trace in traces.items()}
        intake.take(batch.windows, in_windows(found, batch, model.device))
        return
    # Tensors are turned into arrays here: torch would start threads of its own inside the pool's.
    codes = {n: (_array(trace.codes.indices), _array(trace.codes.values.float())) for n, trace in traces.items()}

    def add(number: int) -> None:
        indices, values = codes[number]
        state.layers[number].add(batch.windows, batch.in_windows(indices), batch.in_windows(values))

    # Layers share nothing, and numpy lets go of the interpreter: while the model rests, they use its cores.
    for _ in pool.map(add, state.layers):
        pass


def _array(x: Tensor) -> NDArray[Any]:
    return np.asarray(x.cpu().numpy())

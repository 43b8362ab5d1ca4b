"""The pass over the corpus on many machines, by Ray: the same shards, the same step, the same merge, the same index.

Workers are actors: each loads the model once, takes one shard after the other into a state of its own, and hands that
over now and then. Whoever called merges it into the state of the run and saves that, with the list of shards in it.
What a worker that is lost had not handed over is given out again. A shard is in the state exactly once, and states
merge in any order to the same bytes: so neither the number of workers nor a loss changes the index.

Actors, not a map of Ray Data over shards: a state has the size of the features, not of a shard, so it must stay where
it is while shards come and go.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.data.corpus import Document
from mfn_core.data.pieces import Corpus
from mfn_core.device import find_device
from mfn_core.errors import ConfigError, MFNError
from mfn_core.indexing.build import Progress, collect, finish_index
from mfn_core.indexing.checkpoint import SHARE, Work, identity
from mfn_core.indexing.feeds import Feed
from mfn_core.indexing.ray_calls import LostError, result
from mfn_core.indexing.ray_reading import RayFeed
from mfn_core.indexing.shards import ShardReader
from mfn_core.indexing.state import IndexState
from mfn_core.indexing.token_store import Shard
from mfn_core.indexing.types import CorpusIndex, IndexSettings
from mfn_core.model import MFNModel
from mfn_core.ray_cluster import LOCAL, connect, share_out

MOST_LOSSES = 3
"""Of workers, with the same shard or without a shard done in between, after which the fault is not taken for theirs."""

_POLL_SECONDS = 0.1
_UNSAVED_SECONDS = 30.0  # of a worker's work, at least, before it hands over; a loss costs about as much

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayOptions:
    """Where a pass runs.

    Attributes:
        address: of a cluster, as `ray.init` takes it (`auto`, `HOST:PORT`, `ray://HOST:PORT`), or `LOCAL`.
        workers: how many; without a number one for each GPU, or where there are none one for each machine.
        device: where a worker's model computes, as `find_device` takes it.
        read_here: whether the corpus is read by this process, for files that other machines do not have.
    """

    address: str = LOCAL
    workers: int | None = None
    device: str = "auto"
    read_here: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers must be at least 1, not {self.workers}")


def build_index_on_ray(
    model: MFNModel,
    folder: str | Path,
    documents: Iterable[Document],
    settings: IndexSettings | None = None,
    progress: Progress | None = None,
    work: Path | None = None,
    options: RayOptions | None = None,
) -> CorpusIndex:
    """`build_index` with the forward passes made by workers of a Ray cluster.

    A `Corpus` is read and cut into token ids by tasks of the cluster, other documents are here. Progress is told after
    every shard, and what is done in shards that a lost worker had not handed over is taken back from it.

    Args:
        model: with a tokenizer.
        folder: from which workers load the same model: a bundle under a path, or a name on the hub, that is good on
            every machine.
        documents, settings, progress, work: as for `build_index`. A run goes on on a cluster where one without stood,
            and the other way round, if devices are of the same kind.
        options: where it runs.

    Raises:
        ConfigError: ray is not installed, no cluster answers, or a worker's model or torch is another.
        MFNError: workers are lost again and again.
        CorpusError, CorpusChangedError: as for `build_index`.
    """
    settings = (settings or IndexSettings()).fit(model.max_context)
    options = options or RayOptions()
    ray, ours = connect(options.address, "indexing")
    try:
        team = _Team(ray, str(folder), settings, options)
        try:
            about = team.first_about()
            _check(about, identity(model, settings))
            run = Work.open(work, model, settings, about)
            feed: Iterable[Document] | Feed = documents
            if isinstance(documents, Corpus) and not options.read_here:
                feed = RayFeed(ray, documents, model.text_encoder, len(team.workers))
            with ShardReader(feed, model.encode_text, run.store, settings.shard_tokens, run.log) as reader:
                _Pass(team, run, reader, model, about, progress or (lambda done, total: None)).go()
        finally:
            team.dismiss()
    finally:
        if ours:
            ray.shutdown()
    run.finish()
    if progress:
        progress(run.state.n_tokens, run.state.n_tokens)
    return finish_index(model, run.state, run.store.documents(), run.store.meta())


class ShardWorker:
    """One worker's part. An ordinary class, of which Ray makes an actor."""

    def __init__(self, folder: str, settings: IndexSettings, device: str) -> None:
        self._given = folder, device
        self._settings = settings
        self._shards: list[int] = []

    def about(self) -> dict[str, Any]:
        """Loads the model. What it is and where: see `identity`."""
        folder, device = self._given
        self._model = MFNModel.from_pretrained(folder).to(find_device(device))
        self._state = IndexState(self._model, self._settings)
        return {**identity(self._model, self._settings), "where": f"{socket.gethostname()}, process {os.getpid()}"}

    def index(self, number: int, first: int, ids: NDArray[np.uint32], lengths: NDArray[np.int64]) -> int:
        """Takes a shard into the state.

        Args:
            number: of the shard.
            first: ordinal of its first document.
            ids: the token ids of all its documents, end to end.
            lengths: int64 [documents], in token ids.

        Returns:
            How many of its tokens count.
        """
        before = self._state.n_tokens
        collect(self._model, enumerate(np.split(ids, np.cumsum(lengths)[:-1]), first), self._state)
        self._shards.append(number)
        return self._state.n_tokens - before

    def hand_over(self) -> tuple[list[int], dict[str, NDArray[Any]]]:
        """The shards since the last time, and their state; the worker begins a new one."""
        handed = self._shards, self._state.arrays()
        self._shards, self._state = [], IndexState(self._model, self._settings)
        return handed


@dataclass(eq=False)
class _Worker:
    """A worker as seen from here. `unsaved`: shards it has indexed and not handed over, and since when."""

    actor: Any
    where: str = "a worker that had not begun"
    unsaved: dict[int, int] = field(default_factory=dict)
    since: float = 0.0
    took: float = 0.0

    @property
    def due(self) -> bool:
        """Whether it has done so much that handing it over is worth the time."""
        return bool(self.unsaved) and time.monotonic() - self.since > max(_UNSAVED_SECONDS, self.took / SHARE)


class _Team:
    """The workers of a run, at full strength."""

    def __init__(self, ray: Any, folder: str, settings: IndexSettings, options: RayOptions) -> None:
        self.ray = ray
        n, resources = share_out(ray.nodes(), options.workers, options.device)
        kind = ray.remote(max_restarts=0, max_task_retries=0, **resources)(ShardWorker)
        self._make: Callable[[], Any] = lambda: kind.remote(folder, settings, options.device)
        self.workers = [_Worker(self._make()) for _ in range(n)]

    def first_about(self) -> dict[str, Any]:
        """What the first worker that has begun is."""
        calls = [worker.actor.about.remote() for worker in self.workers]
        ready, _ = self.ray.wait(calls, num_returns=1)
        try:
            return dict(result(self.ray, ready[0]))
        except LostError as error:
            raise MFNError(f"a worker was lost as it began: {error}") from error

    def replace(self, lost: _Worker) -> _Worker:
        """Another in its place."""
        self.workers.remove(lost)
        self.workers.append(_Worker(self._make()))
        return self.workers[-1]

    def dismiss(self) -> None:
        """Ends them all."""
        for worker in self.workers:
            self.ray.kill(worker.actor)


class _Pass:
    """Hands out shards and takes in states until all of the corpus is in the run."""

    def __init__(
        self, team: _Team, run: Work, reader: ShardReader, model: MFNModel, about: dict[str, Any], tell: Progress
    ) -> None:
        self._team = team
        self._run = run
        self._reader = reader
        self._model = model
        self._about = about
        self._tell = tell
        self._calls: dict[Any, tuple[_Worker, str, Shard | None, float]] = {}
        self._lost: deque[Shard] = deque()
        self._losses: Counter[int] = Counter()
        self._in_a_row = 0
        self._idle: list[_Worker] = []
        for worker in team.workers:
            self._call(worker, "about")

    def go(self) -> None:
        """Until every shard is in the run's state."""
        while not self._assign():
            ready, _ = (
                self._team.ray.wait(list(self._calls), num_returns=1, timeout=_POLL_SECONDS)
                if self._calls
                else ([], [])
            )
            if not self._calls:
                time.sleep(_POLL_SECONDS)
            for ref in ready:
                self._take(ref, *self._calls.pop(ref))

    def _assign(self) -> bool:
        """Gives idle workers something to do. Whether all is done."""
        for worker in list(self._idle):
            shard = None if worker.due else self._next()
            if shard is not None:
                ids = [ids for _, ids in self._run.store.of_shard(shard)]
                lengths = np.fromiter(map(len, ids), np.int64, len(ids))
                whole = np.concatenate(ids)
                self._call(worker, "index", shard, shard.number, shard.first, whole, lengths)
            elif worker.due or (worker.unsaved and self._reader.ended):
                self._call(worker, "hand_over")
            else:
                continue
            self._idle.remove(worker)
        waiting = any(kind != "about" for _, kind, _, _ in self._calls.values())
        unsaved = any(worker.unsaved for worker in self._team.workers)
        return self._reader.ended and not (waiting or unsaved or self._lost)

    def _next(self) -> Shard | None:
        if self._lost:
            return self._lost.popleft()
        while (shard := self._reader.poll()) is not None and shard.number in self._run.done:
            pass
        return shard

    def _call(self, worker: _Worker, kind: str, shard: Shard | None = None, *arguments: Any) -> None:
        ref = getattr(worker.actor, kind).remote(*arguments)
        self._calls[ref] = worker, kind, shard, time.monotonic()

    def _take(self, ref: Any, worker: _Worker, kind: str, shard: Shard | None, began: float) -> None:
        try:
            found = result(self._team.ray, ref)
        except LostError as error:
            self._replace(worker, shard, str(error))
            return
        if kind == "about":
            _check(found, self._about)
            worker.where = found["where"]
        elif kind == "index":
            assert shard is not None
            worker.since = worker.since if worker.unsaved else began
            worker.unsaved[shard.number] = int(found)
            self._in_a_row = 0
        else:
            numbers, arrays = found
            worker.unsaved, worker.took = {}, time.monotonic() - began
            state = IndexState.from_arrays(self._model, self._run.state.settings, arrays)
            self._run.merge(state, [self._run.store.shards[number] for number in numbers])
        self._idle.append(worker)
        done = self._run.state.n_tokens + sum(sum(each.unsaved.values()) for each in self._team.workers)
        self._tell(done, self._reader.n_tokens)

    def _replace(self, worker: _Worker, shard: Shard | None, why: str) -> None:
        again = [self._run.store.shards[number] for number in worker.unsaved] + ([shard] if shard else [])
        logger.warning("%s is lost; %d shards are given out again: %s", worker.where, len(again), why)
        self._in_a_row += 1
        if shard is not None:
            self._losses[shard.number] += 1
        if self._in_a_row > MOST_LOSSES or max(self._losses.values(), default=0) >= MOST_LOSSES:
            raise MFNError(f"workers are lost again and again, the last one with: {why}")
        self._lost.extend(again)
        self._call(self._team.replace(worker), "about")


def _check(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raises ConfigError where a worker would find other codes. The kind of device is the workers' own affair."""
    for name in ("model", "torch", "settings", "dtype"):
        if theirs[name] != ours[name]:
            raise ConfigError(
                f"{theirs['where']}, has another {name} than this run: {theirs[name]} instead of {ours[name]}"
            )

"""The pass over the corpus on many machines, by Ray: the same shards, the same step, the same merge, the same index.

Workers are actors: each loads the model once, takes one shard after the other into a state of its own, and hands that
over now and then. Whoever called merges it into the state of the run and saves that, with the list of shards in it.
What a worker that is lost had not handed over is given out again. A shard is in the state exactly once, and states
merge in any order to the same bytes: so neither the number of workers nor a loss changes the index.

Actors, not a map of Ray Data over shards: a state has the size of the features, not of a shard, so it must stay where
it is while shards come and go.
"""

from __future__ import annotations

import importlib
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
from mfn_core.device import find_device
from mfn_core.errors import ConfigError, MFNError
from mfn_core.indexing.build import Progress, collect, finish_index
from mfn_core.indexing.checkpoint import SHARE, Work, identity
from mfn_core.indexing.shards import ShardReader
from mfn_core.indexing.state import IndexState
from mfn_core.indexing.token_store import Shard
from mfn_core.indexing.types import CorpusIndex, IndexSettings
from mfn_core.model import MFNModel

LOCAL = "local"
"""Instead of an address: a cluster of this machine, for this run."""

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
    """

    address: str = LOCAL
    workers: int | None = None
    device: str = "auto"

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

    The corpus is read and cut into token ids here. Progress is told after every shard, and what is done in shards that
    a lost worker had not handed over is taken back from it.

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
    ray, ours = _connect(options.address)
    try:
        team = _Team(ray, str(folder), settings, options)
        try:
            about = team.first_about()
            _check(about, identity(model, settings))
            run = Work.open(work, model, settings, about)
            with ShardReader(documents, model.encode_text, run.store, settings.shard_tokens) as reader:
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
        n, resources = _share_out(ray.nodes(), options)
        kind = ray.remote(max_restarts=0, max_task_retries=0, **resources)(ShardWorker)
        self._make: Callable[[], Any] = lambda: kind.remote(folder, settings, options.device)
        self.workers = [_Worker(self._make()) for _ in range(n)]

    def first_about(self) -> dict[str, Any]:
        """What the first worker that has begun is."""
        calls = [worker.actor.about.remote() for worker in self.workers]
        ready, _ = self.ray.wait(calls, num_returns=1)
        try:
            return dict(_result(self.ray, ready[0]))
        except _LostError as error:
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
            result = _result(self._team.ray, ref)
        except _LostError as error:
            self._replace(worker, shard, str(error))
            return
        if kind == "about":
            _check(result, self._about)
            worker.where = result["where"]
        elif kind == "index":
            assert shard is not None
            worker.since = worker.since if worker.unsaved else began
            worker.unsaved[shard.number] = int(result)
            self._in_a_row = 0
        else:
            numbers, arrays = result
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


class _LostError(Exception):
    """A worker is gone, or what it gave."""


def _result(ray: Any, ref: Any) -> Any:
    """What a call gave.

    Raises:
        _LostError: the worker is gone.
        Exception: what it raised.
    """
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise _LostError(" ".join(str(error).split())[:200]) from error


def _check(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raises ConfigError where a worker would find other codes. The kind of device is the workers' own affair."""
    for name in ("model", "torch", "settings", "dtype"):
        if theirs[name] != ours[name]:
            raise ConfigError(
                f"{theirs['where']}, has another {name} than this run: {theirs[name]} instead of {ours[name]}"
            )


def _connect(address: str) -> tuple[Any, bool]:
    """Ray, and whether the connection is ours to end."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError("indexing on many machines needs ray: pip install 'mfn-studio[ray]'") from error
    if ray.is_initialized():
        return ray, False
    _knock(address)
    try:
        if address == LOCAL:
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}") from error
    return ray, True


def _knock(address: str) -> None:
    """Raises ConfigError where nobody listens at HOST:PORT. Ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"no Ray cluster answers at {address}: {error}") from error


def _share_out(nodes: list[dict[str, Any]], options: RayOptions) -> tuple[int, dict[str, float]]:
    """How many workers, and what each asks of its machine, so that all of them find a place."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = [int(node.get("GPU", 0)) for node in alive]
    if sum(gpus) and options.device != "cpu":
        return options.workers or sum(gpus), {"num_gpus": 1, "num_cpus": 1}
    cores = [int(node.get("CPU", 0)) for node in alive]
    n = options.workers or sum(1 for count in cores if count)
    each = max(cores, default=1)
    while each > 1 and sum(count // each for count in cores) < n:
        each -= 1
    return n, {"num_cpus": max(each, 1)}

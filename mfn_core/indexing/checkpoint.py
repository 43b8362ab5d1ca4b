"""What a run has done so far, in a folder from which it goes on after it was killed.

The folder holds the token ids (see `token_store`) and the newest two states, each with the list of shards that are in
it. A state is one file, an uncompressed .npz, whose every part has a checksum; it is moved to its place once it is on
the disk. One that is damaged is passed over for the one before.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfn_core.files import replace_file
from mfn_core.indexing.reading_log import FILE as READING
from mfn_core.indexing.reading_log import ReadingLog
from mfn_core.indexing.state import IndexState
from mfn_core.indexing.token_store import FILES, Shard, TokenStore
from mfn_core.indexing.types import IndexSettings
from mfn_core.model import MFNModel

FORMAT_VERSION = 2
KEEP = 2
SHARE = 1 / 20
"""Of a run's time that may go into writing states: after each, so much work is done before the next is written."""

logger = logging.getLogger(__name__)


def identity(model: MFNModel, settings: IndexSettings) -> dict[str, Any]:
    """What must be the same, besides the corpus, for a run to go on where another stood.

    Where and how the model computes is part of it: it moves last bits, and thereby near ties.
    """
    return {
        "format_version": FORMAT_VERSION,
        "model": model.fingerprint,
        "settings": asdict(settings),
        "device": model.device.type,
        "dtype": str(model.dtype),
        "torch": torch.__version__,
    }


def forget_work(folder: Path) -> None:
    """Removes what a run has left in its work folder, and the folder if nothing else is in it."""
    for path in [*(folder / name for name in (*FILES, READING)), *folder.glob("state-*.npz*")]:
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


class Work:
    """A run as far as it has got.

    Attributes:
        store: the corpus, as far as it was read.
        log: of the reading.
        state: the shards that are done, indexed.
        done: those, by number, with the digest of their texts.
    """

    def __init__(
        self,
        store: TokenStore,
        log: ReadingLog,
        state: IndexState,
        done: dict[int, str],
        checkpoints: Checkpoints | None,
    ) -> None:
        self.store = store
        self.log = log
        self.state = state
        self.done = done
        self._checkpoints = checkpoints
        self._n_saved = len(done)

    @classmethod
    def open(
        cls, folder: Path | None, model: MFNModel, settings: IndexSettings, about: Mapping[str, Any] | None = None
    ) -> Work:
        """What is in a folder, or nothing yet. Without a folder, nothing will be kept.

        Args:
            folder: as for `build_index`.
            model, settings: of the run.
            about: what computes, if not this model here: an `identity`.
        """
        store, log = TokenStore(folder), ReadingLog(folder)
        if folder is None:
            return cls(store, log, IndexState(model, settings), {}, None)
        here = identity(model, settings)
        checkpoints = Checkpoints(folder, {name: (about or here)[name] for name in here})
        texts = {shard.number: shard.text_digest for shard in store.shards}
        for arrays, done in checkpoints.saved():
            if done.items() <= texts.items():  # else token ids of shards that are done were lost
                return cls(store, log, IndexState.from_arrays(model, settings, arrays), done, checkpoints)
        return cls(store, log, IndexState(model, settings), {}, checkpoints)

    def add(self, shard: Shard) -> None:
        """A shard is in the state now. Saved if it is time for that."""
        self._note([shard])

    def merge(self, state: IndexState, shards: Sequence[Shard]) -> None:
        """Shards that were indexed elsewhere are in the state now. Saved if it is time for that."""
        self.state = self.state.merge(state)
        self._note(shards)

    def finish(self) -> None:
        """All shards are in the state. Saved unless it is already."""
        if self._n_saved < len(self.done):
            self.save()

    def save(self) -> None:
        """Saves the state. A disk that is full is no reason to give up what is in memory: it is warned of."""
        if self._checkpoints is None:
            return
        try:
            self.store.sync()
            self._checkpoints.save(self.state.arrays(), self.done)
            self._n_saved = len(self.done)
        except OSError as error:
            logger.warning("cannot save how far the index is (%s); going on without", error.strerror or error)

    def _note(self, shards: Sequence[Shard]) -> None:
        self.done |= {shard.number: shard.text_digest for shard in shards}
        if self._checkpoints and self._checkpoints.due:
            self.save()


class Checkpoints:
    """States in a folder.

    Args:
        folder: it must exist.
        about: of what they are, see `identity`; those of another kind are passed over.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._about = json.loads(json.dumps(about))
        self._saved_at = time.monotonic()
        self._took = 0.0

    @property
    def due(self) -> bool:
        """Whether so much was done since the last one that writing another is worth its time."""
        return time.monotonic() - self._saved_at >= self._took / SHARE

    def save(self, arrays: Mapping[str, NDArray[Any]], done: Mapping[int, str]) -> None:
        """Writes a state, and removes all but the newest two.

        Raises:
            OSError: it cannot be written. Those before it are untouched.
        """
        began = time.monotonic()
        header = json.dumps({"about": self._about, "done": sorted(done.items())}).encode()
        files = self._files()
        number = _number(files[-1]) + 1 if files else 1

        def write(file: IO[bytes]) -> None:
            np.savez(file, allow_pickle=False, header=np.frombuffer(header, np.uint8), **arrays)

        try:
            replace_file(self._folder / f"state-{number:08d}.npz", write)
            for old in self._files()[:-KEEP]:
                old.unlink()
        finally:
            self._saved_at = time.monotonic()
            self._took = self._saved_at - began

    def saved(self) -> Iterator[tuple[dict[str, NDArray[Any]], dict[int, str]]]:
        """States that are whole and of this kind, with their shards, newest first. Damaged ones are removed."""
        for path in reversed(self._files()):
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                    header = json.loads(archive["header"].tobytes())
                    if header["about"] != self._about:
                        continue
                    arrays = {name: archive[name] for name in archive.files if name != "header"}
            except Exception as error:  # whatever a damaged archive makes its readers raise
                logger.warning("%s is damaged (%s); going on from the one before", path, error)
                path.unlink(missing_ok=True)
            else:
                yield arrays, {int(number): digest for number, digest in header["done"]}

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("state-*.npz"), key=_number)


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("state-")
    return int(digits) if digits.isdigit() else 0

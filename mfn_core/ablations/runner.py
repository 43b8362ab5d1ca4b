"""Trains what a plan says, so many runs at a time, each in a process of its own.

Nothing is kept here: what is done stands in the run folders, so that a runner that is interrupted, or killed, is simply
started again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from mfn_core.ablations.measure import read_figures
from mfn_core.ablations.plan import Planned
from mfn_core.errors import ConfigError
from mfn_core.training.checkpoint import has_checkpoint
from mfn_core.training.metrics import read_metrics
from mfn_core.training.prepare import RECIPE, take_data
from mfn_core.training.trainer import DENSE

LOOK_EVERY = 0.2  # seconds
LET_GO = 60.0  # seconds that processes of a runner that was killed get to finish their step

Tell = Callable[[str, float | None], None]


class Runner:
    """Trains and measures the runs of a plan."""

    def __init__(self, planned: Sequence[Planned], folder: Path, data: Path) -> None:
        """
        Args:
            planned: what is to be trained; folders of finished runs are left as they are.
            folder: receives a folder a run, and a log beside each.
            data: where relative corpus paths of the configs start.
        """
        self.planned = {each.name: each for each in planned}
        self.folder, self.data = folder, data
        self.failed: dict[str, str] = {}
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._finished: set[str] = set()

    def run(self, jobs: int, tell: Tell = lambda what, share: None) -> dict[str, str]:
        """Trains, `jobs` runs at a time, and measures.

        Returns:
            Of runs that failed, by name, the last line that they said.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM, after all that run have finished their step and saved their state.
            ConfigError: another process trains in one of the folders.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        waiting = [name for name in self.planned if not self._done(name)]
        with _sigterm_interrupts():
            try:
                while waiting or self._running:
                    self._reap()
                    for name in [name for name in waiting if self._ready(name)]:
                        if len(self._running) < jobs:
                            self._start(name)
                            waiting.remove(name)
                    self._report(tell)
                    time.sleep(LOOK_EVERY)
            finally:
                self._stop()
        return self.failed

    def _done(self, name: str) -> bool:
        if name not in self._finished and read_figures(self.folder / name, self.planned[name].config) is not None:
            self._finished.add(name)
        return name in self._finished

    def _ready(self, name: str) -> bool:
        """Whether what it takes over from other runs is there, or will never be."""
        each = self.planned[name]
        if has_checkpoint(self.folder / name / "checkpoints"):
            return True
        begin = not each.begin or self._over(each.begin) or has_checkpoint(self.folder / each.begin / DENSE)
        data = not each.data or self._over(each.data) or (self.folder / each.data / "data" / RECIPE).exists()
        return begin and data

    def _over(self, name: str) -> bool:
        return name in self.failed or name not in self.planned or self._done(name)

    def _start(self, name: str) -> None:
        each, folder = self.planned[name], self.folder / name
        folder.mkdir(exist_ok=True)
        _wait_for(folder)
        if each.data and (self.folder / each.data / "data" / RECIPE).exists():
            take_data(self.folder / each.data, folder)
        command = [sys.executable, "-m", "mfn_core.ablations.worker", str(folder), str(self.data)]
        if each.begin and has_checkpoint(self.folder / each.begin / DENSE):
            command.append(str(self.folder / each.begin))
        with (self.folder / f"{name}.log").open("a", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603 - this Python, and paths of ours
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the runner, which lets the others finish their step
            )
        self._running[name] = process
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it is no more; its log says why
            process.stdin.write(json.dumps(each.config.to_json()) + "\n")
            process.stdin.flush()

    def _reap(self) -> None:
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                del self._running[name]
                _close(process)
                if process.returncode:
                    self.failed[name] = self._last_line(name) or f"ended with status {process.returncode}"

    def _stop(self) -> None:
        for process in self._running.values():
            _close(process)
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def _report(self, tell: Tell) -> None:
        finished = sum(self._done(name) for name in self.planned)
        steps = sum(each.config.steps for each in self.planned.values())
        done = sum(self._step(name) for name in self.planned)
        now = ", ".join(f"{name} at step {self._step(name):,}" for name in self._running)
        tell(f"{finished} of {len(self.planned)} runs are finished{'; ' + now if now else ''}", done / steps)

    def _step(self, name: str) -> int:
        config = self.planned[name].config
        if name not in self._running:
            return config.steps if self._done(name) else 0
        lines = read_metrics(self.folder / name / "metrics.jsonl")
        return int(lines[-1]["step"]) if lines else 0

    def _last_line(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1].removeprefix("Error: ") if lines else ""


def _close(process: subprocess.Popen[str]) -> None:
    """Ends its input, upon which it stops if it has not ended by itself."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


def _wait_for(folder: Path) -> None:
    """Until no process trains there: those of a runner that was killed end by themselves, after their step."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=LET_GO)
    except Timeout:
        raise ConfigError(f"another process trains in {folder}: wait for it, or choose another folder") from None
    lock.release()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does. Outside of the main thread, which alone receives signals, nothing changes."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

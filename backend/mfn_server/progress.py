"""How far a long command has come: a bar on a terminal; elsewhere, as in a log, a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Tell = Callable[[str, float | None], None]
"""Told what is being done, and which share of it is, or None where nobody knows."""

EVERY = 20.0  # seconds between two lines


class Lines:
    """Prints a line every so many seconds, as long as there is something to tell. Work that is quicker says nothing."""

    def __init__(self, console: Console, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._every, self._clock = console, every, clock
        self._begun = clock()
        self._next = self._begun + every

    def __call__(self, what: str, share: float | None) -> None:
        """A line, if it is time for one."""
        now = self._clock()
        if now >= self._next:
            self._next = now + self._every
            minutes, seconds = divmod(int(now - self._begun), 60)
            done = "" if share is None else f" ({share:.0%})"
            self._console.print(f"[{minutes}:{seconds:02}] {what}{done}", markup=False, soft_wrap=True)


@contextmanager
def telling() -> Iterator[Tell]:
    """What a command calls as it comes on. Everything goes to stderr."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines(console, EVERY)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, share: float | None) -> None:
            bar.update(task, description=what, total=None if share is None else 1.0, completed=share or 0.0)

        yield show

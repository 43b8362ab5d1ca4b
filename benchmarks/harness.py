"""What benchmarks share: paired timing, results with targets, the table and the JSON object they print."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from rich.console import Console, JustifyMethod
from rich.table import Table

MIN_PAIRS = 20

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        value: the figure, a median where several runs were made.
        unit: what it counts, e.g. "ms", "tokens/s", "×" for a ratio.
        target: what it is meant to reach, or None where there is no target.
        better: which way is better, and so on which side of the target a value meets it.
        spread: lower and upper quartile over the runs, or None for a single count.
    """

    value: float
    unit: str
    target: float | None = None
    better: Better = "lower"
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


@dataclass(frozen=True)
class Result:
    """What one benchmark found.

    Attributes:
        metrics: by name, in the order they are shown.
        settings: sizes, dtypes, model and data: what somebody needs to repeat it.
    """

    metrics: Mapping[str, Metric]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, name: str) -> dict[str, Any]:
        """The result as plain data, with the machine it was measured on."""
        return {
            "name": name,
            "metrics": {key: asdict(metric) for key, metric in self.metrics.items()},
            "settings": dict(self.settings),
            "machine": machine(),
        }


class Seconds(NamedTuple):
    """How long one run took.

    Attributes:
        clock: on the wall.
        processor: of all threads of the process together; a machine that is busy with other things disturbs it less.
    """

    clock: float
    processor: float


@dataclass(frozen=True)
class Paired:
    """Seconds of two ways to do a thing, run i of one beside run i of the other.

    Attributes:
        first, second: by the clock.
        first_processor, second_processor: of the processor.
    """

    first: list[float]
    second: list[float]
    first_processor: list[float] = field(default_factory=list)
    second_processor: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, pairs: Sequence[tuple[Seconds, Seconds]]) -> Paired:
        """From single pairs."""
        first, second = zip(*pairs, strict=True)
        return cls(
            *([run.clock for run in side] for side in (first, second)),
            *([run.processor for run in side] for side in (first, second)),
        )

    def ratio(self, target: float | None = None) -> Metric:
        """first ÷ second: the median over pairs, and its quartiles."""
        return _ratio(self.first, self.second, target)

    def processor_ratio(self, target: float | None = None) -> Metric:
        """The same of processor time."""
        return _ratio(self.first_processor, self.second_processor, target)

    def times(self, unit: Literal["s", "ms"] = "ms") -> tuple[Metric, Metric]:
        """The two medians."""
        factor = 1.0 if unit == "s" else 1e3
        first, second = ([t * factor for t in side] for side in (self.first, self.second))
        return summary(first, unit), summary(second, unit)


def paired(
    first: Callable[[], object], second: Callable[[], object], pairs: int = MIN_PAIRS, warmup: int = 3
) -> Paired:
    """Times two callables in interleaved pairs.

    The order within a pair alternates, so that a drift of the machine (heat, a neighbour's job) and what one side
    leaves in the caches fall on both sides alike. The garbage collector rests meanwhile.

    Raises:
        ValueError: fewer than 20 pairs, from which a median says too little.
    """
    if pairs < MIN_PAIRS:
        raise ValueError(f"a paired timing needs at least {MIN_PAIRS} pairs, not {pairs}")
    for _ in range(warmup):
        first()
        second()
    sides: tuple[list[Seconds], list[Seconds]] = ([], [])
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for i in _counted(pairs):
            for side in (0, 1) if i % 2 == 0 else (1, 0):
                sides[side].append(timed(second if side else first))
    finally:
        if enabled:
            gc.enable()
    return Paired.of(list(zip(*sides, strict=True)))


def _counted(pairs: int) -> Iterator[int]:
    """Numbers of pairs; says between two how far it is, so that nothing runs beside a timing."""
    begun = time.monotonic()
    live = sys.stderr.isatty()
    for i in range(pairs):
        yield i
        if live:
            left = (time.monotonic() - begun) / (i + 1) * (pairs - i - 1)
            print(f"\rpair {i + 1} of {pairs}, about {left:.0f} s left ", end="", file=sys.stderr, flush=True)
    end = "\r\033[K" if live else ""
    print(f"{end}{pairs} pairs in {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)


def timed(work: Callable[[], object]) -> Seconds:
    """How long one call takes, with an accelerator's queue empty before and after."""
    _synchronize()
    begun, processor = time.perf_counter(), time.process_time()
    work()
    _synchronize()
    return Seconds(time.perf_counter() - begun, time.process_time() - processor)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    return timed(work).clock


class Peer:
    """A module such as those in `benchmarks.peers`, run by a Python of its own, that times work when it is told to.

    For packages whose pins clash with ours. It lives as long as it is measured, so that its runs can take turns with
    ours. It reads a JSON object a line: one with `work` says what to time from now on, `{}` has it timed once; it
    answers each with a JSON object, the latter with the `Seconds`.
    """

    def __init__(self, python: str, module: str) -> None:
        """Starts it, with as many threads as this process uses."""
        self._process = subprocess.Popen(
            [python, "-m", module, str(torch.get_num_threads())],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(BrokenPipeError):
            self._process.__exit__(None, None, None)  # closes the pipes, upon which it ends

    def prepare(self, work: str, **sizes: Any) -> dict[str, Any]:
        """Says what to time. Gives what the peer says of itself, such as its version."""
        return self._ask({"work": work, **sizes})

    def run(self) -> Seconds:
        """Times it once."""
        return Seconds(**self._ask({}))

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with status {self._process.wait()}; what it said stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def against(ours: Callable[[], object], peer: Peer, pairs: int = MIN_PAIRS, warmup: int = 2) -> Paired:
    """`paired`, with the second side in another process."""
    for _ in range(warmup):
        ours()
        peer.run()
    found: list[tuple[Seconds, Seconds]] = []
    for i in _counted(pairs):
        if i % 2 == 0:
            mine = timed(ours)
            found.append((mine, peer.run()))
        else:
            theirs = peer.run()
            found.append((timed(ours), theirs))
    return Paired.of(found)


def _ratio(first: Sequence[float], second: Sequence[float], target: float | None) -> Metric:
    return summary([a / b for a, b in zip(first, second, strict=True)], "×", target)


def summary(values: Sequence[float], unit: str, target: float | None = None, better: Better = "lower") -> Metric:
    """Median and quartiles of at least two values."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Metric(middle, unit, target, better, (low, high))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by linear interpolation."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def machine() -> dict[str, Any]:
    """The machine and the libraries, as far as they bear on speed."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
    }


def show(name: str, result: Result, console: Console) -> None:
    """Prints a result for people."""
    table = Table(title=name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in ("metric", "value", "unit", "quartiles", "target", ""):
        justify: JustifyMethod = "right" if heading in ("value", "quartiles", "target") else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for key, metric in result.metrics.items():
        spread = "" if metric.spread is None else f"{metric.spread[0]:.4g} – {metric.spread[1]:.4g}"
        target = "" if metric.target is None else f"{'≤' if metric.better == 'lower' else '≥'} {metric.target:g}"
        verdict = {None: "", True: "met", False: "missed"}[metric.met]
        table.add_row(key, f"{metric.value:.4g}", metric.unit, spread, target, verdict)
    console.print(table)
    for key, value in result.settings.items():
        console.print(f"  {key}: {value}", markup=False, highlight=False)
    here = machine()
    console.print(
        f"  on {here['cpu']}, {here['cores']} cores, {here['torch_threads']} threads, torch {here['torch']}, "
        f"load {here['load_average'][0]}",
        markup=False,
        highlight=False,
    )


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None

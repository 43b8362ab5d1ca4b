"""Steps as CUDA graphs: captured once, then replayed without a word from Python.

Not yet run on a GPU by us; the test that compares it with plain steps is marked `gpu`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mfn_core.run import LayerTrace

Outcome = tuple[Tensor, dict[int, LayerTrace]]
Step = Callable[[Tensor, Tensor, int, bool, bool], Outcome]

WARMUPS = 3  # passes before a capture, in which libraries choose and allocate


class StepGraphs:
    """One graph for each number of rows, length of attention, and whether anybody steers, and wants traces.

    What a replay gives lies in the graph's own memory, and holds until the next one.
    """

    def __init__(self, step: Step, rows: int, device: torch.device) -> None:
        """Captures nothing yet.

        Args:
            step: of tokens and positions, int64 [n] each, a length of attention, whether anybody steers, and
                whether to record. Must read nothing that is not at a fixed place in memory, and wait for nothing.
            rows: the largest n.
            device: a CUDA device.
        """
        self._step = step
        self._tokens = torch.zeros(rows, dtype=torch.int64, device=device)
        self._positions = torch.zeros_like(self._tokens)
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[tuple[int, int, bool, bool], tuple[torch.cuda.CUDAGraph, Outcome]] = {}

    def __call__(self, tokens: Tensor, positions: Tensor, length: int, steered: bool, record: bool) -> Outcome:
        """The step's outcome, from a graph. The first of its kind takes seconds."""
        count = len(tokens)
        self._tokens[:count].copy_(tokens)
        self._positions[:count].copy_(positions)
        key = (count, length, steered, record)
        if key not in self._graphs:
            self._graphs[key] = self._capture(*key)
        graph, outcome = self._graphs[key]
        graph.replay()
        return outcome

    def _capture(self, count: int, length: int, steered: bool, record: bool) -> tuple[torch.cuda.CUDAGraph, Outcome]:
        inputs = self._tokens[:count], self._positions[:count]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARMUPS):
                self._step(*inputs, length, steered, record)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            outcome = self._step(*inputs, length, steered, record)
        return graph, outcome

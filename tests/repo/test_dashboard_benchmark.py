"""What the benchmark of the dashboard reads out of a trace."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chromium.tracing import Tasks, main_thread_tasks


def _task(tid: int, dur: int, name: str = "RunTask", ph: str = "X", pid: int = 1) -> dict[str, Any]:
    return {"ph": ph, "name": name, "pid": pid, "tid": tid, "ts": 0, "dur": dur, "args": {}}


def _thread(tid: int, name: str, pid: int = 1) -> dict[str, Any]:
    return {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}


def test_tasks_of_the_main_thread_alone_count() -> None:
    events = [
        _thread(1, "CrRendererMain"),
        _thread(2, "Compositor"),
        _thread(1, "CrBrowserMain", pid=2),
        _task(1, 12_000),
        _task(1, 70_500, "ThreadControllerImpl::RunTask"),
        _task(2, 900_000),
        _task(1, 800_000, pid=2),
        _task(1, 600_000, "Layout"),
        _task(1, 500_000, ph="B"),
    ]
    assert main_thread_tasks(events) == [70.5, 12.0]
    assert Tasks(main_thread_tasks(events)).longest == 70.5


def test_a_trace_without_tasks_says_nothing() -> None:
    with pytest.raises(RuntimeError, match="no task"):
        _ = Tasks(main_thread_tasks([_thread(1, "CrRendererMain")])).longest

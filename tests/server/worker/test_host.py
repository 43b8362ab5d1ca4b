"""Turns: how jobs, long ones in slices, share the model with texts. No process, no model: the order alone."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest

from mfn_server.worker.host import ModelHost
from mfn_server.worker.messages import Answer, Drop, Job, Plan, Report, Stop


class Writer:
    """An engine that notes its steps, and after so many of them stops the host."""

    row_bytes, context, slots = 1, 1, 1

    def __init__(self, log: list[Any], steps: int) -> None:
        self.load, self.busy, self.host = SimpleNamespace(rows=1), True, None
        self._log, self._left = log, steps

    def step(self) -> list[Any]:
        self._log.append("step")
        self._left -= 1
        if not self._left:
            self.host.receive(Stop())
        return []


class Site:
    def __init__(self, steps: int) -> None:
        self.log: list[Any] = []
        self.reports: list[Report] = []
        self.engine = Writer(self.log, steps)
        plan = Plan(lambda: self.log, lambda model: self.engine, lambda model: None)
        self.host = self.engine.host = ModelHost(plan, self.reports.append)

    def work(self, *jobs: Any) -> dict[int, Any]:
        """Everything at once in the inbox; then what was answered."""
        for job in jobs:
            self.host.receive(job)
        self.host.run()
        return {report.number: report for report in self.reports if isinstance(report, Answer)}


def slowly(log: list[Any], name: str, slices: int, breaks: bool = False) -> Generator[None, None, str]:
    try:
        for _ in range(slices):
            log.append(name)
            yield
        if breaks:
            raise ValueError(name)
        return f"{name} is done"
    finally:
        log.append(f"{name} ends")


def slowly_and_held(log: list[Any], name: str, slices: int) -> Generator[None, None, str]:
    """Somebody else has it, too: it does not end because nobody does."""
    log.append(work := slowly(log, name, slices))
    return work


def quickly(log: list[Any], name: str) -> str:
    log.append(name)
    return name


def test_between_two_steps_there_is_one_slice_and_long_jobs_take_turns() -> None:
    site = Site(steps=8)
    answers = site.work(Job(1, slowly, ("a", 3)), Job(2, slowly, ("b", 2)), Job(3, quickly, ("c",)))
    assert site.log == [
        *("a", "step", "b", "step", "c", "step", "a", "step", "b", "step", "a", "step"),
        *("b ends", "step", "a ends", "step"),
    ]
    assert {number: answer.value for number, answer in answers.items()} == {1: "a is done", 2: "b is done", 3: "c"}


def test_one_that_breaks_is_told_and_holds_up_nothing() -> None:
    site = Site(steps=6)
    answers = site.work(Job(1, slowly, ("a", 1, True)), Job(2, slowly, ("b", 1)))
    assert isinstance(answers[1].error, ValueError)
    assert "slowly" in answers[1].traceback
    assert answers[2].value == "b is done"


def test_one_that_nobody_waits_for_any_more_ends_where_it_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(steps=6)

    def drop() -> list[Any]:
        if site.log.count("a") == 2:
            site.host.receive(Drop(1))
        return Writer.step(site.engine)

    monkeypatch.setattr(site.engine, "step", drop)
    answers = site.work(Job(1, slowly_and_held, ("a", 100)))
    assert answers == {}
    assert site.log.count("a") == 2
    assert "a ends" in site.log

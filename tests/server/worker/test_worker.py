"""The worker process: what is asked of it comes back, and it may die at any time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mfn_core.errors import BundleError, MFNError
from mfn_server.errors import APIError
from mfn_server.worker import (
    EngineFacts,
    ModelNotReadyError,
    ModelWorker,
    WorkerBusyError,
    WorkerLostError,
    client,
)
from tests.server.worker import jobs

PATIENCE = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_text("one")
    return path


@pytest.fixture
async def start(file: Path) -> AsyncIterator[Callable[..., ModelWorker]]:
    """Starts workers, and ends them."""
    workers: list[ModelWorker] = []

    def make(**settings: Any) -> ModelWorker:
        workers.append(ModelWorker(jobs.plan(file), **settings))
        return workers[-1]

    yield make
    for worker in workers:
        await worker.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_jobs_run_elsewhere_in_order(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    assert worker.state == "loading"
    assert await worker.run(jobs.process) != os.getpid()  # waits for the model
    assert worker.loaded
    assert worker.facts == {"text": "one"}
    assert worker.engine == EngineFacts(rows=3, row_bytes=1000, context=64, slots=4)
    found = await asyncio.gather(*(worker.run(jobs.append, number) for number in range(5)))
    assert found[-1] == ["one", 0, 1, 2, 3, 4]


async def test_errors_come_back_as_they_were(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    with pytest.raises(APIError, match="too blue") as refused:
        await worker.run(jobs.refuse, "api")
    error = refused.value
    assert (error.status, error.detail.code, error.detail.hint, error.headers) == (
        422,
        "too_blue",
        "make it redder",
        {"A": "b"},
    )
    with pytest.raises(MFNError, match="the prompt has 9 tokens; at most 4"):
        await worker.run(jobs.refuse, "prompt")
    with pytest.raises(ZeroDivisionError) as fault:
        await worker.run(jobs.refuse, "otherwise")
    assert "in refuse" in str(fault.value.__cause__), "a log shows where it was raised"
    with pytest.raises(RuntimeError, match="pickle"):
        await worker.run(jobs.answer_with_a_function)
    assert await worker.run(jobs.append) == ["one"]


async def test_threads_of_numpy_and_torch_start_in_a_forked_process(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    assert await worker.run(jobs.multiply) == (600, 600)
    with pytest.raises(WorkerLostError):
        await worker.run(jobs.die)
    await until(lambda: worker.loaded)
    assert await worker.run(jobs.multiply) == (600, 600)


async def test_only_module_level_functions_are_sent(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        await worker.run(lambda model: None)
    assert await worker.run(jobs.append) == ["one"]


async def test_a_job_that_nobody_waits_for_any_more_is_not_done(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    await worker.wait_loaded()
    first = asyncio.create_task(worker.run(jobs.append, "first", seconds=0.2))
    second = asyncio.create_task(worker.run(jobs.append, "second"))
    await asyncio.sleep(0)  # both are sent
    second.cancel()
    assert await first == ["one", "first"]
    assert await worker.run(jobs.append) == ["one", "first"]


async def test_so_many_jobs_wait_and_no_more(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    await worker.wait_loaded()
    worker.most_waiting = 2
    first = asyncio.create_task(worker.run(jobs.append, "first", seconds=0.2))
    second = asyncio.create_task(worker.run(jobs.append, "second"))
    await asyncio.sleep(0)
    with pytest.raises(WorkerBusyError) as refused:
        await worker.run(jobs.append)
    assert (refused.value.code, refused.value.retry_after) == ("busy", 1.0)
    assert await first == ["one", "first"]
    await second
    assert await worker.run(jobs.append) == ["one", "first", "second"]


async def test_after_its_death_jobs_are_refused_and_then_done_again(start: Callable[..., ModelWorker]) -> None:
    worker = start(first_pause=0.1)
    lost: list[str] = []
    worker.on_lost = lambda requests: lost.append(worker.state)
    pid = await worker.run(jobs.process)
    waiting = [asyncio.create_task(worker.run(job)) for job in (jobs.die, jobs.process, jobs.append)]
    for task in waiting:
        with pytest.raises(WorkerLostError, match="started again"):
            await asyncio.wait_for(task, PATIENCE)
    assert (worker.state, lost) == ("down", ["down"])
    with pytest.raises(WorkerLostError) as refused:  # at once: who asks now is told when to come again
        await worker.run(jobs.process)
    assert 0 <= refused.value.retry_after <= 0.1
    await until(lambda: worker.loaded)
    assert worker.restarts == 1
    assert await worker.run(jobs.process) != pid
    assert await worker.run(jobs.append) == ["one"]


async def test_it_is_started_again_after_ever_longer_pauses_up_to_a_longest(
    start: Callable[..., ModelWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.03)
    worker = start(first_pause=0.01)
    pauses = []
    for deaths in range(1, 5):
        await until(lambda: worker.loaded)
        with pytest.raises(WorkerLostError) as lost:
            await worker.run(jobs.die)
        pauses.append(lost.value.retry_after)
        await until(lambda deaths=deaths: worker.restarts == deaths)
    assert pauses == [0.01, 0.02, 0.03, 0.03]


async def test_it_is_not_ended_by_signals_that_go_to_all_processes(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    pid = await worker.run(jobs.process)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
        assert await worker.run(jobs.process) == pid  # a signal is handled before the next turn of the interpreter
    assert worker.restarts == 0


async def test_a_model_that_cannot_be_loaded_is_told_and_not_tried_again(
    start: Callable[..., ModelWorker], file: Path
) -> None:
    file.write_text("broken")
    worker = start()
    with pytest.raises(ModelNotReadyError, match="the file is broken") as refused:
        await worker.wait_loaded()
    assert isinstance(refused.value.__cause__, BundleError)
    assert isinstance(worker.error, BundleError)
    await until(lambda: worker.pid is None)
    assert worker.state == "failed"


async def test_a_process_that_dies_over_loading_is_told(start: Callable[..., ModelWorker], file: Path) -> None:
    file.write_text("deadly")
    worker = start()
    with pytest.raises(ModelNotReadyError, match="ended with signal 9 while it was loading"):
        await worker.wait_loaded()


async def test_a_model_that_is_away_for_a_while_is_loaded_again(start: Callable[..., ModelWorker], file: Path) -> None:
    worker = start(first_pause=0.01)
    await worker.wait_loaded()
    file.write_text("broken")
    with pytest.raises(WorkerLostError):
        await worker.run(jobs.die)
    await until(lambda: worker.restarts >= 2)
    file.write_text("one")
    await until(lambda: worker.loaded)
    assert worker.error is None


async def test_another_model_is_not_served_in_its_place(start: Callable[..., ModelWorker], file: Path) -> None:
    worker = start(first_pause=0.01)
    await worker.wait_loaded()
    file.write_text("two")
    with pytest.raises(WorkerLostError):
        await worker.run(jobs.die)
    await until(lambda: worker.state == "failed" and worker.pid is None)
    with pytest.raises(ModelNotReadyError, match="another model"):
        await worker.run(jobs.append)


async def test_a_worker_that_stands_still_holds_up_nobody(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    await worker.wait_loaded()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    data = bytes(4 << 20)  # far more than a pipe takes
    sent = asyncio.create_task(worker.run(jobs.length, data))
    await asyncio.sleep(0.05)  # this loop goes on
    assert not sent.done()
    os.kill(worker.pid, signal.SIGCONT)
    assert await sent == len(data)


async def test_closing_ends_the_process_and_tells_who_waits(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    await worker.wait_loaded()
    pid = worker.pid
    assert pid is not None
    waiting = asyncio.create_task(worker.run(jobs.append, seconds=0.1))
    await asyncio.sleep(0)
    also_waiting = asyncio.create_task(worker.run(jobs.append))
    await asyncio.sleep(0)
    await worker.close()
    assert not exists(pid)
    await asyncio.wait([waiting, also_waiting])
    with pytest.raises(WorkerLostError, match="stopping"):
        await also_waiting
    with pytest.raises(WorkerLostError, match="stopping"):
        await worker.run(jobs.append)


async def test_closed_while_it_starts_it_leaves_no_process(start: Callable[..., ModelWorker]) -> None:
    worker = start()
    await asyncio.sleep(0)
    await worker.close()
    assert worker.pid is None or not exists(worker.pid)


@pytest.mark.slow
def test_it_ends_with_the_program_that_started_it(file: Path) -> None:
    script = f"""
import asyncio, pathlib
from mfn_server.worker import ModelWorker
from tests.server.worker import jobs
async def main():
    worker = ModelWorker(jobs.plan(pathlib.Path({str(file)!r})))
    await worker.wait_loaded({PATIENCE})  # which imports torch anew
    print(await worker.run(jobs.process), flush=True)
    await worker.run(jobs.append, seconds=600)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        program.kill()
    asyncio.run(until(lambda: not exists(pid)))

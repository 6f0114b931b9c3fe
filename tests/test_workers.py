"""The pool of processes: every task gets an answer, whatever the tasks do to the workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import ShoutingWork, StillbornWork

from rali.errors import RaliError
from rali.workers import TASKS_AHEAD, WorkerLost, WorkerPool


def never() -> bool:
    return False


def run_all(tasks: list[str], *, workers: int = 2, timeout_s: float = 20.0) -> dict[str, Any]:
    with WorkerPool(ShoutingWork(), workers=workers, timeout_s=timeout_s) as pool:
        answers = [(task, result) for task, result, _ in pool.run(tasks, never)]
    assert sorted(task for task, _ in answers) == sorted(tasks)
    return dict(answers)


def children() -> set[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(pid) for pid in file.read().split()}


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_task_is_done_once() -> None:
    tasks = [f"task {number}" for number in range(100)]

    assert run_all(tasks) == {task: task.upper() for task in tasks}


def test_each_result_comes_with_the_buffer_that_its_task_filled() -> None:
    tasks = ["x" * length for length in range(1, 60)]
    with WorkerPool(ShoutingWork(), workers=2, timeout_s=20) as pool:
        for task, _, buffer in pool.run(tasks, never):
            assert bytes(buffer) == bytes([len(task)] * 8)


def test_no_tasks_give_no_results() -> None:
    assert run_all([], workers=1) == {}


def test_a_worker_that_aborts_costs_its_own_task_alone() -> None:
    tasks = ["abort", *(f"task {number}" for number in range(20))]

    answers = run_all(tasks)

    assert answers.pop("abort") == WorkerLost(timed_out=False, exit_code=-signal.SIGABRT)
    assert answers == {task: task.upper() for task in tasks[1:]}


def test_a_worker_that_exits_or_raises_costs_its_own_task_alone() -> None:
    tasks = ["exit", "a", "raise", "b", "c"]

    answers = run_all(tasks, workers=1)

    assert answers.pop("exit") == WorkerLost(timed_out=False, exit_code=7)
    assert answers.pop("raise") == WorkerLost(timed_out=False, exit_code=1)
    assert answers == {"a": "A", "b": "B", "c": "C"}


def test_a_worker_that_hangs_is_stopped_and_costs_its_own_task_alone() -> None:
    tasks = ["hang", *(f"task {number}" for number in range(20))]
    started_s = time.monotonic()

    answers = run_all(tasks, timeout_s=0.5)

    assert answers.pop("hang") == WorkerLost(timed_out=True)
    assert answers == {task: task.upper() for task in tasks[1:]}
    assert time.monotonic() - started_s < 15


def test_many_disasters_in_a_row_are_one_answer_each() -> None:
    tasks = ["abort 1", "abort 2", "exit 3", "hang 4", "fine", "abort 5"]

    answers = run_all(tasks, timeout_s=0.5)

    assert answers.pop("fine") == "FINE"
    assert all(isinstance(answer, WorkerLost) for answer in answers.values())


def test_the_time_of_a_task_counts_from_its_own_start() -> None:
    # Six tasks of 0.4 s wait for one worker: none is late at a limit of 1 s, though the last waits for 2 s.
    tasks = [f"slow {number}" for number in range(6)]

    assert run_all(tasks, workers=1, timeout_s=1.0) == {task: task.upper() for task in tasks}


def test_a_slow_reader_of_results_makes_no_task_late() -> None:
    with WorkerPool(ShoutingWork(), workers=1, timeout_s=0.6) as pool:
        results = []
        for _, result, _ in pool.run([f"slow {number}" for number in range(4)], never):
            time.sleep(0.8)  # as a model on a slow device does
            results.append(result)

    assert results == [f"SLOW {number}" for number in range(4)]


def test_tasks_are_taken_no_faster_than_there_is_room_for_them() -> None:
    taken: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(1)
            yield f"task {len(taken)}"

    with WorkerPool(ShoutingWork(), workers=2, timeout_s=20) as pool:
        for done, _ in enumerate(pool.run(endless(), lambda: len(taken) > 200), start=1):
            assert len(taken) <= done + 2 * TASKS_AHEAD


def test_after_stop_no_more_tasks_are_handed_out() -> None:
    done: list[str] = []
    with WorkerPool(ShoutingWork(), workers=1, timeout_s=20) as pool:
        for task, _, _ in pool.run([f"slow {number}" for number in range(50)], lambda: len(done) >= 3):
            done.append(task)

    assert 3 <= len(done) <= 5


def test_workers_that_cannot_start_are_an_error_that_says_what_to_do() -> None:
    with (
        WorkerPool(StillbornWork(), workers=2, timeout_s=20) as pool,
        pytest.raises(RaliError, match=r"exit code 9.*rali doctor"),
    ):
        list(pool.run(["a"], never))


def test_no_worker_outlives_the_pool() -> None:
    before = children()
    with WorkerPool(ShoutingWork(), workers=2, timeout_s=20) as pool:
        list(pool.run(["a", "b"], never))
        workers = children() - before
        assert len(workers) >= 2

    names = [pid for pid in workers if is_alive(pid) and b"resource_tracker" not in _command(pid)]
    assert names == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_costs_no_task(number: signal.Signals) -> None:
    """Ctrl-C, and what systemd sends, reach the workers too: even while these are still starting."""
    before = children()
    tasks = [f"slow {index}" for index in range(4)]
    handler = signal.signal(number, lambda *_: None)
    try:
        with WorkerPool(ShoutingWork(), workers=2, timeout_s=20) as pool:
            workers = [pid for pid in children() - before if b"resource_tracker" not in _command(pid)]
            answers = {}
            for pause_s in (0.0, 0.05, 0.1):
                time.sleep(pause_s)
                for pid in workers:
                    os.kill(pid, number)
            for task, result, _ in pool.run(tasks, never):
                answers[task] = result
                for pid in workers:
                    os.kill(pid, number)
    finally:
        signal.signal(number, handler)

    assert answers == {task: task.upper() for task in tasks}


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""

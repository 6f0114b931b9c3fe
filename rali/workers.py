"""A pool of processes that survives what it is fed: a crash or a hang costs one worker and one failed task.

``concurrent.futures`` and ``multiprocessing.Pool`` give the whole pool up, or wait for ever, when a process dies.
Decoders of hostile files do die, so each worker here has its own pipe and is replaced alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from rali.errors import WorkersError

# Tasks handed to a worker ahead of time: enough that it does not wait while the parent runs a batch on the device.
TASKS_AHEAD = 6
_STOP_CHECK_S = 0.25
_MOST_WORKERS = 8
_READY = "ready"


def default_workers() -> int:
    """Return how many workers suit this machine: one for each core that we may use, up to 8 (45 MB each)."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, _MOST_WORKERS)


class Work(Protocol):
    """What the pool runs: a picklable callable that fills a buffer and returns something small."""

    @property
    def result_bytes(self) -> int:
        """Size of the buffer that each call may fill."""

    def start(self) -> None:
        """Set up the process, once, before the first task."""

    def __call__(self, task: str, buffer: memoryview, /) -> Any:
        """Do one task."""


@dataclass(frozen=True)
class WorkerLost:
    """The worker died or was stopped while it had this task.

    Attributes:
        timed_out: it took too long; otherwise it crashed.
        exit_code: of the process; negative is a signal.
    """

    timed_out: bool
    exit_code: int | None = None


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ready: bool = False
    tasks: deque[tuple[int, str]] = field(default_factory=deque)
    busy_since_s: float = 0.0


class WorkerPool:
    """Processes that run ``work`` on tasks; use it as a context manager.

    Args:
        work: what each worker runs.
        workers: number of processes.
        timeout_s: a task that takes longer is given up.
    """

    def __init__(self, work: Work, *, workers: int, timeout_s: float) -> None:
        self._work = work
        self._timeout_s = timeout_s
        # Spawned, not forked: the parent holds threads (torch) and an open database.
        self._context = multiprocessing.get_context("spawn")
        slots = workers * TASKS_AHEAD
        # Pixels cross in shared memory, which the kernel frees whatever happens to either side.
        self._shared = self._context.RawArray(ctypes.c_ubyte, slots * work.result_bytes)
        self._buffer = memoryview(self._shared).cast("B")
        self._free_slots = list(range(slots))
        self._workers = [self._start() for _ in range(workers)]

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.connection.close()
            # Not waited for: a worker in the middle of a file is of no more use, and holds nothing of value.
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    def run(self, tasks: Iterable[str], stop: Callable[[], bool]) -> Iterator[tuple[str, Any, memoryview]]:
        """Yield ``(task, result, buffer)`` as tasks finish, in no particular order.

        ``result`` is what ``work`` returned, or a :class:`WorkerLost`. ``buffer`` is valid until the next result is
        asked for. Tasks are taken from the iterable no faster than workers have room for them. Once ``stop()`` is
        true no more results come.

        Raises:
            WorkersError, OSError: workers cannot be started on this machine.
        """
        waiting = iter(tasks)
        retries: deque[str] = deque()
        exhausted = False
        while not stop():
            while self._free_slots and not (exhausted and not retries):
                worker = min(self._workers, key=lambda candidate: len(candidate.tasks))
                if len(worker.tasks) >= TASKS_AHEAD:
                    break
                task = retries.popleft() if retries else next(waiting, None)
                if task is None:
                    exhausted = True
                    break
                self._hand(worker, task)
            if not any(worker.tasks for worker in self._workers):
                return
            for worker, result in self._collect():
                if isinstance(result, WorkerLost):
                    self._replace(worker)
                    if not worker.tasks:
                        continue
                    slot, task = worker.tasks.popleft()
                    # The tasks behind it did nothing wrong.
                    for other_slot, other_task in worker.tasks:
                        self._free_slots.append(other_slot)
                        retries.append(other_task)
                else:
                    slot, task = worker.tasks.popleft()
                size = self._work.result_bytes
                yield task, result, self._buffer[slot * size : (slot + 1) * size]
                self._free_slots.append(slot)

    def _collect(self) -> list[tuple[_Worker, Any]]:
        """Wait until something comes: results, deaths, or the end of a task's time."""
        handles: dict[Any, _Worker] = {}
        for worker in self._workers:
            handles[worker.connection] = worker
            handles[worker.process.sentinel] = worker
        started = [worker.busy_since_s for worker in self._workers if worker.ready and worker.tasks]
        patience_s = min([_STOP_CHECK_S, *(since + self._timeout_s - time.monotonic() for since in started)])
        ready = wait(list(handles), timeout=max(0.0, patience_s))
        found: list[tuple[_Worker, Any]] = []
        for worker in {id(handles[handle]): handles[handle] for handle in ready}.values():
            try:
                if worker.connection.poll():
                    message = worker.connection.recv()
                    worker.busy_since_s = time.monotonic()
                    if message == _READY:
                        worker.ready = True
                    else:
                        found.append((worker, message))
                    continue
            except (EOFError, OSError):
                pass
            worker.process.join(timeout=5)
            if not worker.ready:
                raise WorkersError(
                    f"the decoding workers cannot start (exit code {worker.process.exitcode}); "
                    "check the free memory and the installation with: rali doctor"
                )
            found.append((worker, WorkerLost(timed_out=False, exit_code=worker.process.exitcode)))
        now = time.monotonic()
        seen = {id(worker) for worker, _ in found}
        for worker in self._workers:
            late = worker.ready and worker.tasks and now - worker.busy_since_s >= self._timeout_s
            if late and id(worker) not in seen and not worker.connection.poll():
                found.append((worker, WorkerLost(timed_out=True)))
        return found

    def _hand(self, worker: _Worker, task: str) -> None:
        slot = self._free_slots.pop()
        if not worker.tasks:
            worker.busy_since_s = time.monotonic()
        worker.tasks.append((slot, task))
        # A worker that has just died is noticed by its sentinel; the task is then handed out again.
        with contextlib.suppress(OSError):
            worker.connection.send((slot, task))

    def _replace(self, worker: _Worker) -> None:
        worker.connection.close()
        worker.process.kill()
        worker.process.join()
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._shared, self._work), name="rali-decode", daemon=True
        )
        with _signals_held_back():
            process.start()
        theirs.close()
        return _Worker(process, ours)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Start processes that hear neither Ctrl-C nor SIGTERM; what comes for this one meanwhile comes afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, shared: Any, work: Work) -> None:
    """Run in the worker: take tasks until the parent closes its end, or dies."""
    # Ctrl-C reaches the whole process group, and so does what systemd sends; the parent decides what becomes of it.
    # Where a process inherits what its parent holds back, the signals are held back already, even from the imports.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # C libraries print what they think of a damaged file; the parent's terminal is for the user.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    work.start()
    buffer = memoryview(shared).cast("B")
    size = work.result_bytes
    with contextlib.suppress(EOFError, OSError):
        connection.send(_READY)
        while True:
            slot, task = connection.recv()
            connection.send(work(task, buffer[slot * size : (slot + 1) * size]))

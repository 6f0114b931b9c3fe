"""What commands that take long have in common: a progress bar, and an end in good order on Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from rali_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rali.model.pull import PullProgress
    from rali.pipeline import Progress
    from rali.training.materials import Step


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM end the run in good order, and the second at once."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature is Python's)
        if asked:
            sys.exit(ExitCode.INTERRUPTED)
        asked.append(number)

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Show progress on stderr; say nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("Looking", total=None, rate="")
        started_s: list[float] = []

        def show(progress: Any) -> None:
            if progress.total is None:
                bar.update(task, completed=progress.found)
                return
            if not started_s:
                started_s.append(time.monotonic())
            elapsed_s = time.monotonic() - started_s[0]
            rate = f"{progress.done / elapsed_s:.1f}/s" if progress.done and elapsed_s > 0 else ""
            failed = f" {progress.failed:,} failed" if progress.failed else ""
            bar.update(task, description="Scoring", completed=progress.done, total=progress.total, rate=rate + failed)

        yield show


@contextmanager
def moving_bar(verb: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show on stderr how many of ``total`` photos are moved; say nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def pull_bar() -> Iterator[Callable[[PullProgress], None]]:
    """Show on stderr how far a download is; say nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Asking the hub", total=None)

        def show(progress: PullProgress) -> None:
            words = f"{progress.stage} {progress.file}".strip()
            bar.update(task, description=words, completed=progress.done_bytes, total=progress.total_bytes or None)

        yield show


@contextmanager
def training_bar() -> Iterator[Callable[[Step], None]]:
    """Show on stderr how far training is; say nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Looking", total=None)

        def show(step: Step) -> None:
            if bar.tasks[0].description != step.name:
                bar.reset(task, description=step.name)  # a new step, a new rate
            bar.update(task, completed=step.done, total=step.total or None)

        yield show


@contextmanager
def picture_bar() -> Iterator[Callable[[], None]]:
    """Show on stderr how many pictures are made; say nothing where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Pictures", total=None)
        yield lambda: bar.advance(task)

"""A command of the user's for each photo that was scored, without a shell, one after another beside the watching."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import IO, cast

from rali.errors import UsageError
from rali.photos.photo import display_path
from rali.watching.events import Notice

MOST_WAITING = 100_000
_TIMEOUT_S = 60.0
_STEP_S = 0.1
# What is to end gets so long to tidy up.
_LAST_WORDS_S = 1.0
_SHOWN_CHARACTERS = 200
_READ_BYTES = 4096


class CommandRunner:
    """Runs a command for photos in a thread of its own; a context manager.

    Args:
        command: program and arguments; the photo's path takes the place of ``{}``, or comes last. No shell reads it.
        timeout_s: a command that takes longer is killed, with all that it has started.
        on_notice: called, in that thread, when there is something to tell.

    The command finds the score in the variable ``RALI_SCORE`` and gets nothing on its standard input.

    Attributes:
        left: photos for which it was not run, because of :meth:`end`.

    Raises:
        UsageError: the command is empty, or its program is not there.
    """

    def __init__(
        self, command: Sequence[str], *, timeout_s: float = _TIMEOUT_S, on_notice: Callable[[], None] = lambda: None
    ) -> None:
        _check_program(command)
        self._command, self._timeout_s = list(command), timeout_s
        self._on_notice = on_notice
        self._waiting: SimpleQueue[tuple[str, float] | None] = SimpleQueue()
        self._notices: deque[Notice] = deque(maxlen=1000)
        self._left_out = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="rali-exec", daemon=True)
        self.left = 0

    def __enter__(self) -> CommandRunner:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(finish=False)
        self._thread.join()

    def run_for(self, path: str, score: float) -> None:
        """Run the command for a photo, soon; never waits."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put((path, score))
            return
        if not self._left_out:
            self._notices.append(Notice(f"more than {MOST_WAITING:,} photos wait for --exec: some are left out"))
        self._left_out += 1

    def notices(self) -> Iterator[Notice]:
        """Yield what went wrong since the last call."""
        while self._notices:
            yield self._notices.popleft()

    def end(self, *, finish: bool) -> None:
        """Ask for the end: with ``finish`` after all that wait, otherwise at once, and the one that runs is killed."""
        if not finish:
            self._stopping.set()
        self._waiting.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end that was asked for, at most so long; tell if it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while (task := self._waiting.get()) is not None:
            path, score = task
            if self._stopping.is_set():
                self.left += 1
            elif trouble := self._run(path, score):
                program = display_path(self._command[0])
                self._notices.append(Notice(f"--exec {program} for {display_path(path)}: {trouble}"))
                self._on_notice()

    def _run(self, path: str, score: float) -> str | None:
        """Run it; return what went wrong, in words."""
        command = [part.replace("{}", path) for part in self._command]
        if command == self._command:
            command.append(path)
        with _scratch() as said:
            try:
                process = subprocess.Popen(  # noqa: S603 (the user's own command)
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env={**os.environ, "RALI_SCORE": f"{score:.4f}"},
                    start_new_session=True,  # Ctrl-C is for the watcher
                )
            except (OSError, ValueError) as error:
                return str(error)
            return self._wait_for(process) or _why_it_failed(process.returncode, said)

    def _wait_for(self, process: subprocess.Popen[bytes]) -> str | None:
        """Wait until it has ended; return why it was not let to, in words."""
        until_s = time.monotonic() + self._timeout_s
        while True:
            try:
                process.wait(timeout=_STEP_S)
            except subprocess.TimeoutExpired:
                if self._stopping.is_set():
                    _kill(process)
                    return "stopped, because the watch ended"
                if time.monotonic() >= until_s:
                    _kill(process)
                    return f"took longer than {self._timeout_s:g} s and was stopped"
            else:
                return None


def _scratch() -> IO[bytes]:
    """Open what a command writes its errors to.

    A file, not a pipe: what the command leaves running in the background may hold that open for ever.
    """
    try:
        return cast("IO[bytes]", tempfile.TemporaryFile())
    except OSError:  # no room: rather no last words than no command
        return open(os.devnull, "w+b")


def _check_program(command: Sequence[str]) -> None:
    """Refuse at once what would fail for each photo.

    Raises:
        UsageError: the command is empty, or its program is not there, or is none.
    """
    if not command or not command[0]:
        raise UsageError("--exec: give a command")
    program, shown = command[0], display_path(command[0])
    if "{}" in program or shutil.which(program) is not None:
        return
    if os.path.dirname(program) and os.path.exists(program):
        raise UsageError(f"--exec {shown}: it cannot be executed; make it so with: chmod +x, or name its interpreter")
    raise UsageError(f"--exec {shown}: there is no such program; check the spelling, or give its whole path")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its session that is in its group: politely, and then for good."""
    with suppress(ProcessLookupError, PermissionError):
        _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_LAST_WORDS_S)
        return
    with suppress(ProcessLookupError, PermissionError):
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, number)
    else:  # Windows knows no groups
        process.send_signal(number)


def _why_it_failed(code: int, said: IO[bytes]) -> str | None:
    """Say what an exit code means, with the last line that the command wrote; None for success."""
    if code == 0:
        return None
    size_bytes = said.seek(0, os.SEEK_END)
    said.seek(max(0, size_bytes - _READ_BYTES))
    lines = said.read(_READ_BYTES).decode("utf-8", "replace").strip().splitlines()
    last = display_path(lines[-1].strip()[:_SHOWN_CHARACTERS]) if lines else ""
    ended = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
    return ended + (f" ({last})" if last else "")

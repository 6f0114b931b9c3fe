"""A command of the user's for each photo that was scored, without a shell, one after another beside the watching."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Full, Queue

from rali.errors import UsageError
from rali.photos.photo import display_path
from rali.watching.events import Notice

MOST_WAITING = 100_000
_TIMEOUT_S = 60.0
_SHOWN_CHARACTERS = 200


class CommandRunner:
    """Runs a command for photos in a thread of its own; a context manager.

    Args:
        command: program and arguments; the photo's path takes the place of ``{}``, or comes last. No shell reads it.
        timeout_s: a command that takes longer is killed.
        on_notice: called, in that thread, when there is something to tell.

    The command finds the score in the variable ``RALI_SCORE`` and gets nothing on its standard input.

    Raises:
        UsageError: the command is empty.
    """

    def __init__(
        self, command: Sequence[str], *, timeout_s: float = _TIMEOUT_S, on_notice: Callable[[], None] = lambda: None
    ) -> None:
        if not command or not command[0]:
            raise UsageError("--exec: give a command")
        self._command, self._timeout_s = list(command), timeout_s
        self._on_notice = on_notice
        self._waiting: Queue[tuple[str, float] | None] = Queue(MOST_WAITING)
        self._notices: deque[Notice] = deque(maxlen=1000)
        self._left_out = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="rali-exec", daemon=True)

    def __enter__(self) -> CommandRunner:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close(finish=False)

    def run_for(self, path: str, score: float) -> None:
        """Run the command for a photo, soon; never waits."""
        try:
            self._waiting.put_nowait((path, score))
        except Full:
            if not self._left_out:
                self._notices.append(Notice(f"more than {MOST_WAITING:,} photos wait for --exec: some are left out"))
            self._left_out += 1

    def notices(self) -> Iterator[Notice]:
        """Yield what went wrong since the last call."""
        while self._notices:
            yield self._notices.popleft()

    def close(self, *, finish: bool) -> int:
        """Stop after the command that runs now, or with ``finish`` after all that wait; return how many were left."""
        if not self._thread.is_alive():
            return 0
        left = 0
        if not finish:
            self._stopping.set()
            try:
                while self._waiting.get_nowait() is not None:
                    left += 1
            except Empty:
                pass
        self._waiting.put(None)
        self._thread.join()
        return left

    def _serve(self) -> None:
        while (task := self._waiting.get()) is not None and not self._stopping.is_set():
            path, score = task
            if trouble := self._run(path, score):
                self._notices.append(Notice(f"--exec {self._command[0]} for {display_path(path)}: {trouble}"))
                self._on_notice()

    def _run(self, path: str, score: float) -> str | None:
        """Run it; return what went wrong, in words."""
        command = [part.replace("{}", path) for part in self._command]
        if command == self._command:
            command.append(path)
        try:
            done = subprocess.run(  # noqa: S603 (the user's own command)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "RALI_SCORE": f"{score:.4f}"},
                timeout=self._timeout_s,
                check=False,
                start_new_session=True,  # Ctrl-C is for the watcher
            )
        except subprocess.TimeoutExpired:
            return f"took longer than {self._timeout_s:g} s and was stopped"
        except (OSError, ValueError) as error:
            return str(error)
        if done.returncode == 0:
            return None
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:_SHOWN_CHARACTERS]
        return f"ended with {done.returncode}" + (f" ({display_path(said)})" if said else "")

"""Faults on purpose: kill or fail at the n-th call that changes a file, and check that nothing was lost or doubled."""

from __future__ import annotations

import errno
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rali.moving.moves import Fs

KILLED = 137
_CALLS = (
    "link",
    "unlink",
    "rename",
    "replace",
    "create",
    "write",
    "copy_attributes",
    "set_time",
    "set_permissions",
    "sync",
    "sync_folder",
    "make_folder",
    "remove_folder",
)


class FaultyFs(Fs):
    """The real calls, each of which is a step before and a step after; ``at_step`` is told the number and the name."""

    def __init__(self, at_step: Callable[[int, str], None]) -> None:
        self.steps = 0
        self.failed = 0
        self._at_step = at_step

    def step(self, name: str) -> None:
        """Count one step."""
        self.steps += 1
        self._at_step(self.steps, name)


def _with_steps(name: str) -> Callable[..., Any]:
    def call(self: FaultyFs, *arguments: Any) -> Any:
        self.step(f"before {name}")
        result = getattr(Fs, name)(self, *arguments)
        self.step(f"after {name}")
        return result

    return call


for _name in _CALLS:
    setattr(FaultyFs, _name, _with_steps(_name))


def dies_at(number: int) -> FaultyFs:
    """Make calls of which the ``number``-th step kills the process, as SIGKILL would: nothing is cleaned up."""

    def at_step(step: int, _: str) -> None:
        if step == number:
            os._exit(KILLED)

    return FaultyFs(at_step)


def fails_at(number: int, error: int, *, forever: bool = False) -> FaultyFs:
    """Make calls of which the ``number``-th fails with an errno; with ``forever`` all that come after it, too."""
    calls = 0

    def at_step(_: int, name: str) -> None:
        nonlocal calls
        if name.startswith("before"):
            calls += 1
            if calls == number or (forever and calls > number):
                fs.failed += 1
                raise OSError(error, os.strerror(error))

    fs = FaultyFs(at_step)
    return fs


class NoLinksFs(Fs):
    """A file system without hard links, as FAT, exFAT and many shares are."""

    def link(self, old: str, new: str) -> None:
        """Refuse."""
        raise OSError(errno.EPERM, "Operation not permitted")


class FaultyNoLinksFs(FaultyFs):
    """The same, with steps."""

    def link(self, old: str, new: str) -> None:
        """Refuse."""
        NoLinksFs.link(self, old, new)  # type: ignore[arg-type]


def run_in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process; return its exit code, 0 if it came to its end."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 (a child must not go on as a second pytest)
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def kill_everywhere(
    work: Callable[[Fs], None],
    between: Callable[[], None] = lambda: None,
    fs: Callable[[int], Fs] = dies_at,
    *,
    every: int = 1,
) -> int:
    """Run ``work`` in processes that die at step 1, 2, 3 ... until one comes to its end; return the number of kills.

    With ``every`` only every so-manieth step is tried.

    ``between`` is called after each kill, to look at what was left, to repair it and to make ready for the next.
    """
    kills = 0
    while True:
        code = run_in_child(lambda: work(fs(1 + kills * every)))  # noqa: B023 (called at once)
        assert code in (0, KILLED), code
        if code == 0:
            return kills
        kills += 1
        between()


def contents(*folders: str | os.PathLike[str]) -> Counter[bytes]:
    """Count the content hashes of all files below ``folders``; our journals are no photos."""
    return Counter(
        blake2b(path.read_bytes(), digest_size=16).digest()
        for path in _files(folders)
        if path.name != ".rali-journal.jsonl"
    )


def _files(folders: tuple[str | os.PathLike[str], ...]) -> Iterator[Path]:
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


def tree(folder: str | os.PathLike[str]) -> dict[str, tuple[bytes, int]]:
    """Return every file below ``folder``: its content hash and its time of change."""
    return {
        os.fsdecode(os.path.relpath(path, folder)): (blake2b(path.read_bytes()).digest(), path.stat().st_mtime_ns)
        for path in _files((folder,))
    }


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Take the right to change a folder's names away for a while."""
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(mode)

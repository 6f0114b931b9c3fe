"""Hints: which folders to look at, from whoever notices that something may have happened in them.

A hint is never trusted to be complete or true. What is lost costs time, until the next rescan; what comes too often
costs nothing, because a folder is either marked or not.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from rali.photos.photo import PHOTO_SUFFIXES, SIDECAR_SUFFIXES, display_path
from rali.photos.scan import SKIPPED_FOLDERS
from rali.watching.bell import Bell
from rali.watching.mounts import Mount, mount_table, mounts_of, network_below, network_type

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers.api import BaseObserver, ObservedWatch

# Beyond so many marked folders, looking at everything is no more work.
MOST_FOLDERS = 10_000
_SUFFIXES = PHOTO_SUFFIXES | SIDECAR_SUFFIXES
_SHARES_ARE_SILENT = "which tells nothing of what other machines do"


class Hints:
    """Marked folders, and a bell that wakes who waits for them; any thread may mark."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marked: dict[str, bool] = {}
        self._overflowed = False
        self._bell = Bell()

    def mark(self, folder: str, *, deep: bool = False) -> None:
        """Ask for a look at a folder; with ``deep``, at all folders below it, too."""
        with self._lock:
            if folder in self._marked or len(self._marked) < MOST_FOLDERS:
                self._marked[folder] = deep or self._marked.get(folder, False)
            else:
                self._overflowed = True
        self.ring()

    def ring(self) -> None:
        """Wake who waits, without a folder to look at."""
        self._bell.ring()

    def take(self) -> tuple[dict[str, bool], bool]:
        """Return the marked folders (whether deep), and whether there were too many to remember; begin anew."""
        with self._lock:
            marked, overflowed = self._marked, self._overflowed
            self._marked, self._overflowed = {}, False
        return marked, overflowed

    def wait(self, timeout_s: float) -> bool:
        """Wait for the bell, at most so long; tell if it rang."""
        return self._bell.wait(timeout_s)


class Source(Protocol):
    """What marks folders."""

    def watch(self, root: str) -> str | None:
        """Begin to notice what happens below a root; return why not all of it is noticed, in words, or None."""

    def unwatch(self, root: str) -> None:
        """Stop."""

    def is_stale(self, root: str) -> bool:
        """Tell if a root has to be watched anew: its events have ended, or something was mounted or unmounted there."""

    def exhausted(self) -> str | None:
        """Tell why it may have begun to miss folders, in words; None if it has not."""

    def close(self) -> None:
        """Stop everything."""


class NoSource:
    """Notices nothing: all is left to rescans.

    Args:
        reason: in words; None if nobody needs one, because nothing is watched for long.
    """

    def __init__(self, reason: str | None) -> None:
        self._reason = reason

    def watch(self, root: str) -> str | None:  # noqa: ARG002 (see Source)
        """Return the reason."""
        return self._reason

    def unwatch(self, root: str) -> None:
        """Do nothing."""

    def is_stale(self, root: str) -> bool:  # noqa: ARG002 (see Source)
        """Nothing is watched, so nothing grows stale."""
        return False

    def exhausted(self) -> str | None:
        """Nothing is watched, so nothing is missed."""
        return None

    def close(self) -> None:
        """Do nothing."""


class WatchdogSource:
    """The system's own file events, through watchdog's native observer.

    Args:
        hints: marked by a thread of the observer.
        probe: a folder outside of the roots, on which a watch is tried now and then: watchdog keeps quiet about a limit
            that it meets below a root.
        table: text of the mount table.
        observer: in place of watchdog's own, for tests.
    """

    def __init__(
        self,
        hints: Hints,
        probe: str,
        *,
        table: Callable[[], str] = mount_table,
        observer: BaseObserver | None = None,
    ) -> None:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        # Told, a thousand times longer than this, of each folder that came while another's events were being read.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        self._hints, self._probe, self._table = hints, probe, table
        self._observer = observer or Observer()
        self._watches: dict[str, ObservedWatch] = {}
        self._mounts: dict[str, tuple[Mount, ...]] = {}
        self._started = False
        source = self

        class Handler(FileSystemEventHandler):
            def __init__(self, root: str) -> None:
                self._root = root

            def on_any_event(self, event: FileSystemEvent) -> None:
                source.note(self._root, event)

        self._handler = Handler

    def watch(self, root: str) -> str | None:
        """Begin to notice what happens below a root; return why not all of it is noticed, in words, or None."""
        table = self._table()
        self._mounts[root] = mounts_of(root, table)
        if kind := network_type(root, table):
            return f"it is on a network share ({kind}), {_SHARES_ARE_SILENT}"
        try:
            if not self._started:
                self._observer.start()
                self._started = True
            self._watches[root] = self._schedule(root, self._handler(root), recursive=True)
        except OSError as error:
            return _limit(error)
        # Of this root and of the limit alone: that another root's events have ended is no reason to poll this one.
        reason = "the system's events have ended" if self._has_ended(root) else self._limit_reached()
        if reason is not None:
            self.unwatch(root)
            self._mounts[root] = mounts_of(root, table)
            return reason
        shares = [mount for mount in network_below(root, table) if not _passed_over(mount.point, root)]
        if shares:
            return f"{display_path(shares[0].point)} in it is a network share ({shares[0].kind}), {_SHARES_ARE_SILENT}"
        return None

    def unwatch(self, root: str) -> None:
        """Stop."""
        watch = self._watches.pop(root, None)
        self._mounts.pop(root, None)
        if watch is not None:
            self._observer.unschedule(watch)

    def is_stale(self, root: str) -> bool:
        """Tell if a root has to be watched anew: its events have ended, or something was mounted or unmounted there.

        The system ends the watches on what is unmounted, and has none on what is mounted; it tells of neither.
        """
        mounts = self._mounts.get(root)
        return self._has_ended(root) or (mounts is not None and mounts != mounts_of(root, self._table()))

    def exhausted(self) -> str | None:
        """Tell if the system's limit is reached, so that new folders cannot be watched."""
        return self._limit_reached() if self._watches else None

    def _has_ended(self, root: str) -> bool:
        """Tell if no more events will come from a root: its thread ends with the folder, even if that is made again."""
        watch = self._watches.get(root)
        if watch is None:
            return False
        alive = any(emitter.watch == watch and emitter.is_alive() for emitter in self._observer.emitters)
        return not alive or not self._observer.is_alive()

    def _limit_reached(self) -> str | None:
        from watchdog.events import FileSystemEventHandler

        if self._probe in self._watches:
            return None
        try:
            watch = self._schedule(self._probe, FileSystemEventHandler(), recursive=False)
        except OSError as error:
            return _limit(error)
        self._observer.unschedule(watch)
        return None

    def close(self) -> None:
        """Stop everything."""
        if self._started:
            self._observer.stop()
            self._observer.join()

    def note(self, root: str, event: FileSystemEvent) -> None:
        """Mark what an event is about."""
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        for path in paths:
            folder, name = os.path.split(path)
            if path == root:
                self._hints.mark(root, deep=event.event_type == "deleted")
            elif event.is_directory:
                if event.event_type != "modified" and not _passed_over(path, root):
                    self._hints.mark(path, deep=True)
            elif os.path.splitext(name)[1].lower() in _SUFFIXES and not _passed_over(path, root):
                self._hints.mark(folder)

    def _schedule(self, folder: str, handler: FileSystemEventHandler, *, recursive: bool) -> ObservedWatch:
        from watchdog import events

        # Not "opened" nor "closed without a write": we ourselves open every file that there is to score.
        wanted = [
            *(events.FileCreatedEvent, events.FileModifiedEvent, events.FileMovedEvent, events.FileDeletedEvent),
            *(events.DirCreatedEvent, events.DirMovedEvent, events.DirDeletedEvent),
        ]
        if sys.platform == "linux":
            wanted.append(events.FileClosedEvent)
        return self._observer.schedule(handler, folder, recursive=recursive, event_filter=wanted)


def _passed_over(path: str, root: str) -> bool:
    """Tell if a scan would pass over a path: dot names, our own quarantine among them, and systems' own folders."""
    parts: Sequence[str] = path[len(root.rstrip(os.sep)) + 1 :].split(os.sep)
    return any(part.startswith(".") or part in SKIPPED_FOLDERS for part in parts)


def _limit(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the system's limit of watched folders is reached; raise it: sysctl fs.inotify.max_user_watches=1048576"
    if error.errno == errno.EMFILE:
        return "the system's limit of watchers is reached; raise it with: sysctl fs.inotify.max_user_instances=1024"
    return f"the system cannot watch it ({error.strerror or error})"

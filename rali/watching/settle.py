"""When a file is whole: two looks, some seconds apart, that see the same. Nothing here touches a disk or a clock.

Every time is given by the caller, in seconds of any clock that never goes back.
"""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Container
from dataclasses import dataclass

from rali.catalog.rows import TRANSIENT_FAILURES
from rali.errors import FailureKind
from rali.photos.photo import Photo
from rali.watching.trouble import longer

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
# An empty file is more often one that nothing was written to yet than one that stays empty.
EMPTY_PATIENCE = 10
# What no pause mends: the file has to change first, and then it is waiting anyway.
_FOR_GOOD = frozenset({FailureKind.CRASHED, FailureKind.TIMED_OUT, FailureKind.TOO_LARGE, FailureKind.NOT_FINITE})

# (size_bytes, mtime_ns, inode) of each photo file of a shot.
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(slots=True)
class _Pending:
    """A photo that is not done.

    Attributes:
        seen_s: when it was first seen at all.
        ripe_s: a look from then on that sees the same stamp finds it ready.
        ready: it is.
        out: somebody took it and has not said yet what became of it.
        pause_s: before the last look at a failure; 0 before the first.
        failure: what it failed by last.
    """

    photo: Photo
    stamp: Stamp
    seen_s: float
    ripe_s: float
    ready: bool = False
    out: bool = False
    pause_s: float = 0.0
    failure: FailureKind | None = None


class Settler:
    """Keeps the photos that are not done, from the first look at them until they are scored.

    A photo is ready once two looks at least ``settle_s`` apart saw the same files; a file of no bytes has to stay so
    for ten times as long. A change starts the wait again. What failed in a way that may pass is ready again after
    2, 4, 8 and so on up to 300 seconds; what is only damaged is let go after the longest pause, because the catalog
    remembers the file that failed, and any other in its place is new to it.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._pending: dict[str, _Pending] = {}
        self._in_folder: dict[str, set[str]] = {}
        self._due: list[tuple[float, str]] = []  # heap; what no longer fits its photo's ripe_s is passed over
        self._ready: deque[str] = deque()  # oldest first; what is no longer ready is passed over
        self._ready_count = 0
        self._failing = 0

    def __len__(self) -> int:
        """Count the photos that are not done."""
        return len(self._pending)

    def __contains__(self, file: str) -> bool:
        """Tell if a photo is not done."""
        return file in self._pending

    @property
    def ready(self) -> int:
        """How many are ready to be taken."""
        return self._ready_count

    @property
    def failing(self) -> int:
        """How many failed and will be looked at again."""
        return self._failing

    @property
    def settling(self) -> int:
        """How many are being waited for, or are being scored, for the first time."""
        return len(self._pending) - self._ready_count - self._failing

    def next_due_s(self) -> float | None:
        """Return when the next look is due; None if no photo waits for one."""
        while self._due:
            due_s, file = self._due[0]
            found = self._pending.get(file)
            if found is not None and not found.ready and not found.out and found.ripe_s == due_s:
                return due_s
            heapq.heappop(self._due)
        return None

    def due(self, now_s: float, limit: int) -> list[Photo]:
        """Return photos to be looked at now; of each, :meth:`look`, :meth:`gone` or :meth:`unreachable` is to come."""
        found: dict[str, Photo] = {}  # what was marked twice for one time comes once
        while len(found) < limit and (due_s := self.next_due_s()) is not None and due_s <= now_s:
            file = heapq.heappop(self._due)[1]
            found[file] = self._pending[file].photo
        return list(found.values())

    def look(self, photo: Photo, stamp: Stamp, now_s: float, *, quiet_s: float = 0.0) -> bool:
        """Note what a look at a photo saw; tell if it is new, or another than before.

        Args:
            quiet_s: for how long its files are known to have been as they are, from the time of their last change.
        """
        before = self._pending.get(photo.file)
        if before is None:
            before = self._pending[photo.file] = _Pending(photo, stamp, now_s, 0.0)
            self._in_folder.setdefault(os.path.dirname(photo.file), set()).add(photo.file)
            self._wait(before, now_s, now_s - quiet_s + self._patience(stamp))
            return True
        before.photo = photo
        if before.stamp != stamp:
            before.stamp, before.pause_s = stamp, 0.0
            self._set_failure(before, None)
            self._wait(before, now_s, now_s + self._patience(stamp))
            return True
        if now_s >= before.ripe_s and not before.out:
            self._set_ready(before, ready=True)
        return False

    def gone(self, file: str) -> None:
        """Forget a photo that is no longer there."""
        self._forget(file)

    def unreachable(self, file: str, now_s: float) -> None:
        """Note that a look at a photo told nothing: its drive does not answer."""
        if found := self._pending.get(file):
            found.out = False
            found.pause_s = longer(found.pause_s, FIRST_PAUSE_S, LONGEST_PAUSE_S)
            self._wait(found, now_s, now_s + found.pause_s)

    def keep_only(self, folder: str, waiting: Container[str], present: Container[str]) -> None:
        """Forget photos of a folder that need not be read any more.

        Args:
            waiting: names of photos that have to be read.
            present: names of all photos there; what failed is kept while it is one of them.
        """
        for file in list(self._in_folder.get(folder, ())):
            found, name = self._pending[file], os.path.basename(file)
            if not found.out and name not in waiting and (found.failure is None or name not in present):
                self._forget(file)

    def take(self) -> Photo | None:
        """Return the photo that has been ready for longest; None if none is. Say what became of it afterwards."""
        while self._ready:
            found = self._pending.get(self._ready.popleft())
            if found is not None and found.ready and not found.out:
                self._set_ready(found, ready=False)
                found.out = True
                return found.photo
        return None

    def stamp_of(self, file: str) -> Stamp | None:
        """Return what the last look at a photo saw."""
        found = self._pending.get(file)
        return found.stamp if found else None

    def seen_s(self, file: str) -> float | None:
        """Return when a photo was first seen."""
        found = self._pending.get(file)
        return found.seen_s if found else None

    def give_back(self, file: str) -> None:
        """Note that a photo was taken and not used: it is ready as before."""
        if found := self._pending.get(file):
            found.out = False
            self._set_ready(found, ready=True)

    def put_back(self, file: str, stamp: Stamp | None) -> None:
        """Note that nothing became of a photo which was taken, and what it was like when it was taken."""
        if found := self._pending.get(file):
            if not found.out:  # what became of it is known after all
                return
            if found.stamp == stamp:
                self.give_back(file)
            else:  # it has changed since: it has to settle first
                found.out = False
                heapq.heappush(self._due, (found.ripe_s, file))

    def scored(self, file: str, stamp: Stamp | None) -> None:
        """Note that a photo which was taken has a score, and what it was like when it was taken."""
        if found := self._pending.get(file):
            found.out = False
            if found.stamp == stamp:
                self._forget(file)
            else:  # it has changed since, and could not fall due while it was taken
                heapq.heappush(self._due, (found.ripe_s, file))

    def failed(self, file: str, stamp: Stamp | None, kind: FailureKind, now_s: float) -> tuple[float | None, bool]:
        """Note that a photo which was taken failed.

        Returns:
            After how many seconds it will be looked at again, None if not before it changes; and if this is news.
        """
        found = self._pending.get(file)
        if found is None:
            return None, True
        found.out = False
        if found.stamp != stamp:
            heapq.heappush(self._due, (found.ripe_s, file))
            return max(0.0, found.ripe_s - now_s), False
        news = found.failure is not kind
        last_try = found.pause_s >= LONGEST_PAUSE_S and kind not in TRANSIENT_FAILURES
        if kind in _FOR_GOOD or last_try:
            self._forget(file)
            return None, news
        self._set_failure(found, kind)
        found.pause_s = longer(found.pause_s, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._wait(found, now_s, now_s + found.pause_s)
        return found.pause_s, news

    # -----------------------------------------------------------------------------------------------------------

    def _patience(self, stamp: Stamp) -> float:
        return self._settle_s * (EMPTY_PATIENCE if any(size == 0 for size, _, _ in stamp) else 1)

    def _wait(self, found: _Pending, now_s: float, ripe_s: float) -> None:
        found.ripe_s = ripe_s
        self._set_ready(found, ready=ripe_s <= now_s)
        if not found.ready:
            heapq.heappush(self._due, (ripe_s, found.photo.file))

    def _set_ready(self, found: _Pending, *, ready: bool) -> None:
        if ready and not found.ready:
            self._ready.append(found.photo.file)
        self._ready_count += ready - found.ready
        self._failing -= ready and not found.ready and found.failure is not None
        self._failing += found.ready and not ready and found.failure is not None
        found.ready = ready

    def _set_failure(self, found: _Pending, kind: FailureKind | None) -> None:
        if not found.ready:
            self._failing += (kind is not None) - (found.failure is not None)
        found.failure = kind

    def _forget(self, file: str) -> None:
        found = self._pending.pop(file, None)
        if found is None:
            return
        self._ready_count -= found.ready
        self._failing -= found.failure is not None and not found.ready
        folder = os.path.dirname(file)
        self._in_folder[folder].discard(file)
        if not self._in_folder[folder]:
            del self._in_folder[folder]

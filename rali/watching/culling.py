"""Culling as photos come: what scored too low waits a while in which its owner can save it, and then goes."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope, Scoring
from rali.culling.choice import Choice
from rali.culling.protect import rules_off
from rali.errors import CatalogBusyError, CatalogError, RaliError
from rali.photos.photo import Photo
from rali.watching.arrivals import Arrivals
from rali.watching.carrying import Carriage, CullRules, cull_files
from rali.watching.events import Culled, Event, Gone, Held, Notice, Renamed
from rali.watching.settle import FIRST_PAUSE_S, LONGEST_PAUSE_S
from rali.watching.trouble import longer

# Photos whose time has come within so many seconds go in one run, so that one undo brings a burst back.
_GATHER_S = 10.0
_MOST_AT_ONCE = 256
# A look if a photo is back costs next to nothing.
_LOOK_AGAIN_S = 5.0
# What passes by itself: the watcher will score the photo anew, take note of its new companion, or find it gone.
_PASSING_RULES = frozenset({"changed", "gone"})

# Inode, size in bytes and mtime_ns: what the catalog, too, knows a file by.
_File = tuple[int, int, int]


@dataclass
class _Waiting:
    """A photo in its grace.

    Attributes:
        content: hash of what was scored.
        due_s: when its grace ends, or when the next try is.
        pause_s: before that try; 0 before the first.
        gone: it is no longer where it was; it may have been renamed, though, and come to light elsewhere.
    """

    file: _File
    content: bytes
    due_s: float
    pause_s: float = 0.0
    gone: bool = False


@dataclass
class Culling:
    """Culls what came since the watcher began and scored below a bound, each photo on its own.

    Photos that were there before are for ``rali cull``, which shows them first and asks twice if they are many; so
    are those that had a score before. All rules of a cull hold when a photo's time has come: it stays if it was
    edited, rated, marked or scored anew by then. How large a share goes does not count for what comes: the first
    photo in a new folder is all of it. With ``rules.limited``, for a watch that looks once at what is there, no
    photo needs to have come, but all go at once or, if they are too many, none.

    Attributes:
        grace_s: how long a photo stays after its score.
        arrivals: knows what was there before; the lookout feeds it.
        error: why a cull of all at once did not take place.

    Raises:
        UsageError: the bound is no number, or there is no such rule.
    """

    catalog: Catalog
    scoring: Scoring
    rules: CullRules
    grace_s: float = 60.0
    arrivals: Arrivals = field(default_factory=Arrivals)
    error: RaliError | None = None
    _waiting: dict[str, _Waiting] = field(default_factory=dict, repr=False)
    _path_of: dict[_File, str] = field(default_factory=dict, repr=False)
    _due: list[tuple[float, str]] = field(default_factory=list, repr=False)  # heap; what no longer fits is passed over
    _was_known: dict[str, bool] = field(default_factory=dict, repr=False)  # of the photos that are being scored
    _left: int = 0
    _told: str | None = None

    def __post_init__(self) -> None:
        Choice(below=self.rules.below)
        rules_off(self.rules.no_protect)

    def __len__(self) -> int:
        """Count the photos whose time has not come."""
        return sum(not waiting.gone for waiting in self._waiting.values())

    # --- what happens to photos -----------------------------------------------------------------------------------

    def taken(self, photo: Photo) -> None:
        """Note that a photo is about to be scored: only now can the catalog tell if it had a score before."""
        if photo.file not in self._was_known:  # if it is tried again, its own score may be there by now
            self._was_known[photo.file] = self._is_known(photo.file)

    def scored(self, photo: Photo, content: bytes, score: float, now_s: float) -> None:
        """Note a photo's score; its time starts if it has just come, and ends, with the photo saved, if it was edited.

        Args:
            content: hash of what was scored.
        """
        before = self._forget(photo.file)
        was_known = self._was_known.pop(photo.file, False)
        was_there = not self.rules.limited and self.arrivals.was_there(photo)
        self.arrivals.forget(photo)
        if score >= self.rules.below:
            return
        # A file that was only touched is what it was; one that came after another had left the name is new.
        touched = before is not None and not before.gone and before.content == content
        if touched or not (was_known or was_there):
            self._wait(photo.file, _Waiting(_file_of(photo), content, now_s + self.grace_s))
        elif not was_known:
            self._left += 1

    def failed(self, file: str) -> None:
        """Note that a photo has no score: if it had one, it was edited since, and is saved."""
        self._was_known.pop(file, None)
        self._forget(file)

    def heard(self, event: Event) -> None:
        """Note what was seen of photos: a name that changed takes the grace along."""
        match event:
            case Renamed(path):
                self._renamed(path)
            case Gone(path):
                self._was_known.pop(path, None)
                if path in self._waiting:
                    self._waiting[path].gone = True
            case _:
                pass

    def _renamed(self, path: str) -> None:
        file = _look(path)
        before = self._path_of.get(file) if file is not None else None
        if before is not None and before != path and (waiting := self._forget(before)):
            waiting.gone = False
            self._wait(path, waiting)

    def _is_known(self, file: str) -> bool:
        """Tell if a photo of this name that was there until now had a score, with this content or another."""
        photo_id = self.catalog.find(file)
        if photo_id is None or not self.catalog.count_listed(Scope([file])):
            return False
        now = [record.score for record in self.catalog.records([photo_id], self.scoring)]
        return now != [None] or bool(self.catalog.past_scores(photo_id, self.scoring))

    # --- whose time has come --------------------------------------------------------------------------------------

    def next_due_s(self) -> float | None:
        """Return when :meth:`cull` has something to do; None if it has not."""
        while self._due and not self._fits(*self._due[0]):
            heapq.heappop(self._due)
        if not self._due:
            return None
        first_s = max(self._due)[0] if self.rules.limited else self._due[0][0]
        return first_s + min(_GATHER_S, self.grace_s / 4)

    def cull(self, now_s: float, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Cull the photos whose time has come.

        Yields:
            :class:`~rali.watching.events.Culled`, and for each photo that stays :class:`~rali.watching.events.Held`.

        Raises:
            CatalogError: the journal cannot be written.
        """
        files = self._whose_time_has_come(now_s)
        if not files:
            return
        done = cull_files(self.catalog, self.scoring, files, self.rules, stop)
        undecided = set(files).difference(done.went, done.kept, (held.path for held in done.held), dict(done.refused))
        if done.went and done.run is not None:
            yield Culled(done.run, done.went)
        for path in undecided.union(done.went):  # the former score better by now, or belong to another photo's shot
            self._forget(path)
        if isinstance(done.error, CatalogError) and not isinstance(done.error, CatalogBusyError):
            raise done.error
        yield from self._stay(done)
        yield from self._tell_error(done, now_s)

    def tell_left(self) -> Iterator[Notice]:
        """Tell once of the photos that were there before, and score too low all the same."""
        if self._left:
            yield Notice(
                f"{self._left:,} photos that were there before score below {self.rules.below:g}; they stay. To cull "
                f"them: {self.rules.by_hand}"
            )
        self._left = 0

    def _whose_time_has_come(self, now_s: float) -> list[str]:
        """Return those that are what was scored; what is not there is dropped if it was deleted, or else waits on."""
        files: dict[str, None] = {}
        next_s = self.next_due_s()
        if next_s is None or now_s < next_s:
            return []
        most = len(self._due) if self.rules.limited else _MOST_AT_ONCE
        while self._due and self._due[0][0] <= now_s and len(files) < most:
            due_s, path = heapq.heappop(self._due)
            if not self._fits(due_s, path):
                continue
            waiting = self._waiting[path]
            if _look(path) == waiting.file:
                files[path] = None
                self._pause(path, waiting, now_s)  # until it is decided: no error may end what nobody takes up again
            elif waiting.gone or self.rules.limited:
                self._forget(path)
            else:  # its drive may be away; or it has changed, and will be scored anew
                self._put_off(path, now_s + _LOOK_AGAIN_S)
        return list(files)

    def _stay(self, done: Carriage) -> Iterator[Event]:
        """Tell which photos stay, and let go of them."""
        for held in done.held:
            waiting = self._waiting.get(held.path)
            if held.rule in _PASSING_RULES and waiting is not None and not self._is_over(waiting):
                continue
            self._forget(held.path)
            yield Held(held.path, held.rule, held.detail)
        for path, reason in done.refused:
            self._forget(path)
            yield Held(path, "not-moved", reason)

    def _is_over(self, waiting: _Waiting) -> bool:
        return self.rules.limited or waiting.pause_s >= LONGEST_PAUSE_S

    def _tell_error(self, done: Carriage, now_s: float) -> Iterator[Event]:
        """Tell what kept photos, once; they are tried again, unless this was to be the only time."""
        if done.error is None:
            self._told = None
            for path in done.kept:  # a request to stop: its time has come, as before
                self._put_off(path, now_s)
        elif self.rules.limited:
            self.error = done.error
            self._waiting.clear()
        elif done.kept and self._told != str(done.error):
            self._told = str(done.error)
            yield Notice(f"{len(done.kept):,} photos could not be culled now, and are tried again: {self._told}")

    # --- the line -------------------------------------------------------------------------------------------------

    def _wait(self, path: str, waiting: _Waiting) -> None:
        self._waiting[path], self._path_of[waiting.file] = waiting, path
        heapq.heappush(self._due, (waiting.due_s, path))

    def _forget(self, path: str) -> _Waiting | None:
        waiting = self._waiting.pop(path, None)
        if waiting is not None and self._path_of.get(waiting.file) == path:
            del self._path_of[waiting.file]
        return waiting

    def _fits(self, due_s: float, path: str) -> bool:
        """Tell if an entry of the heap is the one that counts for its photo."""
        waiting = self._waiting.get(path)
        return waiting is not None and waiting.due_s == due_s

    def _put_off(self, path: str, due_s: float) -> None:
        if waiting := self._waiting.get(path):
            waiting.due_s = due_s
            heapq.heappush(self._due, (due_s, path))

    def _pause(self, path: str, waiting: _Waiting, now_s: float) -> None:
        waiting.pause_s = longer(waiting.pause_s, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._put_off(path, now_s + waiting.pause_s)


def _file_of(photo: Photo) -> _File:
    return photo.inode, photo.size_bytes, photo.mtime_ns


def _look(path: str) -> _File | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns

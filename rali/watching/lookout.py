"""The lookout: where to look, when, and what is found there; what waits to be read goes to the settler."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scoring
from rali.errors import DriveLostError, PathError, UnsafeError
from rali.photos.photo import Photo, is_gone
from rali.survey import FolderSurvey
from rali.watching.arrivals import Arrivals
from rali.watching.events import CaughtUp, Event, Gone, Renamed
from rali.watching.hints import Hints, Source
from rali.watching.options import WatchOptions
from rali.watching.presence import Presence
from rali.watching.roots import Root, quiet_s, stamp_of
from rali.watching.settle import Settler, Stamp

# A turn looks around no longer than this, so that photos which are ready are not kept waiting by a large tree.
_TURN_S = 0.25
_LOOKS_A_TURN = 5_000
_POLL_S = 10.0
# A look at all of a polled root, and at a folder that keeps changing, takes at most so much of a core.
_POLL_SHARE = 0.01
_FOLDER_SHARE = 0.1


@dataclass
class _Dirty:
    deep: bool
    due_s: float


class Lookout:
    """Looks at folders where hints or the time say so, keeps the catalog's list of them true, and feeds a settler.

    Args:
        hints: marked by ``source``.
        source: watches the roots, see :class:`~rali.watching.presence.Presence`.
        notice: told of what people should know.
        stopping: asked often; once it is true, looks end early.
        arrivals: told which photos wait to be read, and when all of a root was looked at.
    """

    def __init__(
        self,
        roots: Sequence[Root],
        catalog: Catalog,
        scoring: Scoring,
        settler: Settler,
        options: WatchOptions,
        hints: Hints,
        source: Source,
        *,
        notice: Callable[[str], None],
        stopping: Callable[[], bool],
        arrivals: Arrivals | None = None,
    ) -> None:
        self._roots, self._catalog, self._scoring, self._settler = roots, catalog, scoring, settler
        self._options, self._hints = options, hints
        self._notice, self._stopping = notice, stopping
        self._arrivals = arrivals
        self._dirty: dict[str, _Dirty] = {}
        self._rested_until_s: dict[str, float] = {}  # folders that were looked at a moment ago
        self._found = CaughtUp(0, 0, 0, 0)
        self._caught_up = False
        self._presence = Presence(
            roots,
            catalog,
            source,
            once=options.once,
            notice=notice,
            on_lost=arrivals.lost if arrivals is not None else lambda _: None,
        )

    @property
    def nothing_left(self) -> bool:
        """Whether everything was looked at that is there, and no hint waits."""
        return not self._dirty and all(root.away or (root.walks and root.walk is None) for root in self._roots)

    def next_s(self) -> float:
        """Return when the next look is due."""
        now_s = time.monotonic()
        times_s = [root.check_s for root in self._roots]
        times_s += [root.next_look_s if root.walk is None else now_s for root in self._roots if not root.away]
        times_s += [dirty.due_s for dirty in self._dirty.values()]
        settles_s = self._settler.next_due_s()
        return min(times_s if settles_s is None else [*times_s, settles_s])

    def take(self, taken: dict[str, Stamp | None]) -> Iterator[Photo]:
        """Yield ready photos; those that changed while they waited in line begin to settle again."""
        while (photo := self._settler.take()) is not None:
            now_s = time.monotonic()
            before = self._settler.stamp_of(photo.file)
            stamp = self._stamp(photo, now_s)
            if stamp is None:
                continue
            if stamp != before:
                self._settler.give_back(photo.file)
                self._settler.look(_as_now(photo, stamp), stamp, now_s)
                continue
            taken[photo.file] = stamp
            yield photo

    def look_around(self) -> Iterator[Event]:
        """Look where it is time to look, for a moment; what is left is for the next turn."""
        until_s = time.monotonic() + _TURN_S
        self._take_hints()
        yield from self._presence.check()
        for folder, dirty in sorted(self._dirty.items(), key=lambda item: item[1].due_s):
            if time.monotonic() >= until_s or dirty.due_s > time.monotonic():
                break
            yield from self._look_into(folder, deep=dirty.deep)
        for root in self._roots:
            if not root.away and (root.walk is not None or time.monotonic() >= root.next_look_s):
                yield from self._walk(root, until_s)
        self._look_at_unsettled()
        if not self._caught_up and all(root.away or root.walks for root in self._roots):
            self._caught_up = True
            yield self._found

    def _take_hints(self) -> None:
        marked, overflowed = self._hints.take()
        now_s = time.monotonic()
        if overflowed:
            for root in self._roots:
                root.next_look_s = min(root.next_look_s, now_s)
        for folder, deep in marked.items():
            self._mark(folder, deep=deep, due_s=now_s)
        if len(self._rested_until_s) > 1000:
            self._rested_until_s = {folder: s for folder, s in self._rested_until_s.items() if s > now_s}

    def _mark(self, folder: str, *, deep: bool, due_s: float) -> None:
        due_s = max(due_s, self._rested_until_s.get(folder, 0.0))
        before = self._dirty.get(folder)
        if before is None:
            self._dirty[folder] = _Dirty(deep, due_s)
        else:
            before.deep, before.due_s = before.deep or deep, min(before.due_s, due_s)

    def _look_into(self, folder: str, *, deep: bool) -> Iterator[Event]:
        """Look at a folder, and at those below it if asked to."""
        del self._dirty[folder]
        root = next((root for root in self._roots if root.holds(folder)), None)
        if root is None or root.away:
            return
        if root.is_away(self._catalog):
            yield self._presence.lose(root)
            return
        started_s = time.monotonic()
        found_new = False
        say = partial(self._say, root)
        try:
            for found in root.survey_below(self._catalog, self._scoring, folder, deep=deep, on_notice=say):
                found_new = self._note(root, found, in_walk=False) or found_new
                yield from _news_of(found)
                if self._stopping():
                    return
        except DriveLostError as error:
            yield self._presence.lose(root, str(error))
            return
        now_s = time.monotonic()
        self._rested_until_s[folder] = now_s + max(
            self._options.settle_s / 2, (now_s - started_s) * (1 / _FOLDER_SHARE - 1)
        )
        if found_new:
            # More may have come between this look and the watch on a new folder, or with events that were lost.
            self._mark(folder, deep=deep, due_s=now_s + self._options.settle_s)

    def _walk(self, root: Root, until_s: float) -> Iterator[Event]:
        """Go on with the look at all of a root; begin it where none goes on."""
        first = root.walks == 0
        if root.walk is None:
            if root.is_away(self._catalog):
                yield self._presence.lose(root)
                return
            self._presence.hears(root)
            say = partial(self._say, root)
            root.walk, root.walk_cost_s = root.survey(self._catalog, self._scoring, say, self._stopping), 0.0
        try:
            while True:
                started_s = time.monotonic()
                found = next(root.walk, None)
                if found is not None:
                    if found.photos or found.gone:
                        self._note(root, found, in_walk=True)
                    if first:
                        self._count(found)
                    yield from _news_of(found)
                root.walk_cost_s += time.monotonic() - started_s
                if self._stopping():  # perhaps before its end
                    return
                if found is None:
                    break
                if time.monotonic() >= until_s:
                    return
        except (PathError, DriveLostError) as error:
            yield self._presence.lose(root, str(error))
            return
        except UnsafeError as error:  # it is there and holds no photos: they may come, and be heard
            if self._options.once:
                raise
            self._say(root, str(error))
        self._end_walk(root)

    def _end_walk(self, root: Root) -> None:
        root.walk, root.walks = None, root.walks + 1
        if self._arrivals is not None:
            self._arrivals.looked_at_all(root.path)
        root.next_look_s = time.monotonic() + self._rescan_after_s(root)
        root.told, root.telling = root.telling, set()

    def _say(self, root: Root, text: str) -> None:
        """Tell people how it is with a root; once, until a look at all of it has found it otherwise."""
        if text not in root.told | root.telling:
            self._notice(text)
        root.telling.add(text)

    def _rescan_after_s(self, root: Root) -> float:
        if root.polled is None:
            return self._options.rescan_s
        return min(max(_POLL_S, root.walk_cost_s / _POLL_SHARE), self._options.rescan_s)

    def _count(self, found: FolderSurvey) -> None:
        so_far = self._found
        self._found = CaughtUp(
            so_far.found + len(found.photos),
            so_far.cached + found.cached,
            so_far.failed + found.failed,
            so_far.waiting + len(found.waiting),
        )

    def _note(self, root: Root, found: FolderSurvey, *, in_walk: bool) -> bool:
        """Hand what waits in a folder to the settler; tell if something was new."""
        now_s = time.monotonic()
        trust_times = in_walk and root.walks == 0
        if self._arrivals is not None:
            self._arrivals.found(root.path, found.folder, found.waiting, in_walk=in_walk)
        new = False
        for photo in found.waiting:
            try:
                stamp = stamp_of(photo, fresh=False)
                quiet = quiet_s(photo) if trust_times else 0.0
            except OSError:
                self._settler.unreachable(photo.file, now_s)
                continue
            if stamp is not None:
                new = self._settler.look(photo, stamp, now_s, quiet_s=quiet) or new
        waiting = {os.path.basename(photo.file) for photo in found.waiting}
        self._settler.keep_only(found.folder, waiting, found.photos)
        return new

    def _look_at_unsettled(self) -> None:
        """Look at photos whose wait is over: do they still look the same."""
        now_s = time.monotonic()
        for photo in self._settler.due(now_s, _LOOKS_A_TURN):
            stamp = self._stamp(photo, now_s)
            if stamp is not None:
                self._settler.look(_as_now(photo, stamp), stamp, now_s)

    def _stamp(self, photo: Photo, now_s: float) -> Stamp | None:
        """Look at a photo that is not done; None if that told nothing, and the settler knows of it."""
        try:
            stamp = stamp_of(photo, fresh=True)
        except OSError:
            self._settler.unreachable(photo.file, now_s)
            return None
        if stamp is None:
            self._settler.gone(photo.file)
            # A failure may be remembered of it, and it may have come back under another name.
            self._mark(os.path.dirname(photo.file), deep=False, due_s=now_s)
        return stamp


def _news_of(found: FolderSurvey) -> Iterator[Event]:
    for name in found.renamed:
        yield Renamed(os.path.join(found.folder, name))
    for name in found.gone:
        path = os.path.join(found.folder, name)
        if is_gone(path):  # otherwise it belongs to another photo's shot now
            yield Gone(path)


def _as_now(photo: Photo, stamp: Stamp) -> Photo:
    """Return a photo with its file as the last look saw it."""
    size_bytes, mtime_ns, inode = stamp[0]
    return photo._replace(size_bytes=size_bytes, mtime_ns=mtime_ns, inode=inode)

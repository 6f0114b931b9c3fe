"""The watcher: looks where hints and rescans point, waits until photos are whole, scores them, culls them.

All of it happens in the thread that asks for events, which alone touches the catalog; other threads only mark folders
(:mod:`rali.watching.hints`) or run the user's command (:mod:`rali.watching.command`). One turn of the loop looks
around, scores what is ready, culls what is due, and then sleeps until the next of these is to come.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scoring
from rali.config import Settings
from rali.errors import PathError, UnsafeError
from rali.model.bundle import BundleInfo
from rali.model.registry import find_model
from rali.photos.photo import Photo, display_path
from rali.photos.scan import resolve_roots
from rali.pipeline import ScoringSession
from rali.prepare import recipe_id
from rali.watching.command import CommandRunner
from rali.watching.culling import Culling
from rali.watching.events import Backlog, Event, Failed, Notice, Scored
from rali.watching.hints import Hints, NoSource, Source, WatchdogSource
from rali.watching.lock import RootLock
from rali.watching.lookout import Lookout
from rali.watching.options import WatchOptions
from rali.watching.roots import Root
from rali.watching.settle import Settler, Stamp

# So many ready photos are scored at once; fewer wait for company, as long as the latency allows.
_ENOUGH = 64
# Events come by the thousand; answering more often than this would only slow down who copies.
_SHORTEST_NAP_S = 0.02
_STOP_CHECK_S = 0.5
_BACKLOG_EVERY_S = 0.5
_REST_AFTER_S = 600.0


class Session(Protocol):
    """What scores photos, see :class:`rali.pipeline.ScoringSession`."""

    @property
    def is_open(self) -> bool:
        """Whether it holds workers or a model now."""

    def score(self, photos: Iterable[Photo], stop: Callable[[], bool], *, expected: int) -> Iterator[list[Outcome]]:
        """Score and store photos; yield what became of them."""

    def rest(self) -> None:
        """Give workers and model back until the next photo."""


class Watcher:
    """Keeps the scores of all photos below some folders up to date; a context manager.

    Args:
        paths: folders.
        catalog: open; used by the thread alone that asks for :meth:`events`.
        stop: asked often; once it is true, what is being scored is stored and the events end.
        session, source: in place of the real ones, for tests; ``source`` is given the hints to mark.

    Attributes:
        info, scoring: the model, and what the catalog calls it with this recipe.
        roots: what is watched.

    Raises:
        PathError: a path is missing, or is no folder.
        UnsafeError: another watcher has one of the folders, or one above or below it.
        UsageError, ModelError: see :mod:`rali.errors`.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        catalog: Catalog,
        settings: Settings,
        options: WatchOptions | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        session: Session | None = None,
        source: Callable[[Hints], Source] | None = None,
    ) -> None:
        self.options = options = options or WatchOptions()
        self.info: BundleInfo = find_model(settings.model)
        self.roots = [
            Root(path, options.include, options.exclude, settings.pairs) for path in _outermost(resolve_roots(paths))
        ]
        self.scoring: Scoring = catalog.scoring(self.info, recipe_id(settings.recipe))
        self._catalog, self._settings = catalog, settings
        self._ask_to_stop, self._stopped = stop, False
        self._notices: deque[Event] = deque()
        self._session: Session = session or ScoringSession(
            catalog, settings, self.info, self.scoring, on_notice=self._notice
        )
        self._make_source = source or (lambda hints: WatchdogSource(hints, os.fspath(catalog.path.parent)))
        self._hints = Hints()
        self._settler = Settler(options.settle_s)
        self._ready_since_s: float | None = None
        self._backlog = Backlog(0, 0, 0)
        self._backlog_s = 0.0
        self._used_s = time.monotonic()
        self._culling: Culling | None = None
        if options.below is not None:
            self._culling = Culling(
                catalog,
                self.scoring,
                [root.path for root in self.roots],
                options.below,
                options.grace_s,
                options.no_protect,
                options.to,
            )
        self._runner: CommandRunner | None = None
        if options.command is not None:
            self._runner = CommandRunner(options.command, on_notice=self._hints.ring)
        self._opened = ExitStack()

    def __enter__(self) -> Watcher:
        with ExitStack() as opened:
            opened.enter_context(RootLock(self._catalog.path, [root.path for root in self.roots]))
            opened.callback(self._session.rest)
            if self._runner is not None:
                opened.enter_context(self._runner)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def stop(self) -> None:
        """Let the events end soon, in good order; any thread may ask, and a signal handler."""
        self._stopped = True
        self._hints.ring()

    def events(self) -> Iterator[Event]:
        """Watch, and yield what happens; with ``once`` until all is scored, otherwise until asked to stop.

        Raises:
            UnsafeError: with ``once``, a folder that held photos is empty or gone, as a missing drive is.
            ModelError, DeviceError, CatalogError, RaliError: see :mod:`rali.errors`.
        """
        away = [root.path for root in self.roots if self.options.once and root.is_away(self._catalog)]
        if away:
            raise UnsafeError(
                f"{display_path(away[0])} holds no photos, but some are remembered in it: connect its drive, "
                "or if they are gone: rali forget"
            )
        lookout = self._start_lookout()
        while not self._stopping():
            yield from lookout.look_around()
            if self._is_time_to_score():
                yield from self._score(lookout)
            if self._culling is not None:
                yield from self._culling.cull(time.monotonic(), self._stopping)
            yield from self._tell()
            if self.options.once and lookout.nothing_left and self._all_done():
                break
            self._nap(lookout)
        yield from self._end()

    def _start_lookout(self) -> Lookout:
        source: Source
        if self.options.once:
            source = NoSource(None)
        elif self.options.poll:
            source = NoSource("as was asked for")
        else:
            source = self._make_source(self._hints)
            self._opened.callback(source.close)
        return Lookout(
            self.roots,
            self._catalog,
            self.scoring,
            self._settler,
            self.options,
            self._hints,
            source,
            notice=self._notice,
            stopping=self._stopping,
        )

    # --- scoring ------------------------------------------------------------------------------------------------

    def _is_time_to_score(self) -> bool:
        now_s = time.monotonic()
        if not self._settler.ready:
            self._ready_since_s = None
            return False
        if self._ready_since_s is None:
            self._ready_since_s = now_s
        return self._settler.ready >= _ENOUGH or now_s >= self._ready_since_s + self.options.latency_s

    def _score(self, lookout: Lookout) -> Iterator[Event]:
        """Score what is ready, and what becomes ready meanwhile."""
        self._ready_since_s = None
        taken: dict[str, Stamp | None] = {}
        for group in self._session.score(lookout.take(taken), self._stopping, expected=self._settler.ready):
            for outcome in group:
                yield from self._became(outcome, taken.pop(outcome.photo.file, None))
            yield from lookout.look_around()
            if self._culling is not None:
                yield from self._culling.cull(time.monotonic(), self._stopping)
            yield from self._tell()
        self._used_s = time.monotonic()

    def _became(self, outcome: Outcome, stamp: Stamp | None) -> Iterator[Event]:
        """Tell what became of a photo, and to whom it matters."""
        file, now_s = outcome.photo.file, time.monotonic()
        seen_s = self._settler.seen_s(file)
        if outcome.failure is not None:
            again_s, news = self._settler.failed(file, stamp, outcome.failure.kind, now_s)
            if news:
                yield Failed(file, outcome.failure.kind, outcome.failure.message, again_s)
            return
        self._settler.scored(file, stamp)
        score = outcome.score
        if score is None and outcome.prepared is not None:
            score = self._catalog.score_of(outcome.prepared.content.hash, self.scoring)
        if score is None:  # forgotten by another process this very moment
            return
        seconds = now_s - seen_s if seen_s is not None else 0.0
        yield Scored(file, score, outcome.photo.companions, seconds, known=outcome.score is None)
        if self._culling is not None:
            self._culling.scored(file, score, now_s, new=not self._was_known(file))
        if self._runner is not None:
            self._runner.run_for(file, score)

    def _was_known(self, file: str) -> bool:
        """Tell if a file had another content before: an edit is a sign that somebody wants the photo."""
        photo_id = self._catalog.find(file)
        return photo_id is not None and bool(self._catalog.past_scores(photo_id, self.scoring))

    # --- the loop's own affairs -----------------------------------------------------------------------------------

    def _tell(self) -> Iterator[Event]:
        while self._notices:
            yield self._notices.popleft()
        if self._runner is not None:
            yield from self._runner.notices()
        now_s = time.monotonic()
        backlog = self._backlog_now()
        if backlog != self._backlog and (now_s >= self._backlog_s + _BACKLOG_EVERY_S or backlog == Backlog(0, 0, 0)):
            self._backlog, self._backlog_s = backlog, now_s
            yield backlog

    def _backlog_now(self) -> Backlog:
        return Backlog(self._settler.ready, self._settler.settling, self._settler.failing)

    def _notice(self, text: str) -> None:
        """Note a line to tell people, once as long as it waits to be told."""
        if Notice(text) not in self._notices:
            self._notices.append(Notice(text))

    def _stopping(self) -> bool:
        self._stopped = self._stopped or self._ask_to_stop()
        return self._stopped

    def _all_done(self) -> bool:
        """Tell if everything that was found is scored, or will not be without a change, and culled."""
        pending = self._settler.ready or self._settler.settling
        return not pending and not (self._culling is not None and len(self._culling))

    def _nap(self, lookout: Lookout) -> None:
        """Sleep until the next thing is to be done, or a hint comes; wake now and then to see if it is time to stop."""
        now_s = time.monotonic()
        if self._session.is_open and now_s >= self._used_s + _REST_AFTER_S:
            self._session.rest()
        times_s = [lookout.next_s()]
        if self._session.is_open:
            times_s.append(self._used_s + _REST_AFTER_S)
        if self._settler.ready:
            times_s.append((self._ready_since_s or now_s) + self.options.latency_s)
        if self._backlog_now() != self._backlog:
            times_s.append(self._backlog_s + _BACKLOG_EVERY_S)
        culling_s = self._culling.next_due_s() if self._culling is not None else None
        if culling_s is not None:
            times_s.append(culling_s)
        until_s = min(times_s)
        while not self._stopping() and (left_s := until_s - time.monotonic()) > 0:
            if self._hints.wait(min(left_s, _STOP_CHECK_S)):
                time.sleep(_SHORTEST_NAP_S)  # events come in swarms
                break

    def _end(self) -> Iterator[Event]:
        """Say what is left undone."""
        if self._runner is not None:
            left = self._runner.close(finish=self.options.once and not self._stopped)
            if left:
                yield Notice(f"--exec was not run for {left:,} photos, because the watch ended")
        if self._culling is not None and len(self._culling):
            yield Notice(f"{len(self._culling):,} photos that scored too low were not culled: their time had not come")
        yield from self._tell()


def _outermost(paths: Sequence[str]) -> list[str]:
    """Return the folders that lie in no other of them.

    Raises:
        PathError: one is no folder.
    """
    for path in paths:
        if not os.path.isdir(path):
            raise PathError(f"{display_path(path)} is no folder: give folders to watch")
    return [
        path
        for path in paths
        if not any(path != other and path.startswith(other.rstrip(os.sep) + os.sep) for other in paths)
    ]

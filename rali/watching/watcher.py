"""The watcher: looks where hints and rescans point, waits until photos are whole, scores them, culls them.

All of it happens in the thread that asks for events, which alone touches the catalog; other threads only mark folders
(:mod:`rali.watching.hints`) or run the user's command (:mod:`rali.watching.command`). One turn of the loop looks
around, scores what is ready, culls what is due, and then sleeps until the next of these is to come. Each of the three
is tried again by itself when it fails in a way that passes (:mod:`rali.watching.trouble`): the loop goes on.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scoring
from rali.config import Settings
from rali.errors import PathError, UnsafeError
from rali.model.bundle import BundleInfo
from rali.model.registry import find_model
from rali.photos.photo import Photo, display_path, shell_word
from rali.photos.scan import resolve_roots
from rali.pipeline import ScoringSession
from rali.prepare import recipe_id
from rali.watching.carrying import CullRules
from rali.watching.command import CommandRunner
from rali.watching.culling import Culling
from rali.watching.events import Backlog, Event, Failed, Notice, Scored
from rali.watching.hints import Hints, NoSource, Source, WatchdogSource
from rali.watching.lock import RootLock
from rali.watching.lookout import Lookout
from rali.watching.options import WatchOptions
from rali.watching.roots import Root
from rali.watching.scoring_turns import ScoringTurns, Session
from rali.watching.settle import Settler, Stamp
from rali.watching.trouble import TRIES_OF_ONCE, Patience

# Events come by the thousand; answering more often than this would only slow down who copies.
_SHORTEST_NAP_S = 0.02
_STOP_CHECK_S = 0.5
_BACKLOG_EVERY_S = 0.5
_JOIN_STEP_S = 0.1


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
        most_tries = TRIES_OF_ONCE if options.once else None
        self._looking = Patience(
            "Folders cannot be looked at now", "Folders are looked at again", most_tries=most_tries
        )
        scoring = Patience("Photos cannot be scored now", "Photos are scored again", most_tries=most_tries)
        self._culls = Patience("Photos cannot be culled now", "Photos are culled again", most_tries=most_tries)
        self._make_source = source or (lambda hints: WatchdogSource(hints, os.fspath(catalog.path.parent)))
        self._hints = Hints()
        self._settler = Settler(options.settle_s)
        self._turns = ScoringTurns(self._session, self._settler, latency_s=options.latency_s, patience=scoring)
        self._backlog = Backlog(0, 0, 0)
        self._backlog_s = 0.0
        self._culling: Culling | None = None
        if options.below is not None:
            roots = [root.path for root in self.roots]
            rules = CullRules(roots, options.below, options.no_protect, options.to, limited=options.once)
            self._culling = Culling(catalog, self.scoring, rules, options.grace_s)
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
            ModelError, DeviceError, CatalogError, RaliError, OSError: waiting does not cure it; see :mod:`rali.errors`.
        """
        away = [root.path for root in self.roots if self.options.once and root.is_away(self._catalog)]
        if away:
            raise UnsafeError(
                f"{display_path(away[0])} holds no photos, but some are remembered in it: connect its drive, "
                f"or if they are gone: rali forget {shell_word(away[0])}"
            )
        lookout = self._start_lookout()
        while not self._stopping():
            yield from self._look(lookout)
            if self._turns.is_due():
                yield from self._turns.score(
                    lambda taken: self._take(lookout, taken),
                    self._became,
                    lambda: self._between_groups(lookout),
                    self._stopping,
                )
            yield from self._cull()
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
            arrivals=None if self._culling is None else self._culling.arrivals,
        )

    # --- what is done again and again ---------------------------------------------------------------------------

    def _look(self, lookout: Lookout) -> Iterator[Event]:
        """Look around; where that fails, look at everything when it is tried again."""
        if (yield from self._looking.attempt(self._heard(lookout.look_around()))):
            # A walk that raised is over, though not at its end, and the hints of this turn are used up.
            for root in self.roots:
                root.walk = None
                if not root.away:
                    root.next_look_s = 0.0

    def _heard(self, events: Iterator[Event]) -> Iterator[Event]:
        """Let the culling hear of what happens to the photos that wait for it."""
        for event in events:
            if self._culling is not None:
                self._culling.heard(event)
            yield event

    def _take(self, lookout: Lookout, taken: dict[str, Stamp | None]) -> Iterator[Photo]:
        for photo in lookout.take(taken):
            if self._culling is not None:
                self._culling.taken(photo)
            yield photo

    def _cull(self) -> Iterator[Event]:
        if self._culling is None or (self.options.once and self._pending()):  # once: all that is there, as one plan
            return
        now_s, due_s = time.monotonic(), self._culling.next_due_s()
        if due_s is not None and due_s <= now_s:
            yield from self._culls.attempt(self._culling.cull(now_s, self._stopping))

    def _between_groups(self, lookout: Lookout) -> Iterator[Event]:
        yield from self._look(lookout)
        yield from self._cull()
        yield from self._tell()

    def _became(self, outcome: Outcome, stamp: Stamp | None) -> Iterator[Event]:
        """Tell what became of a photo, and to whom it matters.

        The catalog, which may be out of reach, is asked first: a photo is done with when nothing can fail any more.
        """
        file, now_s = outcome.photo.file, time.monotonic()
        seen_s = self._settler.seen_s(file)
        if outcome.failure is not None:
            again_s, news = self._settler.failed(file, stamp, outcome.failure.kind, now_s)
            if self._culling is not None:
                self._culling.failed(file)
            if news:
                yield Failed(file, outcome.failure.kind, outcome.failure.message, again_s)
            return
        score = outcome.score
        if score is None and outcome.prepared is not None:
            score = self._catalog.score_of(outcome.prepared.content.hash, self.scoring)
        self._settler.scored(file, stamp)
        if score is None:  # forgotten by another process this very moment
            return
        seconds = now_s - seen_s if seen_s is not None else 0.0
        yield Scored(file, score, outcome.photo.companions, seconds, known=outcome.score is None)
        if self._culling is not None and outcome.prepared is not None:
            self._culling.scored(outcome.photo, outcome.prepared.content.hash, score, now_s)
        if self._runner is not None:
            self._runner.run_for(file, score)

    # --- the loop's own affairs -----------------------------------------------------------------------------------

    def _tell(self) -> Iterator[Event]:
        while self._notices:
            yield self._notices.popleft()
        if self._runner is not None:
            yield from self._runner.notices()
        if self._culling is not None and not self._pending():
            yield from self._culling.tell_left()
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
        if self._pending() or self._looking.is_tried:
            return False
        return self._culling is None or not len(self._culling)

    def _pending(self) -> bool:
        """Tell if photos are to be scored, those not counted that failed."""
        return bool(self._settler.ready or self._settler.settling)

    def _nap(self, lookout: Lookout) -> None:
        """Sleep until the next thing is to be done, or a hint comes; wake now and then to see if it is time to stop."""
        self._turns.rest_if_unused()
        times_s = [max(lookout.next_s(), self._looking.until_s), self._turns.next_s()]
        if self._backlog_now() != self._backlog:
            times_s.append(self._backlog_s + _BACKLOG_EVERY_S)
        waits = self._culling is None or (self.options.once and self._pending())
        culling_s = self._culling.next_due_s() if self._culling is not None and not waits else None
        if culling_s is not None:
            times_s.append(max(culling_s, self._culls.until_s))
        until_s = min(times_s)
        while not self._stopping() and (left_s := until_s - time.monotonic()) > 0:
            if self._hints.wait(min(left_s, _STOP_CHECK_S)):
                time.sleep(_SHORTEST_NAP_S)  # events come in swarms
                break

    def _end(self) -> Iterator[Event]:
        """Say what is left undone."""
        if self._runner is not None:
            yield from self._end_commands(self._runner)
        if self._culling is not None and len(self._culling):
            yield Notice(f"{len(self._culling):,} photos that scored too low were not culled: their time had not come")
        if self._culling is not None:
            yield from self._culling.tell_left()
        yield from self._tell()
        if self._culling is not None and self._culling.error is not None:
            raise self._culling.error

    def _end_commands(self, runner: CommandRunner) -> Iterator[Event]:
        """Wait for the commands if it is --once that ends; not any longer when asked to stop."""
        runner.end(finish=self.options.once and not self._stopped)
        while not runner.wait(_JOIN_STEP_S):
            yield from runner.notices()
            if self._stopping():
                runner.end(finish=False)
        if runner.left:
            yield Notice(f"--exec was not run for {runner.left:,} photos, because the watch ended")


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

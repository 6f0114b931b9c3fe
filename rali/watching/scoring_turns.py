"""Turns of scoring: when enough photos are ready, what happens to those of a turn that fails, when the model rests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Protocol

from rali.catalog.records import Outcome
from rali.photos.photo import Photo
from rali.watching.events import Event
from rali.watching.settle import Settler, Stamp
from rali.watching.trouble import Patience

# So many ready photos are scored at once; fewer wait for company, as long as the latency allows.
_ENOUGH = 64
REST_AFTER_S = 600.0


class Session(Protocol):
    """What scores photos, see :class:`rali.pipeline.ScoringSession`."""

    @property
    def is_open(self) -> bool:
        """Whether it holds workers or a model now."""

    def score(
        self, photos: Iterable[Photo], stop: Callable[[], bool], *, expected: int
    ) -> Generator[list[Outcome], None, None]:
        """Score and store photos; yield what became of them."""

    def rest(self) -> None:
        """Give workers and model back until the next photo."""


class ScoringTurns:
    """Scores what a settler has ready, a turn at a time.

    Args:
        latency_s: photos that are ready wait for others at most so long.
        patience: with a session that fails.
        rest_after_s: so long after the last news of a photo the session gives back what it holds.
    """

    def __init__(
        self,
        session: Session,
        settler: Settler,
        *,
        latency_s: float,
        patience: Patience,
        rest_after_s: float = REST_AFTER_S,
    ) -> None:
        self._session, self._settler, self._patience = session, settler, patience
        self._latency_s, self._rest_after_s = latency_s, rest_after_s
        self._ready_since_s: float | None = None
        self._used_s = time.monotonic()

    def is_due(self) -> bool:
        """Tell if it is time for a turn."""
        now_s = time.monotonic()
        if not self._settler.ready:
            self._ready_since_s = None
            return False
        if self._ready_since_s is None:
            self._ready_since_s = now_s
        waited = self._settler.ready >= _ENOUGH or now_s >= self._ready_since_s + self._latency_s
        return waited and now_s >= self._patience.until_s

    def next_s(self) -> float:
        """Return when there is something to do, a turn or a rest; infinity if there is not."""
        next_s = self._used_s + self._rest_after_s if self._session.is_open else math.inf
        if self._settler.ready:
            since_s = time.monotonic() if self._ready_since_s is None else self._ready_since_s
            next_s = min(next_s, max(since_s + self._latency_s, self._patience.until_s))
        return next_s

    def rest_if_unused(self) -> None:
        """Let the session rest if there was nothing to score for long."""
        if self._session.is_open and time.monotonic() >= self._used_s + self._rest_after_s:
            self._session.rest()

    def score(
        self,
        take: Callable[[dict[str, Stamp | None]], Iterator[Photo]],
        became: Callable[[Outcome, Stamp | None], Iterator[Event]],
        meanwhile: Callable[[], Iterator[Event]],
        stop: Callable[[], bool],
    ) -> Iterator[Event]:
        """Score what is ready, and what becomes ready meanwhile; when that fails, all that was taken is ready again.

        Args:
            take: see :meth:`rali.watching.lookout.Lookout.take`.
            became: told what became of each photo; a photo is done when it returns.
            meanwhile: asked for other events after each group of photos.

        Raises:
            RaliError, OSError: it failed, and patience is at an end.
        """
        self._ready_since_s = None
        yield from self._patience.attempt(self._turn(take, became, meanwhile, stop))

    def _turn(
        self,
        take: Callable[[dict[str, Stamp | None]], Iterator[Photo]],
        became: Callable[[Outcome, Stamp | None], Iterator[Event]],
        meanwhile: Callable[[], Iterator[Event]],
        stop: Callable[[], bool],
    ) -> Iterator[Event]:
        taken: dict[str, Stamp | None] = {}
        try:
            # Closed before the next turn: a session whose turn was left half done has results on their way.
            with closing(self._session.score(take(taken), stop, expected=self._settler.ready)) as groups:
                for group in groups:
                    for outcome in group:
                        for event in became(outcome, taken.get(outcome.photo.file)):
                            # A file that fails as it did before is no news: it must not keep the model in memory.
                            self._used_s = time.monotonic()
                            yield event
                        taken.pop(outcome.photo.file, None)
                    yield from self._patience.worked()
                    yield from meanwhile()
        finally:
            for file, stamp in taken.items():
                self._settler.put_back(file, stamp)

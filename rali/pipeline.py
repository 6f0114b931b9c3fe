"""Scan, decode, score, store: the main job."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rali.batches import outcomes
from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scope, Scoring
from rali.config import Settings
from rali.errors import PathError
from rali.model.bundle import BundleInfo
from rali.model.choice import open_scorer
from rali.model.registry import find_model
from rali.model.scorer import Scorer
from rali.photos.photo import Photo, display_path
from rali.photos.scan import Scan, resolve_roots
from rali.prepare import Preparer, recipe_id
from rali.survey import survey
from rali.workers import TASKS_AHEAD, WorkerPool, default_workers

# A kill loses at most this much work; a commit costs two or three fsyncs, which must not be paid for every photo.
STORE_EVERY_PHOTOS = 64
STORE_EVERY_S = 2.0


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        found: photos found so far while the folders are walked.
        done, total: photos that had to be read; None while the folders are walked.
        failed: of those done.
    """

    found: int
    done: int = 0
    total: int | None = None
    failed: int = 0


@dataclass
class Run:
    """What a run did.

    Attributes:
        scope: the photos it was about, for questions to the catalog.
        found: photos on disk.
        cached: had a score already, under this name or another.
        scored: files that were scored by the model now.
        failed: photos without a score, earlier failures included.
        ignored: other files, by suffix.
        unreadable: folders or files that could not be listed, with the reason.
        notices: what had to be changed to go on, for people.
        interrupted: stopped before the end.
        scoring_s: seconds from the first decode to the last store.
    """

    info: BundleInfo
    scoring: Scoring
    scope: Scope
    found: int = 0
    cached: int = 0
    scored: set[str] = field(default_factory=set)
    failed: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    interrupted: bool = False
    scoring_s: float = 0.0


def score_photos(
    paths: Iterable[str | os.PathLike[str]],
    catalog: Catalog,
    settings: Settings,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    retry_failed: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Bring the catalog's scores of all photos below ``paths`` up to date.

    Args:
        paths: folders and files.
        catalog: open; everything that is done is stored in it, a little at a time.
        settings: model, recipe, device and limits.
        include, exclude: globs, see :class:`rali.photos.scan.Scan`.
        retry_failed: decode again what failed before.
        on_progress: called now and then.
        stop: asked often; once it is true, what has been scored is stored and the run ends.

    Raises:
        PathError: a path is missing or unreadable, or there are no photos.
        UnsafeError: a folder that held photos is empty, as an unmounted drive is.
        ModelError, DeviceError, CatalogError: see :mod:`rali.errors`.
    """
    info = find_model(settings.model)
    given = [os.fspath(path) for path in paths]
    roots = resolve_roots(given)
    scoring = catalog.scoring(info, recipe_id(settings.recipe))
    run = Run(info, scoring, Scope(roots, include, exclude))
    scan = Scan(roots, include, exclude, settings.pairs, ignored=run.ignored, unreadable=run.unreadable)
    waiting: list[Photo] = []
    for found in survey(
        scan,
        catalog,
        scoring,
        retry_failed=retry_failed,
        on_notice=run.notices.append,
        stop=_noting(stop, run),
    ):
        waiting += found.waiting
        run.cached += found.cached
        run.failed += found.failed
        if found.photos:
            run.found += len(found.photos)
            on_progress(Progress(run.found))
    if not run.found and not run.interrupted:
        raise PathError(_nothing_found(given, run))
    if waiting and not run.interrupted:
        _score(waiting, catalog, settings, run, on_progress, stop)
    return run


def _noting(stop: Callable[[], bool], run: Run) -> Callable[[], bool]:
    """Return ``stop``, but have the run say that it was interrupted where it is."""

    def asked() -> bool:
        run.interrupted = run.interrupted or stop()
        return run.interrupted

    return asked


def _score(
    waiting: list[Photo],
    catalog: Catalog,
    settings: Settings,
    run: Run,
    on_progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> None:
    started_s = time.monotonic()
    earlier_failures = run.failed
    done = 0
    on_progress(Progress(run.found, 0, len(waiting)))
    with ScoringSession(catalog, settings, run.info, run.scoring, on_notice=run.notices.append) as session:
        for group in session.score(waiting, stop, expected=len(waiting)):
            done += len(group)
            run.failed += sum(outcome.failure is not None for outcome in group)
            run.cached += sum(outcome.failure is None and outcome.score is None for outcome in group)
            run.scored |= {outcome.photo.file for outcome in group if outcome.score is not None}
            on_progress(Progress(run.found, done, len(waiting), run.failed - earlier_failures))
    run.interrupted = done < len(waiting)
    run.scoring_s = time.monotonic() - started_s


class ScoringSession:
    """A pool of decoding workers and a model that stay open from one group of photos to the next; a context manager.

    Nothing is started before the first photo, and what is started is given back by :meth:`rest`, until the next one.

    Args:
        catalog: open; what becomes of each photo is stored in it.
        scoring: what the catalog calls ``info`` with the recipe of ``settings``.
        on_notice: told in a line what was changed to go on.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        info: BundleInfo,
        scoring: Scoring,
        *,
        on_notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._catalog, self._settings, self._info, self._scoring = catalog, settings, info, scoring
        self._on_notice = on_notice
        self._pool: WorkerPool | None = None
        self._workers = 0
        self._scorer: Scorer | None = None

    def __enter__(self) -> ScoringSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()

    @property
    def is_open(self) -> bool:
        """Whether it holds workers or a model now."""
        return self._pool is not None or self._scorer is not None

    def rest(self) -> None:
        """Give workers and model back; the next photo starts them again."""
        self._close_pool()
        self._scorer = None

    def score(
        self, photos: Iterable[Photo], stop: Callable[[], bool] = lambda: False, *, expected: int
    ) -> Generator[list[Outcome], None, None]:
        """Read and score photos, store what became of them, and yield it, a group as soon as it is stored.

        Args:
            photos: taken no faster than workers have room for them; it may grow while the groups come.
            stop: asked often; once it is true, what has been scored is stored and no more comes.
            expected: about how many there are: no more workers are started than that.

        Raises:
            ModelError, DeviceError, CatalogError, RaliError: see :mod:`rali.errors`.
        """
        # The workers start first: they decode while torch is imported and the weights are read.
        pool = self._opened_pool(expected)
        if self._scorer is None:
            self._scorer = open_scorer(
                self._info, self._settings, expected=expected, stop=stop, on_notice=self._on_notice
            )
        taken: dict[str, Photo] = {}
        whole = False
        try:
            results = pool.run(_files(photos, taken), stop)
            for group in _grouped(outcomes(results, taken, self._scorer, self._catalog, self._scoring), stop):
                self._catalog.store(group, self._scoring)
                yield group
            whole = not taken
        finally:
            if not whole:  # results of photos that nobody waits for any more are on their way
                self._close_pool()

    def _opened_pool(self, expected: int) -> WorkerPool:
        most = self._settings.workers or default_workers()
        wanted = max(1, min(most, expected))
        # A few photos more do not pay for new processes, each of which imports for half a second.
        if self._pool is not None and self._workers < wanted and expected > self._workers * TASKS_AHEAD:
            self._close_pool()
        if self._pool is None:
            preparer = Preparer(self._info.preprocessing, self._settings.recipe, self._settings.limit_px)
            self._pool = WorkerPool(preparer, workers=wanted, timeout_s=self._settings.timeout_s)
            self._workers = wanted
        return self._pool

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.__exit__()
            self._pool = None


def _files(photos: Iterable[Photo], taken: dict[str, Photo]) -> Iterator[str]:
    """Yield the files of photos, and note which photo each is of until its result comes."""
    for photo in photos:
        taken[photo.file] = photo
        yield photo.file


def _grouped(outcomes: Iterable[Outcome], stop: Callable[[], bool]) -> Iterator[list[Outcome]]:
    """Collect outcomes into groups that are worth a commit; the first is stored at once, as a sign of life."""
    group: list[Outcome] = []
    stored_s = 0.0
    for outcome in outcomes:
        group.append(outcome)
        if len(group) >= STORE_EVERY_PHOTOS or time.monotonic() - stored_s >= STORE_EVERY_S or stop():
            yield group
            group = []
            stored_s = time.monotonic()
    if group:
        yield group


def _nothing_found(given: Sequence[str], run: Run) -> str:
    shown = ", ".join(map(display_path, given))
    if run.unreadable:
        reason = next(iter(run.unreadable.values()))
        return f"{shown} cannot be read ({reason}): run rali as a user who may read it"
    if run.scope.include or run.scope.exclude:
        return f"no photos in {shown} match: check --include and --exclude"
    others = sum(run.ignored.values())
    return (
        f"no photos in {shown}" + (f" ({others:,} other files)" if others else "") + ": give a folder that holds some"
    )

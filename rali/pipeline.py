"""Scan, decode, score, store: the main job."""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rali.catalog.catalog import Catalog
from rali.catalog.records import KnownPhoto, Outcome, Scope, Scoring
from rali.config import Settings
from rali.errors import FailureKind, PathError, UnsafeError
from rali.model.bundle import BundleInfo
from rali.model.registry import find_model
from rali.model.scorer import Scorer, precision_for
from rali.photos.photo import Photo, display_path, is_gone
from rali.photos.scan import Scan, resolve_roots
from rali.prepare import Failure, Prepared, Preparer, recipe_id
from rali.workers import WorkerLost, WorkerPool, default_workers

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
    waiting = _survey(scan, catalog, run, retry_failed=retry_failed, on_progress=on_progress, stop=stop)
    if not run.found and not run.interrupted:
        raise PathError(_nothing_found(given, run))
    if waiting and not run.interrupted:
        _score(waiting, catalog, settings, run, on_progress, stop)
    return run


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
    preparer = Preparer(run.info.preprocessing, settings.recipe, settings.limit_px)
    workers = min(settings.workers or default_workers(), len(waiting))
    # The workers start first: they decode while torch is imported and the weights are read.
    with WorkerPool(preparer, workers=workers, timeout_s=settings.timeout_s) as pool:
        on_progress(Progress(run.found, 0, len(waiting)))
        precision = precision_for(settings.recipe, settings.device)
        scorer = Scorer(run.info, device=settings.device, precision=precision, on_notice=run.notices.append)
        photos = {photo.file: photo for photo in waiting}
        results = pool.run((photo.file for photo in waiting), stop)
        outcomes = _outcomes(results, photos, scorer, catalog, run.scoring)
        for group in _grouped(outcomes, stop):
            catalog.store(group, run.scoring)
            done += len(group)
            run.failed += sum(outcome.failure is not None for outcome in group)
            run.cached += sum(outcome.failure is None and outcome.score is None for outcome in group)
            run.scored |= {outcome.photo.file for outcome in group if outcome.score is not None}
            on_progress(Progress(run.found, done, len(waiting), run.failed - earlier_failures))
    run.interrupted = done < len(waiting)
    run.scoring_s = time.monotonic() - started_s


def _survey(
    scan: Scan,
    catalog: Catalog,
    run: Run,
    *,
    retry_failed: bool,
    on_progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> list[Photo]:
    """Compare what is on disk with what is remembered; return the photos that have to be read."""
    waiting: list[Photo] = []
    visited: set[str] = set()
    for folder, photos in scan.folders():
        if stop():
            run.interrupted = True
            return waiting
        visited.add(folder)
        known = catalog.known_in(folder, run.scoring)
        if catalog.adopt(photo for name, photo in photos.items() if name not in known):
            known = catalog.known_in(folder, run.scoring)
        moved: list[tuple[KnownPhoto, Photo]] = []
        for name, photo in photos.items():
            before = known.get(name)
            if (
                before is None
                or before.size_bytes != photo.size_bytes
                or before.mtime_ns != photo.mtime_ns
                or before.inode != photo.inode
            ):
                waiting.append(photo)
                continue
            if not before.listed or before.companions != photo.companions:
                moved.append((before, photo))
            if before.scored:
                run.cached += 1
            elif before.failed and not retry_failed:
                run.failed += 1
            else:
                waiting.append(photo)
        if moved:
            catalog.relist(moved)
        if folder in scan.listed:
            _unlist_gone(catalog, folder, known, photos)
        run.found += len(photos)
        on_progress(Progress(run.found))
    for root in scan.roots:
        below = root.rstrip(os.sep) + os.sep
        if not any(folder == root or folder.startswith(below) for folder in visited):
            _refuse_emptied(root, catalog, scan)
            continue
        for folder in catalog.folders_below(root):
            # Folders that are there but were not walked (excluded, unreadable) keep what is remembered of them.
            if folder not in visited and (folder in scan.listed or is_gone(folder)):
                if folder in scan.listed and _is_empty(folder):
                    run.notices.append(_emptied(folder))
                    continue
                _unlist_gone(catalog, folder, catalog.known_in(folder, run.scoring), {})
    return waiting


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return not any(entries)
    except OSError:
        return False


def _emptied(folder: str) -> str:
    shown = display_path(folder)
    return (
        f"{shown} is empty, as a missing drive is: its photos stay in rankings. If they are gone: rali forget {shown}"
    )


def _unlist_gone(catalog: Catalog, folder: str, known: dict[str, KnownPhoto], photos: dict[str, Photo]) -> None:
    """Take out of rankings what is no longer on disk, or has become part of another photo's shot."""
    companions = {name for photo in photos.values() for name in photo.companions}
    gone = [
        before.photo_id
        for name, before in known.items()
        if before.listed and name not in photos and (name in companions or is_gone(os.path.join(folder, name)))
    ]
    if gone:
        catalog.unlist(gone)


def _outcomes(
    results: Iterable[tuple[str, Prepared | Failure | WorkerLost, memoryview]],
    photos: dict[str, Photo],
    scorer: Scorer,
    catalog: Catalog,
    scoring: Scoring,
) -> Iterator[Outcome]:
    """Turn what comes from the workers into outcomes; what has pixels goes through the model in batches."""
    batch: list[tuple[Photo, Prepared]] = []
    pixels = np.empty((scorer.batch_size, *scorer.info.preprocessing.input_shape), dtype=np.uint8)  # [B, H, W, 3]
    for file, result, buffer in results:
        photo = photos[file]
        if isinstance(result, WorkerLost):
            yield Outcome(photo, failure=_lost(result))
        elif isinstance(result, Failure):
            yield Outcome(photo, failure=result)
        elif catalog.score_of(result.content.hash, scoring) is not None:
            yield Outcome(photo, result)
        else:
            pixels[len(batch)] = np.frombuffer(buffer, dtype=np.uint8).reshape(pixels.shape[1:])
            batch.append((photo, result))
            if len(batch) >= scorer.batch_size:  # which shrinks where memory runs short
                yield from _score_batch(batch, pixels, scorer)
                batch.clear()
    if batch:
        yield from _score_batch(batch, pixels, scorer)


def _score_batch(batch: list[tuple[Photo, Prepared]], pixels: NDArray[np.uint8], scorer: Scorer) -> Iterator[Outcome]:
    found = scorer.score(pixels[: len(batch)])
    for (photo, prepared), score, embedding in zip(batch, found.scores, found.embeddings, strict=True):
        if math.isfinite(score):
            yield Outcome(photo, prepared, float(score), embedding.astype("<f2").tobytes())
        else:
            yield Outcome(photo, prepared, failure=Failure(FailureKind.NOT_FINITE, "the model gave no finite score"))


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


def _lost(lost: WorkerLost) -> Failure:
    if lost.timed_out:
        return Failure(FailureKind.TIMED_OUT, "decoding it took too long and was stopped")
    if lost.exit_code == -signal.SIGKILL:  # nothing in a decoder sends it; the kernel does, when memory runs out
        return Failure(FailureKind.KILLED, "its worker was killed, as when memory runs out; score it again")
    return Failure(FailureKind.CRASHED, f"the decoder crashed on it (exit code {lost.exit_code})")


def _refuse_emptied(root: str, catalog: Catalog, scan: Scan) -> None:
    """Refuse a folder that held photos and holds none: more likely a missing drive than ten thousand deletions."""
    remembered = catalog.count_listed(Scope([root]))
    if remembered and os.path.isdir(root) and not (scan.include or scan.exclude or scan.unreadable):
        raise UnsafeError(
            f"{display_path(root)} holds no photos, but {remembered:,} photos are remembered in it: connect its drive "
            "and try again, or if they are gone: rali forget. Nothing was changed"
        )


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

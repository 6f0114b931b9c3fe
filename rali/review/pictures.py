"""Pictures for the page as they are asked for: what was asked for last comes first, and one hang holds up one lane."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import Future
from typing import Any

from rali.config import Settings
from rali.errors import FailureKind, WorkersError
from rali.photos.thumbnail import Size
from rali.prepare import Failure
from rali.review.painting import Crop, Painter, is_elsewhere, task_of
from rali.thumbnails.cache import ThumbnailCache
from rali.thumbnails.making import Request
from rali.workers import WorkerLost, WorkerPool, default_workers

Picture = bytes | Failure
# Each has a process of 45 MB and room for what it makes; a page shows no more at once than these can bring.
_MOST_LANES = 4
# Somebody sits before the page and waits.
_PATIENCE_S = 30.0


class Pictures:
    """Makes pictures in processes that may crash or hang; use it as a context manager.

    Args:
        painter: what the processes run.
    """

    def __init__(self, settings: Settings, cache: ThumbnailCache, *, painter: type[Painter] = Painter) -> None:
        self._work = painter(settings.limit_px)
        self._timeout_s = min(settings.timeout_s, _PATIENCE_S)
        self._cache = cache
        self._asked: list[tuple[str, Future[Any]]] = []
        self._change = threading.Condition()
        self._ending = False
        count = min(settings.workers or default_workers(), _MOST_LANES)
        self._lanes = [threading.Thread(target=self._run, name=f"rali-picture-{n}", daemon=True) for n in range(count)]

    def __enter__(self) -> Pictures:
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._ending = True
            for asked in self._asked:
                asked[1].cancel()
            self._change.notify_all()
        for lane in self._lanes:
            lane.join()

    def kept(self, request: Request, size: Size) -> bytes | None:
        """Return the picture of a photo if it lies in the cache, and the photo is as it was."""
        if request.content_hash is None or not request.is_as_known():
            return None
        return self._cache.get(request.content_hash, size)

    def make(self, request: Request, kind: Size | Crop) -> Future[Picture]:
        """Begin to make a picture; its result is the picture, or why there is none. It may be cancelled."""
        future: Future[Picture] = Future()
        if (refused := _refused(request.file)) is not None:
            future.set_result(refused)
            return future
        if isinstance(kind, Size):
            future.add_done_callback(lambda done: self._keep(request, kind, done))
        with self._change:
            self._asked.append((task_of(request.file, kind), future))
            self._change.notify()
        return future

    def _keep(self, request: Request, size: Size, done: Future[Picture]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        picture = done.result()
        if isinstance(picture, bytes) and request.content_hash is not None and request.is_as_known():
            self._cache.put(request.content_hash, size, picture)

    def _run(self) -> None:
        """Serve one lane until the end: its process is started with the first picture."""
        pool: WorkerPool | None = None
        try:
            while (asked := self._next()) is not None:
                task, future = asked
                try:
                    pool = pool or WorkerPool(self._work, workers=1, timeout_s=self._timeout_s)
                    future.set_result(self._paint(pool, task))
                except (WorkersError, OSError) as error:  # no memory for a process now; the next picture tries again
                    future.set_result(Failure(FailureKind.CRASHED, str(error)))
                    if pool is not None:
                        pool.__exit__()
                    pool = None
        finally:
            if pool is not None:
                pool.__exit__()

    def _next(self) -> tuple[str, Future[Any]] | None:
        with self._change:
            while True:
                if self._ending:
                    return None
                if not self._asked:
                    self._change.wait()
                    continue
                asked = self._asked.pop()
                if asked[1].set_running_or_notify_cancel():
                    return asked

    def _paint(self, pool: WorkerPool, task: str) -> Picture:
        picture: Picture = Failure(FailureKind.CRASHED, "rali review ends")
        for _, result, buffer in pool.run([task], lambda: self._ending):  # to its end, or its room is not free again
            if isinstance(result, WorkerLost):
                why = f"it was given up after {self._timeout_s:g} s" if result.timed_out else "its decoder crashed"
                picture = Failure(FailureKind.TIMED_OUT if result.timed_out else FailureKind.CRASHED, why)
            else:
                picture = result if isinstance(result, Failure) else bytes(buffer[:result])
        return picture


def _refused(file: str) -> Failure | None:
    """Say why a file is not shown: it is gone, no plain file, or there is a link in its path."""
    try:
        info = os.lstat(file)
    except OSError as error:
        return Failure(FailureKind.VANISHED, error.strerror or str(error))
    if not stat.S_ISREG(info.st_mode) or is_elsewhere(file):
        return Failure(FailureKind.CHANGED, "there is a link, or no plain file, in its place")
    return None

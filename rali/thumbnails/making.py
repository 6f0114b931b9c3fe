"""Thumbnails of photos that nobody vouches for: made in processes that may crash or hang, kept where they can be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rali.catalog.catalog import Catalog
from rali.catalog.records import HeldContent
from rali.config import Settings
from rali.errors import FailureKind, PhotoError
from rali.photos.thumbnail import Size, make_thumbnail
from rali.prepare import Failure, limit_process
from rali.thumbnails.cache import DEFAULT_CAP_BYTES, ThumbnailCache
from rali.workers import WorkerLost, WorkerPool, default_workers

__all__ = ["DEFAULT_CAP_BYTES", "Request", "Thumbnailer", "make_thumbnails", "requests_for"]


@dataclass(frozen=True)
class Request:
    """One thumbnail that is wanted.

    Attributes:
        file: absolute path of the photo.
        content_hash: what the catalog says it holds; None if that is not known, or not any more.
        state: size in bytes and mtime in ns that the file must have for that to be true.
    """

    file: str
    content_hash: bytes | None = None
    state: tuple[int, int] | None = None

    def is_as_known(self) -> bool:
        """Tell if the file still is what its content hash was made of."""
        try:
            info = os.stat(self.file)
        except OSError:
            return False
        return self.content_hash is not None and self.state == (info.st_size, info.st_mtime_ns)


def requests_for(catalog: Catalog, files: Iterable[str]) -> list[Request]:
    """Say of photos, in their order, what each holds, so that its thumbnail can be found and kept."""
    folders: dict[str, dict[str, HeldContent]] = {}
    requests = []
    for file in files:
        folder, name = os.path.split(file)
        if folder not in folders:
            folders[folder] = catalog.contents_in(folder)
        held = folders[folder].get(name)
        state = None if held is None else (held.size_bytes, held.mtime_ns)
        requests.append(Request(file, None if held is None else held.hash, state))
    return requests


@dataclass(frozen=True)
class Thumbnailer:
    """Make one thumbnail: a picklable function for the worker pool."""

    size: Size
    limit_px: int
    result_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "result_bytes", self.size.most_bytes)

    def start(self) -> None:
        """Set up a worker process."""
        limit_process(self.limit_px)

    def __call__(self, file: str, buffer: memoryview) -> int | Failure:
        """Write the thumbnail of ``file`` into ``buffer``; return its length in bytes."""
        try:
            thumbnail = make_thumbnail(file, self.size, limit_px=self.limit_px)
        except PhotoError as error:
            return Failure(error.kind, error.message)
        except MemoryError:
            return Failure(FailureKind.TOO_LARGE, "its thumbnail needs more memory than a worker may take")
        buffer[: len(thumbnail)] = thumbnail
        return len(thumbnail)


def make_thumbnails(
    requests: Sequence[Request],
    size: Size,
    settings: Settings,
    cache: ThumbnailCache,
    *,
    stop: Callable[[], bool] = lambda: False,
    thumbnailer: type[Thumbnailer] = Thumbnailer,
) -> Iterator[tuple[str, bytes | Failure]]:
    """Yield each file with its thumbnail (see :func:`~rali.photos.thumbnail.make_thumbnail`) or why it has none.

    They come in no particular order, those that are kept in ``cache`` first; each file once, and once ``stop()`` is
    true no more.

    Args:
        thumbnailer: what the worker processes run.

    Raises:
        WorkersError: worker processes cannot be started on this machine.
    """
    missing: dict[str, Request] = {}
    for request in requests:
        if stop():
            return
        kept = None
        if request.content_hash is not None and request.is_as_known():
            kept = cache.get(request.content_hash, size)
        if kept is None:
            missing[request.file] = request
        else:
            yield request.file, kept
    if not missing:
        return
    workers = min(settings.workers or default_workers(), len(missing))
    work = thumbnailer(size, settings.limit_px)
    with WorkerPool(work, workers=workers, timeout_s=settings.timeout_s) as pool:
        for file, result, buffer in pool.run(missing, stop):
            if isinstance(result, WorkerLost):
                yield file, _lost(result, settings.timeout_s)
            elif isinstance(result, Failure):
                yield file, result
            else:
                thumbnail = bytes(buffer[:result])
                request = missing[file]
                if request.content_hash is not None and request.is_as_known():  # it was, while it was decoded
                    cache.put(request.content_hash, size, thumbnail)
                yield file, thumbnail


def _lost(lost: WorkerLost, timeout_s: float) -> Failure:
    if lost.timed_out:
        return Failure(FailureKind.TIMED_OUT, f"it was given up after {timeout_s:g} s")
    return Failure(FailureKind.CRASHED, f"its decoder crashed (exit code {lost.exit_code})")

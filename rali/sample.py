"""Some real photos as a model sees them, to measure engines with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rali.config import Settings
from rali.errors import PathError
from rali.model.bundle import BundleInfo
from rali.photos.photo import display_path
from rali.photos.scan import Scan, resolve_roots
from rali.prepare import Prepared, Preparer
from rali.workers import WorkerPool, default_workers


def sample_pixels(
    folder: str | os.PathLike[str],
    info: BundleInfo,
    settings: Settings,
    *,
    limit: int = 500,
    stop: Callable[[], bool] = lambda: False,
) -> NDArray[np.uint8]:
    """Decode photos below a folder, spread evenly over it: uint8 [N, H, W, 3], N at most ``limit``.

    What cannot be decoded is left out.

    Raises:
        PathError: the folder is missing, or there is no photo below it that can be decoded.
    """
    files = [photo.file for photo in Scan(resolve_roots([os.fspath(folder)]), pairs=settings.pairs)]
    every = max(1, -(-len(files) // limit))
    preparer = Preparer(info.preprocessing, settings.recipe, settings.limit_px)
    workers = min(settings.workers or default_workers(), max(1, len(files)))
    with WorkerPool(preparer, workers=workers, timeout_s=settings.timeout_s) as pool:
        found: Sequence[NDArray[np.uint8]] = [
            np.frombuffer(buffer, dtype=np.uint8).reshape(info.preprocessing.input_shape).copy()
            for _, result, buffer in pool.run(files[::every], stop)
            if isinstance(result, Prepared)
        ]
    if not found:
        raise PathError(
            f"no photo below {display_path(os.fspath(folder))} can be decoded: give a folder that holds some"
        )
    return np.stack(found)

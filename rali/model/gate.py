"""The gate: how far a way to run a model is from torch's float32, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rali.errors import DeviceError
from rali.model.bundle import BundleInfo
from rali.model.scorer import Scorer
from rali.model.ways import Way

LEAST_SRCC = 0.999
LARGEST_SHARE = 0.01
# Below this many pictures one swap of two that are nearly equal would fail the rank correlation.
LEAST_FOR_SRCC = 100
SLOWER = "slower"  # the problem of a way that was broken off


@dataclass(frozen=True)
class Measured:
    """What one way did on some pictures.

    Attributes:
        photos: how many pictures.
        largest_change: from torch's float32, in score points; infinite where a score is not finite.
        largest_share: that, of the score range.
        srcc: rank correlation with torch's float32; None below 100 pictures.
        photos_per_s: bare, pixels to scores.
        passed: good enough for the recipe ``fast``.
        problem: why there is no measurement; empty if there is one.
    """

    way: Way
    photos: int = 0
    largest_change: float = float("inf")
    largest_share: float = float("inf")
    srcc: float | None = None
    photos_per_s: float = 0.0
    passed: bool = False
    problem: str = ""

    @property
    def verdict(self) -> str:
        """A few words: ``ok``, or what is wrong."""
        if self.problem:
            return self.problem
        if self.way.precision == "int8" and self.srcc is None and self.largest_share <= LARGEST_SHARE:
            return f"needs {LEAST_FOR_SRCC} photos"
        return "ok" if self.passed else "too far off"


class Interrupted(Exception):  # noqa: N818 (it is no error)
    """A measurement was asked to stop."""


def measure(
    info: BundleInfo,
    way: Way,
    pixels: NDArray[np.uint8],
    reference: NDArray[np.float64],
    *,
    stop: Callable[[], bool] = lambda: False,
    least_per_s: float = 0.0,
) -> Measured:
    """Score pictures in one way and compare with what torch's float32 gives them.

    Args:
        pixels: uint8 [N, H, W, 3].
        reference: float64 [N].
        stop: asked between batches.
        least_per_s: a way that is slower than this is not looked at to the end.

    Raises:
        Interrupted: ``stop`` said so.
        DamagedModelError: the bundle is altered, or not what it says.
    """
    try:
        scorer = Scorer(info, engine=way.engine, device=way.device, precision=way.precision)
        scorer.score(pixels[: scorer.batch_size])  # the first batch also makes room and compiles
        found: list[NDArray[np.float64]] = []
        photos_per_s, done = 0.0, 0
        while done < len(pixels):
            if stop():
                raise Interrupted
            batch = pixels[done : done + scorer.batch_size]
            started_s = time.perf_counter()
            found.append(scorer.score(batch).scores)
            # The quickest batch tells what the machine can do; the mean, what else it was doing meanwhile.
            photos_per_s = max(photos_per_s, len(batch) / (time.perf_counter() - started_s))
            done += len(batch)
            if done < len(pixels) and photos_per_s < least_per_s:
                return Measured(way, done, photos_per_s=photos_per_s, problem=SLOWER)
    except DeviceError as error:
        return Measured(way, problem=str(error))
    return compare(info, way, np.concatenate(found), reference, photos_per_s=photos_per_s)


def compare(
    info: BundleInfo, way: Way, found: NDArray[np.float64], reference: NDArray[np.float64], *, photos_per_s: float
) -> Measured:
    """Put scores [N] through the gate against ``reference`` [N]."""
    from scipy.stats import spearmanr

    change = np.abs(found - reference)
    largest = float(change.max()) if np.isfinite(change).all() else float("inf")
    share = largest / (info.score_high - info.score_low)
    # Scores that are all the same have no ranks.
    ranked = len(found) >= LEAST_FOR_SRCC and np.isfinite(largest) and min(np.ptp(found), np.ptp(reference)) > 0
    srcc = float(spearmanr(found, reference).statistic) if ranked else None
    # int8 is taken on the word of real photos alone: it suffers from outliers among activations.
    passed = share <= LARGEST_SHARE and (way.precision != "int8" if srcc is None else srcc >= LEAST_SRCC)
    return Measured(way, len(found), largest, share, srcc, photos_per_s, passed)

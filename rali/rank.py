"""Order, percentiles, histogram: pure functions on arrays of scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram: ``low <= score < high``, the last one including its end."""

    low: float
    high: float
    count: int


def percentiles(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the percentile of each score among all of them.

    Args:
        ordered: finite scores [N], ascending.

    Returns:
        [N], 0 to 100: the share of scores below, plus half of those that are equal, so that the mean is always 50
        and equal photos get equal percentiles (Hazen's definition for ranks).
    """
    below = np.searchsorted(ordered, ordered, side="left")
    not_above = np.searchsorted(ordered, ordered, side="right")
    return 50.0 * (below + not_above) / max(len(ordered), 1)


def percentile_of(score: float, ordered: NDArray[np.float64]) -> float:
    """Return the percentile of one score that is among ``ordered`` (ascending)."""
    below, not_above = (np.searchsorted(ordered, score, side=side) for side in ("left", "right"))
    return 50.0 * float(below + not_above) / max(len(ordered), 1)


def histogram(scores: NDArray[np.float64], *, low: float, high: float, bins: int = 10) -> list[Bin]:
    """Count scores in ``bins`` equal steps from ``low`` to ``high``; those outside go into the end bars."""
    edges = np.linspace(low, high, bins + 1)
    counts, _ = np.histogram(scores.clip(low, high), bins=edges)
    return [Bin(float(edges[i]), float(edges[i + 1]), int(count)) for i, count in enumerate(counts)]

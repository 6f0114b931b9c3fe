"""Order, percentiles, histogram: pure functions on arrays of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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
    return percentiles_among(ordered, ordered)


def percentiles_among(scores: NDArray[np.float64], ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the percentiles of some scores [N] that are among ``ordered`` (ascending), as :func:`percentiles` does."""
    below = np.searchsorted(ordered, scores, side="left")
    not_above = np.searchsorted(ordered, scores, side="right")
    return 50.0 * (below + not_above) / max(len(ordered), 1)


def percentile_of(score: float, ordered: NDArray[np.float64]) -> float:
    """Return the percentile of one score that is among ``ordered`` (ascending)."""
    return float(percentiles_among(np.array([score]), ordered)[0])


def histogram(scores: NDArray[np.float64], *, low: float, high: float, bins: int = 10) -> list[Bin]:
    """Count scores in ``bins`` equal steps from ``low`` to ``high``; those outside go into the end bars."""
    counts, _ = np.histogram(scores.clip(low, high), bins=bar_edges(low, high, bins))
    return _bars(bar_edges(low, high, bins), counts.tolist())


def bar_edges(low: float, high: float, bins: int) -> list[float]:
    """Return where the bars of a histogram begin, and where the last one ends [bins + 1]."""
    return [float(edge) for edge in np.linspace(low, high, bins + 1)]


def bars_between(edges: Sequence[float], below: Sequence[int]) -> list[Bin]:
    """Make a histogram of how many scores lie below each edge [N]; of the first none, of the last all count."""
    return _bars(edges, [after - before for before, after in pairwise(below)])


def _bars(edges: Sequence[float], counts: Sequence[int]) -> list[Bin]:
    return [Bin(low, high, count) for (low, high), count in zip(pairwise(edges), counts, strict=True)]

"""How well scores agree with people's: SRCC and PLCC, with bootstrap intervals. Pure functions on arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rali.errors import EvaluationError

FEWEST_IMAGES = 3
# The logistic curve has four parameters: through four points it goes exactly, and says nothing.
_FEWEST_TO_FIT = 5
_FIT_EVALUATIONS = 10_000
# A block of resamples holds at most so many numbers, 8 MB an array.
_BLOCK_NUMBERS = 1 << 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A correlation with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Agreement:
    """How well scores agree with people's over ``n`` images."""

    n: int
    srcc: Estimate
    plcc: Estimate
    plcc_logistic: Estimate


def require_enough(count: int) -> None:
    """Check that a correlation over ``count`` images is worth computing.

    Raises:
        EvaluationError: it is not.
    """
    if count < FEWEST_IMAGES:
        raise EvaluationError(
            f"{count:,} image{'' if count == 1 else 's'} to evaluate: a correlation needs at least {FEWEST_IMAGES}"
        )


def measure(gt_scores: Sequence[float], scores: Sequence[float], *, resamples: int = 1000, seed: int = 0) -> Agreement:
    """Compute the correlations between people's scores [N] and a model's [N].

    SRCC is Spearman's with average ranks for ties, PLCC Pearson's; both from scipy.stats. ``plcc_logistic`` is PLCC
    after :func:`fit_logistic`, None where no curve fits. Intervals hold the middle 95 % of a percentile bootstrap
    over images; resamples in which one side is constant are left out. For ``plcc_logistic`` the fitted predictions
    are resampled: the curve is not fitted again, so that interval leaves out how uncertain the curve itself is.

    Raises:
        EvaluationError: fewer than three images, or one side is constant, so that no correlation is defined.
    """
    from scipy import stats

    labels, predictions = np.asarray(gt_scores, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    require_enough(len(labels))
    for values, name in ((labels, "gt_score"), (predictions, "predicted score")):
        if _is_constant(values):
            raise EvaluationError(f"all {len(values):,} images have the same {name}: no correlation is defined")
    fitted = fit_logistic(predictions, labels)
    sides = [predictions, labels] if fitted is None else [predictions, labels, fitted]
    srcc, plcc, plcc_logistic = _bootstrap(np.stack(sides), resamples=resamples, seed=seed)
    undefined = Estimate(None, None, None)
    return Agreement(
        n=len(labels),
        srcc=Estimate(float(stats.spearmanr(predictions, labels).statistic), *srcc),
        plcc=Estimate(float(stats.pearsonr(predictions, labels).statistic), *plcc),
        plcc_logistic=(
            undefined if fitted is None else Estimate(float(stats.pearsonr(fitted, labels).statistic), *plcc_logistic)
        ),
    )


def fit_logistic(scores: Floats, labels: Floats) -> Floats | None:
    """Map scores [N] to the scale of labels [N] by the 4-parameter logistic curve that fits best.

    y = b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)), by least squares. None if there are fewer than five images, if
    the fit does not converge, or if the best curve falls: that would turn a backward scorer into a good one.

    Source: VQEG, Final report on the validation of objective models of video quality assessment, 2000.
    """
    from scipy.optimize import OptimizeWarning, curve_fit
    from scipy.special import expit

    if len(scores) < _FEWEST_TO_FIT:
        return None

    def curve(x: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
        return np.asarray(b2 + (b1 - b2) * expit((x - b3) / max(abs(b4), 1e-12)))

    # Both sides are standardised, which changes no correlation and suits the optimiser on every scale.
    x, y = ((values - values.mean()) / values.std() for values in (scores, labels))
    best: tuple[float, Floats] | None = None
    for steepness in (1.0, 0.25):
        with suppress(RuntimeError), warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)  # of the covariance, which is not used
            start = (y.max(), y.min(), 0.0, steepness)
            b1, b2, b3, b4 = curve_fit(curve, x, y, p0=start, maxfev=_FIT_EVALUATIONS)[0]
            fitted = curve(x, b1, b2, b3, b4)
            error = float(np.square(fitted - y).sum())
            if b1 > b2 and math.isfinite(error) and not _is_constant(fitted) and (best is None or error < best[0]):
                best = error, fitted
    return None if best is None else best[1] * labels.std() + labels.mean()


def _bootstrap(sides: Floats, *, resamples: int, seed: int) -> list[tuple[float, float]]:
    """Return the 2.5 and 97.5 percentiles of SRCC, PLCC and, if ``sides`` [2 or 3, N] has them, fitted scores' PLCC."""
    from scipy.stats import rankdata

    random = np.random.default_rng(seed)
    n = sides.shape[1]
    found: list[Floats] = []
    rows = max(1, _BLOCK_NUMBERS // n)
    for at in range(0, resamples, rows):
        chosen = random.integers(0, n, (min(rows, resamples - at), n))  # [R, N]
        drawn = [side[chosen] for side in sides]  # [R, N] each
        ranks = [rankdata(side, axis=1) for side in drawn[:2]]
        pairs = [(ranks[0], ranks[1]), (drawn[0], drawn[1]), (drawn[-1], drawn[1])]
        found.append(np.stack([_pearson(a, b) for a, b in pairs]))  # [3, R]
    low, high = np.nanpercentile(np.concatenate(found, axis=1), (2.5, 97.5), axis=1)  # [3] each
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _pearson(a: Floats, b: Floats) -> Floats:
    """Correlate row by row, [R, N] to [R]; NaN where a row is constant."""
    a_centred, b_centred = (side - side.mean(axis=1, keepdims=True) for side in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (a_centred * b_centred).sum(axis=1) / np.sqrt(
            np.square(a_centred).sum(axis=1) * np.square(b_centred).sum(axis=1)
        )
    constant = (np.ptp(a, axis=1) == 0) | (np.ptp(b, axis=1) == 0)
    return np.where(constant, np.nan, found.clip(-1, 1))


def _is_constant(values: Floats) -> bool:
    """Tell if ``values`` differ by no more than rounding."""
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())

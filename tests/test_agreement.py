"""Correlations with people's scores: against scipy, against a known curve, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rali.agreement import fit_logistic, measure
from rali.errors import EvaluationError


@pytest.fixture
def made() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return labels and scores [300] that agree fairly well, with many ties."""
    random = np.random.default_rng(7)
    labels = random.uniform(1, 5, 300).round(1)
    return labels, (labels * 20 + random.normal(0, 15, 300)).round(0)


def test_values_are_those_of_scipy_ties_included(made: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    labels, scores = made

    found = measure(labels, scores)

    assert found.n == 300
    assert found.srcc.value == pytest.approx(stats.spearmanr(scores, labels).statistic, abs=1e-12)
    assert found.plcc.value == pytest.approx(np.corrcoef(scores, labels)[0, 1], abs=1e-12)


def test_ties_get_the_average_of_their_ranks() -> None:
    found = measure([1, 2, 2, 3], [10, 20, 30, 40])

    assert found.srcc.value == pytest.approx(np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1])


def test_intervals_are_those_of_scipys_percentile_bootstrap(
    made: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    labels, scores = made

    found = measure(labels, scores)

    for estimate, statistic in (
        (found.srcc, lambda a, b: stats.spearmanr(a, b).statistic),
        (found.plcc, lambda a, b: stats.pearsonr(a, b).statistic),
    ):
        other = stats.bootstrap(
            (scores, labels), statistic, paired=True, vectorized=False, n_resamples=1000, method="percentile",
            rng=np.random.default_rng(3),
        ).confidence_interval  # fmt: skip
        assert (estimate.low, estimate.high) == pytest.approx((other.low, other.high), abs=0.012)


def test_an_interval_covers_the_truth_about_19_times_in_20() -> None:
    random = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        labels = random.normal(size=150)
        found = measure(labels, 0.6 * labels + 0.8 * random.normal(size=150), resamples=200).plcc
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.6 <= found.high

    assert 180 <= covered <= 199


def test_the_same_data_give_the_same_answer_and_another_seed_another_interval(
    made: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    assert measure(*made) == measure(*made)
    assert measure(*made).srcc.low != measure(*made, seed=1).srcc.low


def test_the_logistic_fit_recovers_a_known_curve() -> None:
    scores = np.linspace(0, 100, 60)
    labels = 1.5 + (4.5 - 1.5) / (1 + np.exp(-(scores - 60) / 7))

    fitted = fit_logistic(scores, labels)
    found = measure(labels, scores)

    assert fitted is not None
    assert np.abs(fitted - labels).max() < 1e-5
    assert found.plcc_logistic.value == pytest.approx(1, abs=1e-9)
    assert found.plcc.value is not None
    assert found.plcc.value < 0.96


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_scores_does_not_matter(
    made: tuple[NDArray[np.float64], NDArray[np.float64]], scale: float
) -> None:
    labels, scores = made

    assert measure(labels, scores * scale + scale).plcc_logistic.value == pytest.approx(
        measure(labels, scores).plcc_logistic.value, abs=1e-6
    )


def test_a_backward_scorer_gets_no_good_value_from_the_logistic_fit() -> None:
    labels = np.linspace(1, 5, 50)

    found = measure(labels, -labels + np.sin(labels * 9))

    assert found.plcc.value is not None
    assert found.plcc.value < -0.8
    assert found.plcc_logistic.value is None


def test_four_images_are_too_few_for_four_parameters() -> None:
    found = measure([1, 2, 3, 4], [1, 3, 2, 4])

    assert (found.plcc_logistic.value, found.plcc_logistic.low, found.plcc_logistic.high) == (None, None, None)
    assert found.srcc.value == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "0 images"),
        ([1, 2], [1, 2], "2 images.*at least 3"),
        ([3, 3, 3], [1, 2, 3], "same gt_score"),
        ([1, 2, 3], [5, 5, 5], "same predicted score"),
    ],
)
def test_an_undefined_correlation_is_an_error(labels: list[float], scores: list[float], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        measure(labels, scores)


def test_three_images_are_enough() -> None:
    assert measure([1, 2, 3], [1, 2, 4]).srcc.value == pytest.approx(1)

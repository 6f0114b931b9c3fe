"""Order, percentiles, histogram."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rali.rank import histogram, percentile_of, percentiles

SCORES = st.lists(st.floats(0, 100, width=32), min_size=1, max_size=60).map(lambda found: np.array(sorted(found)))


@given(SCORES)
def test_percentiles_lie_between_0_and_100_and_their_mean_is_50(scores: NDArray[np.float64]) -> None:
    found = percentiles(scores)

    assert ((found > 0) & (found < 100)).all()
    assert found.mean() == pytest.approx(50)


@given(SCORES)
def test_a_higher_score_never_has_a_lower_percentile(scores: NDArray[np.float64]) -> None:
    assert (np.diff(percentiles(scores)) >= 0).all()


@given(SCORES)
def test_equal_scores_have_equal_percentiles_and_different_ones_different(scores: NDArray[np.float64]) -> None:
    found = percentiles(scores)

    for at in range(len(scores) - 1):
        assert (scores[at] == scores[at + 1]) == (found[at] == found[at + 1])


@given(SCORES)
def test_one_percentile_agrees_with_all_of_them(scores: NDArray[np.float64]) -> None:
    assert [percentile_of(score, scores) for score in scores] == pytest.approx(list(percentiles(scores)))


def test_a_single_photo_is_in_the_middle() -> None:
    assert percentiles(np.array([12.0])) == pytest.approx([50.0])


def test_of_no_scores_there_are_no_percentiles() -> None:
    assert percentiles(np.array([])).tolist() == []
    assert percentile_of(3.0, np.array([])) == 0.0


@given(SCORES, st.integers(1, 20))
def test_a_histogram_counts_every_score_once(scores: NDArray[np.float64], bins: int) -> None:
    bars = histogram(scores, low=20, high=80, bins=bins)

    assert len(bars) == bins
    assert sum(bar.count for bar in bars) == len(scores)


def test_scores_beyond_the_scale_go_into_the_end_bars() -> None:
    bars = histogram(np.array([-5.0, 0.0, 99.0, 100.0, 130.0]), low=0, high=100, bins=10)

    assert (bars[0].count, bars[-1].count) == (2, 3)


@given(SCORES)
def test_bars_join_without_a_gap_from_low_to_high(scores: NDArray[np.float64]) -> None:
    bars = histogram(scores, low=0, high=100)

    assert (bars[0].low, bars[-1].high) == (0, 100)
    assert all(left.high == right.low for left, right in pairwise(bars))

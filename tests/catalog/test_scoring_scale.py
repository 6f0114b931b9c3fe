"""Where on a model's scale a score lies, and how it is shown."""

from __future__ import annotations

import pytest

from rali.catalog.records import Scoring


def scale(low: float, high: float) -> Scoring:
    return Scoring(1, "0" * 16, "exact", "tiny", low, high)


@pytest.mark.parametrize(
    ("low", "high", "score", "share"),
    [(0, 100, 25, 0.25), (1, 5, 1, 0), (1, 5, 4, 0.75), (1, 5, 0, -0.25), (0, 100, 150, 1.5), (3, 3, 3, 0)],
)
def test_a_score_is_a_share_of_its_scale(low: float, high: float, score: float, share: float) -> None:
    assert scale(low, high).share(score) == share


@pytest.mark.parametrize(
    ("score", "level"), [(-9, 0), (1, 0), (2.59, 0), (2.61, 1), (3.39, 1), (3.41, 2), (5, 2), (99, 2)]
)
def test_scores_have_three_levels(score: float, level: int) -> None:
    assert scale(1, 5).level(score) == level


@pytest.mark.parametrize(
    ("high", "text", "edge"), [(5, "3.142", "3.14"), (49.9, "3.142", "3.14"), (50, "3.1", "3"), (100, "3.1", "3")]
)
def test_a_wide_scale_is_shown_with_fewer_digits(high: float, text: str, edge: str) -> None:
    assert (scale(0, high).text(3.14159), scale(0, high).edge_text(3.14159)) == (text, edge)

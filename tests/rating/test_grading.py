"""Scores become grades, and grades what was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rali.catalog.records import Scoring
from rali.errors import UsageError
from rali.photos.stars import LABEL, PICK, RATING
from rali.rating.grading import Grading, Wishes, grading_of, parse_grades, parse_labels

SCORING = Scoring(1, "0123456789abcdef", "fast-1.1-half", "mini", 0.0, 100.0)
BY_PERCENTILE = Grading("percentile", (10.0, 30.0, 70.0, 90.0))


def test_edges_begin_a_grade() -> None:
    assert [BY_PERCENTILE.grade(0, percentile) for percentile in (0, 9.9, 10, 69.9, 70, 90, 100)] == [
        1,
        1,
        2,
        3,
        4,
        5,
        5,
    ]
    assert [grading_of("threshold", "20,20,40,60", SCORING).grade(score, 0) for score in (19, 20, 60)] == [1, 3, 5]


def test_without_edges_the_scale_is_cut_into_fifths() -> None:
    ten = Scoring(1, "x", "y", "z", 1.0, 11.0)

    assert grading_of("threshold", None, ten).edges == pytest.approx((3, 5, 7, 9))


@given(st.floats(-1e6, 1e6), st.floats(0, 100), st.lists(st.floats(0, 100), min_size=4, max_size=4).map(sorted))
def test_a_grade_lies_within_its_bounds(score: float, percentile: float, edges: list[float]) -> None:
    grading = Grading("percentile", (edges[0], edges[1], edges[2], edges[3]))

    low, high = grading.bounds(grade := grading.grade(score, percentile))

    assert 1 <= grade <= 5
    assert low is None or low <= percentile
    assert high is None or percentile < high


@pytest.mark.parametrize(
    "edges", ["", "1,2,3", "1,2,3,4,5", "4,3,2,1", "1,2,3,nan", "1,2,3,x", "1,2,3,101", "-1,2,3,4"]
)
def test_edges_that_are_none_are_refused(edges: str) -> None:
    with pytest.raises(UsageError, match="--edges"):
        grading_of("percentile", edges, SCORING)


def test_another_basis_is_refused() -> None:
    with pytest.raises(UsageError, match="percentile or threshold"):
        grading_of("taste", None, SCORING)


def test_grades_and_labels_are_read() -> None:
    assert parse_grades("--pick", "4-5") == {4, 5}
    assert parse_labels(["5=Green", "1-2=Not good"]) == {5: "Green", 1: "Not good", 2: "Not good"}


@pytest.mark.parametrize("text", ["", "0", "6", "5-4", "a", "1-2-3"])
def test_grades_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--pick"):
        parse_grades("--pick", text)


@pytest.mark.parametrize("texts", [["5"], ["5="], ["=Red"], ["9=Red"], ["5=a\nb"], ["4-5=Red", "5=Green"]])
def test_labels_that_are_none_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="--label"):
        parse_labels(texts)


def test_wishes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="both"):
        Wishes(BY_PERCENTILE, picks=frozenset({4, 5}), rejects=frozenset({1, 4}))
    with pytest.raises(UsageError, match="--no-stars"):
        Wishes(BY_PERCENTILE, stars=False)


def test_a_reject_is_minus_one_instead_of_stars() -> None:
    wishes = Wishes(BY_PERCENTILE, rejects=frozenset({1}))

    rejected = wishes.properties(1, 3.0, 2.0, SCORING, ())
    kept = wishes.properties(4, 80.0, 75.0, SCORING, ())

    assert (rejected[RATING], rejected[PICK]) == ("-1", "-1")
    assert (kept[RATING], kept[PICK]) == ("4", None)
    assert LABEL not in rejected


def test_what_the_user_decided_is_not_among_what_is_written() -> None:
    wishes = Wishes(BY_PERCENTILE, labels={5: "Green"})

    said = {
        f"{prop.prefix}:{prop.name}": value for prop, value in wishes.properties(5, 80, 95, SCORING, ["rating"]).items()
    }

    assert said == {
        "xmp:Label": "Green",
        "rali:Label": "Green",
        "rali:Score": "80.000",
        "rali:Percentile": "95.0",
        "rali:Model": "mini 0123456789abcdef",
        "rali:Recipe": "fast-1.1-half",
    }

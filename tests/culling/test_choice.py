"""Which photos are chosen: never more than asked for, and the worst first."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rali.catalog.records import Candidate
from rali.culling.choice import Choice, choose, parse_bottom, pick
from rali.errors import UsageError


@dataclass(frozen=True)
class Scored:
    """N photos with whole numbers as scores, so that many are equal."""

    scores: tuple[float, ...]
    folders: tuple[int, ...]

    def chosen(self, choice: Choice) -> list[int]:
        ids = np.arange(len(self.scores), dtype=np.int64)
        mask = choose(choice, ids, np.array(self.scores, dtype=np.float64), np.array(self.folders, dtype=np.int64))
        return np.flatnonzero(mask).tolist()


@st.composite
def collections(draw: Any) -> Scored:
    rows = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=60))
    return Scored(tuple(float(score) for score, _ in rows), tuple(folder for _, folder in rows))


percents = st.integers(1, 1000).map(lambda tenths: tenths / 10)
counts = st.integers(1, 70)


@given(collections(), percents, st.booleans())
def test_a_share_is_never_more_than_was_asked_for(photos: Scored, percent: float, across: bool) -> None:
    chosen = photos.chosen(Choice(bottom_percent=percent, across=across))
    sizes = {0: len(photos.scores)} if across else Counter(photos.folders)
    taken = Counter(0 if across else photos.folders[at] for at in chosen)

    for folder, size in sizes.items():
        asked = Fraction(str(percent)) * size / 100
        assert asked - 1 < taken[folder] <= asked


@given(collections(), counts, st.booleans())
def test_a_count_is_never_more_than_was_asked_for(photos: Scored, count: int, across: bool) -> None:
    chosen = photos.chosen(Choice(bottom_count=count, across=across))
    sizes = {0: len(photos.scores)} if across else Counter(photos.folders)

    assert Counter(0 if across else photos.folders[at] for at in chosen) == {
        folder: min(count, size) for folder, size in sizes.items() if size
    }


@given(collections(), counts, st.booleans())
def test_so_many_stay_as_are_to_be_kept(photos: Scored, keep: int, across: bool) -> None:
    chosen = set(photos.chosen(Choice(keep=keep, across=across)))
    sizes = {0: len(photos.scores)} if across else Counter(photos.folders)
    stay = Counter(0 if across else folder for at, folder in enumerate(photos.folders) if at not in chosen)

    assert stay == {folder: min(keep, size) for folder, size in sizes.items() if size}


choices = st.one_of(
    st.builds(lambda percent, across: Choice(bottom_percent=percent, across=across), percents, st.booleans()),
    st.builds(lambda count, across: Choice(bottom_count=count, across=across), counts, st.booleans()),
    st.builds(lambda keep, across: Choice(keep=keep, across=across), counts, st.booleans()),
    st.builds(lambda below: Choice(below=below), st.integers(-1, 11)),
)


@given(collections(), choices)
def test_who_stays_is_never_worse_than_who_goes(photos: Scored, choice: Choice) -> None:
    chosen = set(photos.chosen(choice))

    for gone in chosen:
        for left in set(range(len(photos.scores))) - chosen:
            if choice.across or choice.below is not None or photos.folders[gone] == photos.folders[left]:
                assert (photos.scores[gone], gone) < (photos.scores[left], left)


@given(collections(), percents, percents, st.booleans())
def test_a_larger_share_contains_the_smaller(photos: Scored, one: float, other: float, across: bool) -> None:
    less, more = (set(photos.chosen(Choice(bottom_percent=p, across=across))) for p in sorted((one, other)))

    assert less <= more


@given(collections())
def test_no_choice_chooses_nothing(photos: Scored) -> None:
    assert photos.chosen(Choice()) == []


@pytest.mark.parametrize(
    ("percent", "photos", "taken"), [(29, 100, 29), (0.57, 10000, 57), (1.1, 1000, 11), (9.99, 10, 0)]
)
def test_a_share_is_exact_in_decimals(percent: float, photos: int, taken: int) -> None:
    assert len(Scored((1.0,) * photos, (0,) * photos).chosen(Choice(bottom_percent=percent))) == taken


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10%", (10, None)), ("10.5%", (10.5, None)), (" .5 %", (0.5, None)), ("100%", (100, None)), ("25", (None, 25))],
)
def test_bottom_is_a_share_or_a_number(text: str, expected: object) -> None:
    assert parse_bottom(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "%", "0", "0%", "0.0%", "-1", "-1%", "100.1%", "1e1%", "10.5", "nan%", "ten", "5%%", "٣", "1_0", "9" * 20],
)
def test_bottom_is_nothing_else(text: str) -> None:
    with pytest.raises(UsageError, match=r"give a share such as 10%.* or a number"):
        parse_bottom(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"below": 40, "keep": 3},
        {"below": math.nan},
        {"bottom_percent": 0},
        {"bottom_percent": 101},
        {"bottom_percent": math.nan},
        {"bottom_count": 0},
        {"keep": 0},
        {"paths": (), "bottom_count": 1},
        {"below": 40, "across": True},
        {"across": True},
    ],
    ids=str,
)
def test_a_choice_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"--|choose"):
        Choice(**wrong)


@pytest.mark.parametrize(
    ("choice", "words", "why"),
    [
        (Choice(below=40), "score below 40", "score below 40"),
        (Choice(bottom_percent=10.5), "bottom 10.5 % of each folder", "bottom 10.5 % of its folder"),
        (Choice(bottom_percent=10, across=True), "bottom 10 % of all", "bottom 10 % of all"),
        (Choice(bottom_count=1000), "bottom 1,000 of each folder", "bottom 1,000 of its folder"),
        (Choice(keep=100), "all but the best 100 of each folder", "not among the best 100 of its folder"),
        (Choice(keep=100, across=True), "all but the best 100", "not among the best 100"),
        (Choice(paths=("/a.jpg",)), "the list given", "on the list"),
    ],
)
def test_a_choice_can_be_said(choice: Choice, words: str, why: str) -> None:
    assert (str(choice), choice.why) == (words, why)


def candidate(number: int, score: float | None, **more: Any) -> Candidate:
    empty = Candidate(number, "/p", f"{number}.jpg", number, 1, 1, b"", "{}", score, None, None)
    return empty._replace(**more)


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf, None])
def test_photos_without_a_finite_score_change_nothing_for_the_others(strange: float | None) -> None:
    plain = [candidate(1, 30.0), candidate(2, 10.0), candidate(3, 20.0)]

    picked = pick([*plain[:1], candidate(9, strange), *plain[1:]], Choice(bottom_percent=67))

    assert picked == pick(plain, Choice(bottom_percent=67))
    assert [(one.photo.photo_id, one.percentile) for one in picked.picks] == [(2, pytest.approx(100 / 6)), (3, 50)]


def test_a_list_may_name_companions_and_what_nobody_knows() -> None:
    photos = [candidate(1, 30.0, companions=b"1.CR3/1.xmp"), candidate(2, 10.0)]

    picked = pick(photos, Choice(paths=("/p/1.xmp", "/p/1.jpg", "/p/1.CR3", "/p/x.jpg", "/q/1.jpg")))

    assert [one.photo.photo_id for one in picked.picks] == [1]
    assert picked.unknown == ["/p/x.jpg", "/q/1.jpg"]

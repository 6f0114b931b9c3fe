from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from pictures import scene

from rali.training.distortions import KINDS, LEVELS, Family, distort, family_of, mixture

PICTURE = scene()
PICTURE.flags.writeable = False  # ruining returns another picture
UNCHANGED = {("motion blur", 1), ("mean shift", 3), ("gaussian blur", 1), ("saturation (Lab)", 1)}  # by their settings
BOTH_WAYS = {"mean shift", "contrast change"}  # whose levels go from one fault over none to its opposite
CHANCE = {
    "non-eccentricity patch",
    "color shift",
}  # of what lies next to what: a level may by luck be nearer than one below


def ruined(kind: str, level: int, seed: int = 1) -> np.ndarray:
    return distort(PICTURE, kind, level, np.random.default_rng(seed))


def distance(picture: np.ndarray) -> float:
    return float(((picture.astype(float) - PICTURE) ** 2).mean() ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_ruined_picture_has_the_shape_of_the_picture_and_differs_where_it_should(kind: str, level: int) -> None:
    picture = ruined(kind, level)

    assert (picture.shape, picture.dtype) == (PICTURE.shape, np.uint8)
    if (kind, level) in UNCHANGED:
        assert distance(picture) < 0.5
    else:
        assert distance(picture) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_ruins_in_the_same_way(kind: str) -> None:
    assert (ruined(kind, 4) == ruined(kind, 4)).all()


@pytest.mark.parametrize(
    "kind", ["white noise", "impulse noise", "motion blur", "color shift", "jitter", "color block"]
)
def test_another_seed_ruins_in_another_way(kind: str) -> None:
    assert (ruined(kind, 4, seed=1) != ruined(kind, 4, seed=2)).any()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - BOTH_WAYS))
def test_a_higher_level_is_further_from_the_picture(kind: str) -> None:
    distances = [distance(ruined(kind, level)) for level in LEVELS]

    if kind in CHANCE:
        assert distances[0] < distances[-1]
    else:
        assert distances == sorted(distances)


@pytest.mark.parametrize("kind", sorted(BOTH_WAYS))
def test_levels_that_go_both_ways_are_worst_at_the_ends(kind: str) -> None:
    first, second, middle, fourth, last = (distance(ruined(kind, level)) for level in LEVELS)

    assert first > second > middle
    assert middle <= fourth < last


def test_brightness_goes_where_the_name_says() -> None:
    mean = PICTURE.mean()

    assert ruined("brighten", 4).mean() > mean > ruined("darken", 4).mean()
    assert ruined("mean shift", 1).mean() > mean > ruined("mean shift", 5).mean()
    assert ruined("contrast change", 1).std() > PICTURE.std() > ruined("contrast change", 5).std()


def test_a_disc_and_a_line_keep_the_mean_and_spread_as_far_as_they_should() -> None:
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    disc = distort(dot, "lens blur", 4, np.random.default_rng(0))  # radius 6: 113 pixels of 2.3
    rows, columns = np.nonzero(disc[..., 0])

    assert np.hypot(rows - 20, columns - 20).max() == pytest.approx(6, abs=0.8)
    assert len(rows) == pytest.approx(np.pi * 36, rel=0.15)

    line = distort(dot, "motion blur", 5, np.random.default_rng(0))[..., 0]
    rows, columns = np.nonzero(line > 5)
    assert np.hypot(np.ptp(rows), np.ptp(columns)) == pytest.approx(10, abs=2.5)


@pytest.mark.parametrize("shape", [(2, 3), (7, 50), (33, 20)])
@pytest.mark.parametrize("kind", KINDS)
def test_small_and_odd_pictures_are_ruined_too(kind: str, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 120, np.uint8)

    assert distort(picture, kind, 5, np.random.default_rng(0)).shape == picture.shape


def test_a_mixture_is_one_after_the_other() -> None:
    both = mixture(PICTURE, [("gaussian blur", 4), ("JPEG", 4)], np.random.default_rng(0))
    blurred = distort(PICTURE, "gaussian blur", 4, np.random.default_rng(0))

    assert (both == distort(blurred, "JPEG", 4, np.random.default_rng(0))).all()
    assert (mixture(PICTURE, [], np.random.default_rng(0)) == PICTURE).all()


def test_every_entry_has_five_levels_and_known_families() -> None:
    for kind in KINDS.values():
        assert len(kind.settings) == len(kind.visible) == len(kind.families) == 5
        assert set(kind.visible) <= {0, 1, 2, 3}
    assert len(KINDS) == 25
    assert {family_of(kind, level) for kind in KINDS for level in LEVELS} == {None, *Family}


def test_an_unseen_fault_has_no_family_and_one_that_turns_has_two() -> None:
    assert family_of("gaussian blur", 1) is None
    assert family_of("mean shift", 1) is Family.OVEREXPOSED
    assert family_of("mean shift", 3) is None
    assert family_of("mean shift", 5) is Family.UNDEREXPOSED


@pytest.mark.parametrize("level", [0, 6, -1])
def test_a_level_that_is_none_is_refused(level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        distort(PICTURE, "JPEG", level, np.random.default_rng(0))


def test_kinds_and_what_people_see_are_those_of_the_published_means(shared: Path) -> None:
    with (shared / "iqa" / "kadid_means.csv").open() as file:
        means = {(row["distortion"], int(row["level"])): float(row["mean"]) for row in csv.DictReader(file)}

    assert {kind for kind, _ in means} == set(KINDS)
    for (kind, level), mean in means.items():
        assert KINDS[kind].visible[level - 1] == sum(mean < bound for bound in (4.4, 3.4, 2.2)), (kind, level)

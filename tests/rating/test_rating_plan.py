"""Which sidecars would be written, and what stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import sidecars

from rali.catalog.catalog import Catalog
from rali.errors import PathError
from rali.photos.stars import RATING
from rali.rating.grading import Grading, Wishes
from rali.rating.plan import RatingPlan

MakePhoto = Callable[[str, float], Path]
MakePlan = Callable[..., RatingPlan]
FIFTHS = Grading("threshold", (20.0, 40.0, 60.0, 80.0))


def rated(stars: str, more: str = "") -> str:
    return sidecars.LIGHTROOM.replace('tiff:Orientation="1"', f'xmp:Rating="{stars}" {more}')


def names(plan: RatingPlan) -> list[str]:
    return [os.path.basename(one.path) for one in plan.sidecars]


def test_grades_are_counted_and_each_photo_gets_a_sidecar(photo: MakePhoto, plan: MakePlan) -> None:
    for number, score in enumerate((5, 25, 45, 95, 99)):
        photo(f"{number}.jpg", score)

    made = plan()

    assert dict(made.grades) == {1: 1, 2: 1, 3: 1, 4: 0, 5: 2}
    assert names(made) == [f"{number}.jpg.xmp" for number in range(5)]
    assert [one.properties[RATING] for one in made.sidecars] == ["1", "2", "3", "5", "5"]
    assert (made.new, made.unchanged, made.left_out, made.considered) == (5, 0, 0, 5)


def test_nothing_scored_is_an_error(plan: MakePlan) -> None:
    with pytest.raises(PathError):
        plan()


@pytest.mark.parametrize(
    ("beside", "name"),
    [
        ([], "a.jpg.xmp"),
        (["a.CR3"], "a.xmp"),
        (["a.CR3", "a.XMP"], "a.XMP"),
        (["a.CR3", "a.CR3.xmp"], "a.CR3.xmp"),
        (["a.CR3", "a.jpg.xmp"], "a.jpg.xmp"),
        (["a.CR3", "a.xmp", "a.CR3.xmp"], "a.CR3.xmp"),
        (["a.xmp"], "a.xmp"),
    ],
)
def test_the_style_of_sidecar_that_is_there_wins(
    photo: MakePhoto, plan: MakePlan, tmp_path: Path, beside: list[str], name: str
) -> None:
    (tmp_path / "photos").mkdir()
    for file in beside:
        (tmp_path / "photos" / file).write_text(sidecars.LIGHTROOM if file.lower().endswith("xmp") else "raw")
    photo("a.jpg", 50)

    assert names(plan()) == [name]


def test_of_two_sidecars_the_one_with_a_rating_is_written(photo: MakePhoto, plan: MakePlan) -> None:
    path = photo("a.jpg", 50)
    path.with_suffix(".jpg.xmp").write_text(sidecars.LIGHTROOM)
    path.with_suffix(".xmp").write_text(rated("2", 'xmlns:rali="http://ns.rali.dev/1.0/" rali:Rating="2"'))

    assert names(plan()) == ["a.xmp"]


def test_the_style_of_a_new_sidecar_can_be_chosen(photo: MakePhoto, plan: MakePlan, tmp_path: Path) -> None:
    photo("a.jpg", 50)
    (tmp_path / "photos" / "b.NEF").write_text("raw")
    photo("b.NEF", 60)

    assert names(plan(style="stem")) == ["a.xmp", "b.xmp"]
    assert names(plan(style="full")) == ["a.jpg.xmp", "b.NEF.xmp"]
    assert names(plan()) == ["a.jpg.xmp", "b.xmp"]


def test_of_two_pictures_with_one_stem_each_gets_a_sidecar_of_its_own(photo: MakePhoto, plan: MakePlan) -> None:
    photo("a.jpg", 50)
    photo("a.png", 60)

    assert names(plan(style="stem")) == ["a.xmp", "a.png.xmp"]


def test_what_was_rated_while_the_question_stood_is_dropped(photo: MakePhoto, plan: MakePlan) -> None:
    path = photo("a.jpg", 50)
    photo("b.jpg", 60)
    shown = plan()
    path.with_suffix(".xmp").write_text(rated("5"))

    confirmed = shown.confirmed_by(plan())

    assert names(confirmed) == ["b.jpg.xmp"]
    assert [kept.rule for kept in confirmed.kept] == ["rating"]


@pytest.mark.parametrize("stars", ["3", "-1", "5"])
def test_the_users_own_stars_stay_unless_they_are_to_go(photo: MakePhoto, plan: MakePlan, stars: str) -> None:
    photo("a.jpg", 50).with_suffix(".xmp").write_text(rated(stars))

    made = plan()

    assert (made.sidecars, made.left_out) == ((), 1)
    assert (made.kept[0].rule, made.kept[0].whole) == ("rating", True)
    assert names(plan(overwrite_mine=True)) == ["a.xmp"]


def test_stars_in_another_file_of_the_shot_count(photo: MakePhoto, plan: MakePlan) -> None:
    path = photo("a.jpg", 50)
    path.with_suffix(".jpg.xmp").write_text(rated("0"))
    path.with_suffix(".xmp").write_text(rated("4"))

    assert (plan().sidecars, plan().kept[0].detail) == ((), "4 stars in a.xmp")


def test_a_label_is_written_where_only_the_stars_are_the_users(photo: MakePhoto, plan: MakePlan) -> None:
    photo("a.jpg", 90).with_suffix(".xmp").write_text(rated("3"))

    made = plan(Wishes(FIFTHS, labels={5: "Green"}))

    (one,) = made.sidecars
    assert {f"{p.prefix}:{p.name}" for p in one.properties} >= {"xmp:Label", "rali:Label", "rali:Score"}
    assert RATING not in one.properties
    assert [(kept.rule, kept.whole) for kept in made.kept] == [("rating", False)]


@pytest.mark.parametrize("broken", ["", "not XML", sidecars.LIGHTROOM[:-9]])
def test_a_sidecar_that_cannot_be_read_is_left(photo: MakePhoto, plan: MakePlan, broken: str) -> None:
    photo("a.jpg", 50).with_suffix(".xmp").write_text(broken)

    for overwrite in (False, True):
        made = plan(overwrite_mine=overwrite)
        assert made.sidecars == ()
        assert (made.kept[0].rule, "a.xmp" in made.kept[0].detail) == ("unreadable", True)


def test_what_may_not_be_written_is_left(photo: MakePhoto, plan: MakePlan, tmp_path: Path) -> None:
    protected = photo("a.jpg", 50).with_suffix(".xmp")
    protected.write_text(sidecars.LIGHTROOM)
    protected.chmod(0o444)
    photo("b.jpg", 60).with_suffix(".jpg.xmp").symlink_to(tmp_path / "nowhere")

    made = plan()

    assert made.sidecars == ()
    assert [kept.detail for kept in made.kept] == ["a.xmp is write-protected", "b.jpg.xmp is a symbolic link"]


def test_a_photo_that_has_changed_or_gone_is_left(photo: MakePhoto, plan: MakePlan, catalog: Catalog) -> None:
    os.utime(photo("a.jpg", 50), ns=(1, 1))
    photo("b.jpg", 60).unlink()
    photo("c.jpg", 70)

    made = plan()

    assert names(made) == ["c.jpg.xmp"]
    assert [kept.rule for kept in made.kept] == ["changed", "gone"]


def test_a_raw_scored_for_itself_shares_its_jpegs_sidecar(photo: MakePhoto, plan: MakePlan, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.CR3").write_text("raw")
    photo("a.CR3", 40)
    photo("a.jpg", 50)

    made = plan()

    assert names(made) == ["a.xmp"]
    assert [(os.path.basename(kept.path), kept.rule) for kept in made.kept] == [("a.CR3", "shot")]

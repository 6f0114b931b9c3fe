"""What a cull chooses, what it holds back and why, and that a plan is checked again before it is used."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import prepared

from rali.catalog.catalog import Catalog
from rali.catalog.records import Mark, Outcome, Scope
from rali.culling.choice import Choice
from rali.culling.marks import mark_photos
from rali.culling.plan import CullPlan, PlannedShot, ShotFile, over_limits, plan_cull
from rali.culling.recheck import recheck
from rali.errors import FailureKind, UsageError
from rali.model.bundle import BundleInfo, read_info
from rali.photos.scan import Scan
from rali.prepare import Failure

STARS = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"/></rdf:RDF></x:xmpmeta>"""
NO_STARS = STARS.replace(b'Rating="3"', b'Rating="0"')


class Library:
    """A folder of files that are no pictures, and a catalog that takes our word for their scores."""

    def __init__(self, folder: Path, catalog: Catalog, info: BundleInfo) -> None:
        self.folder, self.catalog, self.info = folder, catalog, info
        self.scoring = catalog.scoring(info, "fast-1.1-half")

    def write(self, *names: str, data: bytes | None = None) -> None:
        for name in names:
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(name.encode() if data is None else data)

    def score(self, scores: dict[str, float | FailureKind], **options: Any) -> None:
        """Write photos and store their scores as a run would, with the companions that lie beside them."""
        self.write(*(name for name in scores if not (self.folder / name).exists()))
        outcomes = []
        for photo in Scan([str(self.folder)], **options):
            score = scores.get(os.path.relpath(photo.file, self.folder))
            if isinstance(score, FailureKind):
                by_model = score is FailureKind.NOT_FINITE
                read = prepared(photo, f"{photo.inode}") if by_model else None
                outcomes.append(Outcome(photo, read, failure=Failure(score, "it is broken")))
            elif score is not None:
                outcomes.append(Outcome(photo, prepared(photo, f"{photo.inode}"), score, b"\0\0"))
        self.catalog.store(outcomes, self.scoring)

    def mark(self, name: str, mark: Mark | None) -> None:
        assert not mark_photos(self.catalog, [self.folder / name], mark).refused

    def plan(self, choice: Choice | None = None, *paths: str, **options: Any) -> CullPlan:
        choice = choice or Choice(below=50)
        scope = options.pop("scope", Scope([str(self.folder)]))
        return plan_cull(self.catalog, self.scoring, scope, choice, roots=[str(self.folder)], **options)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def listed(self, *names: str) -> Choice:
        return Choice(paths=tuple(self.path(name) for name in names))

    def names(self, plan: CullPlan) -> list[str]:
        return [os.path.relpath(shot.path, self.folder) for shot in plan.shots]

    def held(self, plan: CullPlan) -> dict[str, str]:
        return {os.path.relpath(held.path, self.folder): held.rule for held in plan.held_back}


@pytest.fixture
def library(tmp_path: Path, own_world: Path, tiny_bundle: Path) -> Iterator[Library]:
    with Catalog(own_world / "catalog.db") as catalog:
        yield Library(tmp_path / "photos", catalog, read_info(tiny_bundle))


# --- what a plan says -------------------------------------------------------------------------------------------


def test_a_plan_says_what_would_go_and_why(library: Library) -> None:
    library.score({"a.jpg": 10, "b.jpg": 60, "c.jpg": 90})
    info = (library.folder / "a.jpg").stat()

    plan = library.plan()

    file = ShotFile("a.jpg", info.st_dev, info.st_ino, 5, info.st_mtime_ns)
    folder = str(library.folder)
    assert plan.shots == (PlannedShot(folder, folder, (file,), 10.0, pytest.approx(100 / 6), "score below 50"),)
    assert (plan.roots, plan.chosen, plan.scoring) == ((folder,), "score below 50", library.scoring)
    assert (plan.considered, plan.folder_sizes, plan.held_back) == (3, {folder: 3}, ())
    assert (plan.shots[0].path, plan.files, plan.size_bytes) == (library.path("a.jpg"), 1, 5)


def test_nothing_is_changed_by_a_plan(library: Library) -> None:
    library.score({"a.jpg": 10, "b.jpg": 60})
    before = [(entry.name, entry.stat()) for entry in os.scandir(library.folder)]

    library.plan()

    assert [(entry.name, entry.stat()) for entry in os.scandir(library.folder)] == before


def test_a_bound_is_exclusive(library: Library) -> None:
    library.score({"a.jpg": 49.9, "b.jpg": 50, "c.jpg": 50.1})

    assert library.names(library.plan()) == ["a.jpg"]


def test_percentiles_are_among_the_whole_scope(library: Library) -> None:
    library.score({"x/a.jpg": 10, "y/b.jpg": 20, "y/c.jpg": 30, "y/d.jpg": 40})

    plan = library.plan(Choice(bottom_count=1))

    assert [shot.percentile for shot in plan.shots] == [12.5, 37.5]


def test_scope_and_globs_are_honoured(library: Library) -> None:
    library.score({"x/a.jpg": 10, "y/b.jpg": 20, "y/c.jpg": 30})

    in_y = library.plan(scope=Scope([library.path("y")], exclude=["c.*"]))

    assert (library.names(in_y), in_y.considered) == (["y/b.jpg"], 1)
    assert in_y.folder_sizes == {library.path("y"): 2}  # the folder is as large as ever


def test_scores_of_another_model_are_not_mixed_in(library: Library) -> None:
    library.score({"a.jpg": 10, "b.jpg": 60})
    library.scoring = library.catalog.scoring(library.info, "exact-1.1-float32")
    library.score({"b.jpg": 5})

    assert library.names(library.plan()) == ["b.jpg"]


def test_a_root_is_the_innermost_that_was_given(library: Library) -> None:
    library.score({"a.jpg": 1, "x/b.jpg": 1, "xy/c.jpg": 1})
    roots = [str(library.folder), library.path("x"), library.path("xy/c.jpg")]

    plan = plan_cull(library.catalog, library.scoring, Scope(roots), Choice(below=50), roots=roots)

    assert [shot.root for shot in plan.shots] == [str(library.folder), library.path("x"), library.path("xy")]


def test_a_file_that_was_named_is_a_photo_whatever_its_suffix(library: Library) -> None:
    library.write("scan.dat")
    [photo] = Scan([library.path("scan.dat")])
    library.catalog.store([Outcome(photo, prepared(photo, "c"), 10.0, b"\0\0")], library.scoring)

    assert library.names(library.plan()) == ["scan.dat"]


# --- shots -------------------------------------------------------------------------------------------------------


def test_a_shot_goes_whole(library: Library) -> None:
    library.write("IMG.CR3", "IMG.CR3.xmp", "IMG.aae", "IMG.mov", "IMG_2.jpg", "notes.txt")
    library.write("IMG.xmp", "IMG.CR3.xmp", data=NO_STARS)
    library.score({"IMG.jpg": 10})

    (shot,) = library.plan().shots

    assert [file.name for file in shot.files] == ["IMG.jpg", "IMG.CR3", "IMG.CR3.xmp", "IMG.aae", "IMG.mov", "IMG.xmp"]


def test_a_sidecar_that_came_since_goes_along(library: Library) -> None:
    library.score({"IMG.jpg": 10})
    library.write("IMG.aae")

    assert [file.name for file in library.plan().shots[0].files] == ["IMG.jpg", "IMG.aae"]


def test_a_photo_that_came_into_the_shot_since_holds_it_back(library: Library) -> None:
    library.score({"IMG.CR3": 10, "b.jpg": 10})
    library.write("IMG.jpg", "b.CR3")

    plan = library.plan()

    assert (library.names(plan), library.held(plan)) == ([], {"IMG.CR3": "changed", "b.jpg": "changed"})
    assert "IMG.jpg came to it" in plan.held_back[0].detail


def test_a_raw_with_a_score_of_its_own_stays_with_its_jpeg(library: Library) -> None:
    library.score({"IMG.CR3": 10, "IMG.jpg": 60}, pairs="each")
    plan = library.plan()
    assert (library.names(plan), library.held(plan)) == ([], {"IMG.CR3": "shot"})

    library.score({"IMG.CR3": 10, "IMG.jpg": 40}, pairs="each")
    plan = library.plan()
    assert [[file.name for file in shot.files] for shot in plan.shots] == [["IMG.jpg", "IMG.CR3"]]
    assert (plan.shots[0].score, plan.folder_sizes) == (40, {str(library.folder): 1})


# --- protection ----------------------------------------------------------------------------------------------------


def test_what_is_marked_keep_stays(library: Library) -> None:
    library.score({"a.jpg": 10, "b.jpg": 20})
    library.mark("a.jpg", "keep")

    assert library.held(library.plan()) == {"a.jpg": "keep"}
    assert library.names(library.plan(no_protect=["keep"])) == ["a.jpg", "b.jpg"]


def test_a_raw_that_was_marked_keep_before_its_jpeg_came_keeps_the_shot(library: Library) -> None:
    library.score({"IMG.CR3": 10})
    library.mark("IMG.CR3", "keep")
    library.score({"IMG.jpg": 10})
    known = library.catalog.known_in(str(library.folder), library.scoring)
    library.catalog.unlist([known["IMG.CR3"].photo_id])  # as the next scan does

    assert library.held(library.plan()) == {"IMG.jpg": "keep"}


@pytest.mark.parametrize("sidecar", ["IMG.xmp", "IMG.jpg.xmp", "IMG.CR3.xmp"])
def test_stars_given_after_the_scoring_protect(library: Library, sidecar: str) -> None:
    library.write("IMG.CR3")
    library.score({"IMG.jpg": 10, "b.jpg": 20})
    library.write(sidecar, data=STARS)

    plan = library.plan()

    assert (library.names(plan), library.held(plan)) == (["b.jpg"], {"IMG.jpg": "rating"})
    assert plan.held_back[0].detail == f"3 stars in {sidecar}"
    assert library.names(library.plan(no_protect=["rating"])) == ["IMG.jpg", "b.jpg"]


def test_stars_protect_every_picture_that_they_may_be_meant_for(library: Library) -> None:
    library.score({"IMG.jpg": 10, "IMG.png": 20, "b.jpg": 30})
    library.write("IMG.xmp", data=STARS)

    assert library.held(library.plan()) == {"IMG.jpg": "rating", "IMG.png": "rating"}


def test_stars_of_a_raw_that_is_gone_protect_its_jpeg(library: Library) -> None:
    library.score({"IMG.jpg": 10, "b.jpg": 20})
    library.write("IMG.NEF.xmp", data=STARS)

    assert library.held(library.plan()) == {"IMG.jpg": "rating"}


def test_stars_inside_the_raw_protect_its_jpeg(library: Library) -> None:
    library.write("IMG.DNG", data=STARS)
    library.score({"IMG.jpg": 10})

    assert library.held(library.plan()) == {"IMG.jpg": "rating"}


def test_develop_settings_of_another_program_protect(library: Library) -> None:
    library.write("IMG.jpg.pp3", data=b"[Version]\n")
    library.score({"IMG.jpg": 10})

    assert library.held(library.plan()) == {"IMG.jpg": "develop"}


def set_work(library: Library, text: str | None) -> None:
    library.catalog._db.execute("UPDATE contents SET user_work = ?", (text,))


@pytest.mark.parametrize(
    ("text", "rule", "detail"),
    [
        ('{"rating": "2 stars"}', "rating", "2 stars"),
        ('{"develop": "cropped", "label": "label Red", "rating": "1 star"}', "rating", "1 star"),
        ('{"label": "label Red"}', "label", "label Red"),
        ("nonsense", "unreadable", "the catalog's note of it is damaged"),
        ("[1]", "unreadable", "the catalog's note of it is damaged"),
    ],
)
def test_work_that_was_found_while_scoring_protects(library: Library, text: str, rule: str, detail: str) -> None:
    library.score({"a.jpg": 10})
    set_work(library, text)

    (held,) = library.plan().held_back

    assert (held.rule, held.detail, held.score) == (rule, detail, 10)


def test_work_that_nobody_looked_for_is_looked_for(library: Library) -> None:
    library.write("a.jpg", data=STARS)
    library.score({"a.jpg": 10})
    set_work(library, None)
    assert library.held(library.plan()) == {"a.jpg": "rating"}

    set_work(library, "{}")
    assert library.names(library.plan()) == ["a.jpg"]


def test_turning_off_one_rule_leaves_the_others(library: Library) -> None:
    library.score({"a.jpg": 10})
    set_work(library, '{"rating": "2 stars", "label": "label Red"}')

    assert library.held(library.plan(no_protect=["rating"])) == {"a.jpg": "label"}
    assert library.names(library.plan(no_protect=["rating", "label"])) == ["a.jpg"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("stars", "give one of keep, rating, label, pick, develop, unreadable, failed"),
        ("changed", "always holds, because its score is of another picture"),
        ("not-finite", "always holds"),
    ],
)
def test_other_rules_cannot_be_turned_off(library: Library, rule: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        library.plan(no_protect=[rule])


# --- reject --------------------------------------------------------------------------------------------------------


def test_what_is_marked_reject_goes_whatever_its_score_and_its_stars(library: Library) -> None:
    library.write("b.xmp", data=STARS)
    library.score({"a.jpg": 10, "b.jpg": 99, "c.jpg": 80})
    library.mark("b.jpg", "reject")

    assert [(shot.score, shot.why) for shot in library.plan().shots] == [(10, "score below 50"), (99, "marked reject")]
    only = library.plan(Choice())
    assert (library.names(only), only.chosen) == (["b.jpg"], "what is marked reject")
    assert library.names(library.plan(library.listed("a.jpg"))) == ["a.jpg"]
    assert library.names(library.plan(library.listed("b.jpg"))) == ["b.jpg"]


def test_a_reject_that_has_changed_since_stays(library: Library) -> None:
    library.score({"a.jpg": 80})
    library.mark("a.jpg", "reject")
    library.write("a.jpg", data=b"another picture")

    assert library.held(library.plan(Choice())) == {"a.jpg": "changed"}


def test_a_reject_without_a_score_goes_too(library: Library) -> None:
    library.score({"a.jpg": FailureKind.NOT_FINITE, "b.jpg": 10})
    library.mark("a.jpg", "reject")

    assert [(shot.score, shot.percentile) for shot in library.plan(Choice()).shots] == [(None, None)]


# --- doubts --------------------------------------------------------------------------------------------------------


def test_a_changed_photo_stays(library: Library) -> None:
    library.score({"bigger.jpg": 1, "later.jpg": 1, "other.jpg": 1, "same.jpg": 1})
    library.write("bigger.jpg", data=b"much larger than before")
    info = (library.folder / "later.jpg").stat()
    os.utime(library.folder / "later.jpg", ns=(info.st_atime_ns, info.st_mtime_ns + 1))
    info = (library.folder / "other.jpg").stat()
    library.write("new", data=(library.folder / "other.jpg").read_bytes())
    os.replace(library.folder / "new", library.folder / "other.jpg")
    os.utime(library.folder / "other.jpg", ns=(info.st_atime_ns, info.st_mtime_ns))

    plan = library.plan()

    assert library.names(plan) == ["same.jpg"]
    assert plan.held_back_by == {"changed": 3}


def test_what_is_gone_or_no_regular_file_stays_out(library: Library) -> None:
    library.score({"fifo.jpg": 1, "gone.jpg": 1, "link.jpg": 1, "z.jpg": 1, "away/b.jpg": 1})
    for name in ("fifo.jpg", "gone.jpg", "link.jpg", "away/b.jpg"):
        (library.folder / name).unlink()
    (library.folder / "link.jpg").symlink_to("z.jpg")
    os.mkfifo(library.folder / "fifo.jpg")
    (library.folder / "away").rmdir()

    plan = library.plan()

    assert library.names(plan) == ["z.jpg"]
    assert {os.path.basename(held.path): held.detail for held in plan.held_back} == {
        "b.jpg": "its folder cannot be listed: No such file or directory",
        "fifo.jpg": "it is no regular file now",
        "gone.jpg": "No such file or directory",
        "link.jpg": "it is a symbolic link now",
    }
    assert plan.held_back_by == {"gone": 4}


def test_a_score_that_is_no_number_neither_goes_nor_disturbs(library: Library) -> None:
    library.score({"a.jpg": 10, "b.jpg": 20, "inf.jpg": -math.inf})

    plan = library.plan(Choice(bottom_percent=50))
    listed = library.plan(library.listed("inf.jpg"))

    assert (library.names(plan), plan.considered, plan.shots[0].percentile) == (["a.jpg"], 2, 25)
    assert library.held(listed) == {"inf.jpg": "not-finite"}


def test_a_failed_photo_is_never_chosen_by_score_and_from_a_list_only_on_demand(library: Library) -> None:
    library.score({"bad.jpg": FailureKind.CORRUPT, "nan.jpg": FailureKind.NOT_FINITE, "a.jpg": 10})
    assert library.names(library.plan(Choice(bottom_percent=100))) == ["a.jpg"]

    both = library.listed("bad.jpg", "nan.jpg")
    assert library.held(library.plan(both)) == {"bad.jpg": "failed", "nan.jpg": "not-finite"}
    plan = library.plan(both, no_protect=["failed"])
    assert [(shot.path, shot.score) for shot in plan.shots] == [(library.path("bad.jpg"), None)]
    assert library.held(plan) == {"nan.jpg": "not-finite"}


def test_a_photo_that_failed_for_the_moment_is_unknown_ground(library: Library) -> None:
    library.score({"away.jpg": FailureKind.UNREADABLE})

    assert library.held(library.plan(library.listed("away.jpg"), no_protect=["failed"])) == {"away.jpg": "changed"}


# --- lists ---------------------------------------------------------------------------------------------------------


def test_a_list_takes_just_what_is_on_it(library: Library) -> None:
    library.write("c.CR3", "new.jpg")
    library.score({"a.jpg": 99, "b.jpg": 1, "c.jpg": 50})
    (library.folder / "link.jpg").symlink_to("b.jpg")

    plan = library.plan(library.listed("a.jpg", "c.CR3", "c.jpg", "a.jpg", "new.jpg", "link.jpg", "gone.jpg"))

    assert library.names(plan) == ["a.jpg", "c.jpg"]
    assert library.held(plan) == {"gone.jpg": "unknown", "link.jpg": "unknown", "new.jpg": "unknown"}
    assert (plan.chosen, {shot.why for shot in plan.shots}) == ("the list given", {"on the list"})


def test_a_photo_that_this_model_has_not_scored_is_unknown(library: Library) -> None:
    library.score({"a.jpg": 10})
    library.scoring = library.catalog.scoring(library.info, "exact-1.1-float32")

    assert library.held(library.plan(library.listed("a.jpg"))) == {"a.jpg": "unknown"}


# --- one file under several names -----------------------------------------------------------------------------------


def link(library: Library, first: str, second: str) -> None:
    """Give one file two names, both of which the catalog lists, as after two scans of two folders."""
    (library.folder / second).parent.mkdir(parents=True, exist_ok=True)
    os.link(library.folder / first, library.folder / second)
    [photo] = Scan([library.path(second)])
    library.catalog.store([Outcome(photo, prepared(photo, f"{photo.inode}"), None, None)], library.scoring)


def test_a_file_with_two_names_goes_under_one(library: Library) -> None:
    library.score({"x/a.jpg": 10})
    link(library, "x/a.jpg", "x/b.jpg")
    link(library, "x/a.jpg", "y/c.jpg")

    plan = library.plan()

    assert library.names(plan) == ["x/a.jpg"]
    assert library.held(plan) == {"x/b.jpg": "hard-link", "y/c.jpg": "hard-link"}


def test_a_file_stays_if_it_was_not_chosen_under_its_other_name(library: Library) -> None:
    library.score({"x/a.jpg": 10, "x/b.jpg": 60, "y/c.jpg": 5})
    link(library, "x/a.jpg", "y/d.jpg")

    plan = library.plan(Choice(bottom_count=1))

    assert (library.names(plan), library.held(plan)) == (["y/c.jpg"], {"x/a.jpg": "hard-link"})
    assert "y/d.jpg, which stays" in plan.held_back[0].detail


def test_a_file_stays_if_it_is_protected_under_its_other_name(library: Library) -> None:
    library.score({"x/a.jpg": 10})
    link(library, "x/a.jpg", "y/b.jpg")
    library.write("y/b.xmp", data=STARS)

    assert library.held(library.plan()) == {"x/a.jpg": "hard-link", "y/b.jpg": "rating"}


# --- checking a plan again -------------------------------------------------------------------------------------------


def rechecked(library: Library, plan: CullPlan, **options: Any) -> dict[str, str]:
    again = recheck(library.catalog, plan, **options)
    assert set(again.shots) <= set(plan.shots)
    return {os.path.relpath(held.path, library.folder): held.rule for held in again.held_back}


def test_a_plan_that_still_holds_is_the_same_plan(library: Library) -> None:
    library.write("b.CR3", "b.aae")
    library.score({"a.jpg": 10, "b.jpg": 20, "c.jpg": 90, "d.jpg": FailureKind.CORRUPT})
    library.mark("c.jpg", "reject")

    plan = library.plan()
    assert recheck(library.catalog, plan) == plan
    listed = library.plan(library.listed("d.jpg"), no_protect=["failed"])
    assert (recheck(library.catalog, listed), len(listed.shots)) == (listed, 1)


def test_a_plan_never_grows(library: Library) -> None:
    library.score({"a.jpg": 10, "b.jpg": 80})
    plan = library.plan()
    library.score({"new.jpg": 1})
    library.mark("b.jpg", "reject")

    assert recheck(library.catalog, plan).shots == plan.shots


def test_what_changed_since_the_plan_is_dropped(library: Library) -> None:
    names = ("came", "changed", "gone", "link", "same", "sidecar", "sidecar-gone", "raw", "whole")
    library.write("sidecar.aae", "sidecar-gone.aae", "raw.CR3")
    library.score({f"{name}.jpg": 10 for name in names})
    plan = library.plan()
    assert len(plan.shots) == len(names)

    library.write("came.aae")
    library.write("changed.jpg", "sidecar.aae", "raw.CR3", data=b"something else")
    for name in ("gone.jpg", "link.jpg", "sidecar-gone.aae"):
        (library.folder / name).unlink()
    (library.folder / "link.jpg").symlink_to("same.jpg")
    library.write("whole.CR3")

    assert rechecked(library, plan) == {
        "came.jpg": "changed",
        "changed.jpg": "changed",
        "gone.jpg": "gone",
        "link.jpg": "gone",
        "raw.jpg": "changed",
        "sidecar.jpg": "changed",
        "sidecar-gone.jpg": "changed",
        "whole.jpg": "changed",
    }


def test_what_was_protected_since_the_plan_is_dropped(library: Library) -> None:
    library.write("b.xmp", data=NO_STARS)
    library.score({"a.jpg": 10, "b.jpg": 20, "c.jpg": 90, "d.jpg": 30})
    library.mark("c.jpg", "reject")
    plan = library.plan()
    library.mark("a.jpg", "keep")
    library.write("b.xmp", data=STARS)
    library.mark("c.jpg", None)

    assert rechecked(library, plan) == {"a.jpg": "keep", "b.jpg": "rating", "c.jpg": "changed"}
    assert rechecked(library, plan, no_protect=["keep"])["b.jpg"] == "rating"


def test_a_plan_can_be_checked_without_the_catalog_that_made_it(library: Library, tmp_path: Path) -> None:
    library.write("b.jpg", data=STARS)
    library.score({"a.jpg": 10, "b.jpg": 20})
    set_work(library, "{}")
    plan = library.plan()

    with Catalog(tmp_path / "new.db") as empty:
        again = recheck(empty, plan)

    assert [held.rule for held in again.held_back] == ["rating"]
    assert again.shots == plan.shots[:1]


# --- limits -----------------------------------------------------------------------------------------------------------


def test_more_than_half_of_a_folder_is_too_much(library: Library) -> None:
    library.score({"x/a.jpg": 10, "x/b.jpg": 80, "y/a.jpg": 10, "y/b.jpg": 20, "y/c.jpg": FailureKind.CORRUPT})

    assert over_limits(library.plan()) == f"2 of the 3 photos in {library.path('y')} would go, more than 50%"
    assert over_limits(library.plan(Choice(bottom_count=1))) is None
    assert over_limits(library.plan(Choice(bottom_count=1)), photos=1) == "2 photos would go, more than 1"
    assert over_limits(library.plan(Choice(below=1))) is None


def test_a_folder_of_unknown_size_counts_as_taken_whole(library: Library) -> None:
    library.score({"x/a.jpg": 10, "x/b.jpg": 80})

    assert over_limits(replace(library.plan(), folder_sizes={}))

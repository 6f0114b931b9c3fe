"""Keep and reject: decisions about pictures, that stay with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import prepared

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scope, Scoring
from rali.culling.marks import mark_photos
from rali.errors import FailureKind
from rali.model.bundle import read_info
from rali.photos.scan import Scan
from rali.prepare import Failure


@pytest.fixture
def catalog(own_world: Path) -> Iterator[Catalog]:
    with Catalog(own_world / "catalog.db") as opened:
        yield opened


@pytest.fixture
def scoring(catalog: Catalog, tiny_bundle: Path) -> Scoring:
    return catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")


@pytest.fixture
def photos(tmp_path: Path, catalog: Catalog, scoring: Scoring) -> Path:
    """Three scored photos, of which two are copies, and one that failed."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "a.CR3", "a.xmp", "b.jpg", "copy of b.jpg", "broken.jpg"):
        (folder / name).write_text("b" if "b.jpg" in name else name)
    catalog.store(
        [
            Outcome(photo, failure=Failure(FailureKind.CORRUPT, "it is broken"))
            if "broken" in photo.file
            else Outcome(photo, prepared(photo, Path(photo.file).read_text()), 50.0, b"\0\0")
            for photo in Scan([str(folder)])
        ],
        scoring,
    )
    return folder


def marks(catalog: Catalog, scoring: Scoring) -> dict[str, str]:
    return {photo.name: photo.mark for photo in catalog.candidates(scoring, Scope()) if photo.mark}


def test_a_photo_and_all_its_copies_are_marked(photos: Path, catalog: Catalog, scoring: Scoring) -> None:
    result = mark_photos(catalog, [photos / "b.jpg"], "keep")

    assert (result.marked, result.refused) == ((str(photos / "b.jpg"),), ())
    assert marks(catalog, scoring) == {"b.jpg": "keep", "copy of b.jpg": "keep"}
    assert catalog.marked("keep") == {str(photos / "b.jpg"), str(photos / "copy of b.jpg")}


def test_the_last_mark_wins_and_can_be_taken_back(
    photos: Path, catalog: Catalog, scoring: Scoring, rows: Callable[..., list[tuple[Any, ...]]]
) -> None:
    mark_photos(catalog, [photos / "a.jpg"], "keep")
    mark_photos(catalog, [photos / "a.jpg"], "reject")
    assert marks(catalog, scoring) == {"a.jpg": "reject"}
    assert rows("SELECT mark FROM marks") == [("reject",)]

    assert mark_photos(catalog, [photos / "a.jpg"], None).marked == (str(photos / "a.jpg"),)
    assert rows("SELECT count(*) FROM marks") == [(0,)]
    assert mark_photos(catalog, [photos / "a.jpg"], None).refused == ()


@pytest.mark.parametrize("companion", ["a.CR3", "a.xmp"])
def test_a_companion_stands_for_its_photo(photos: Path, catalog: Catalog, scoring: Scoring, companion: str) -> None:
    result = mark_photos(catalog, [photos / companion, photos / "a.jpg"], "keep")

    assert result.marked == (str(photos / "a.jpg"),)
    assert marks(catalog, scoring) == {"a.jpg": "keep"}


def test_a_mark_survives_a_rename(photos: Path, catalog: Catalog, scoring: Scoring) -> None:
    mark_photos(catalog, [photos / "a.jpg"], "keep")
    (photos / "a.jpg").rename(photos / "renamed.jpg")
    catalog.adopt(Scan([str(photos / "renamed.jpg")]))

    assert marks(catalog, scoring) == {"renamed.jpg": "keep"}


def test_a_mark_does_not_pass_to_another_picture_of_the_same_name(
    photos: Path, catalog: Catalog, scoring: Scoring
) -> None:
    mark_photos(catalog, [photos / "a.jpg"], "keep")
    (photos / "a.jpg").write_text("another picture")
    [photo] = Scan([str(photos / "a.jpg")])
    catalog.store([Outcome(photo, prepared(photo, "another picture"), 50.0, b"\0\0")], scoring)

    assert marks(catalog, scoring) == {}


def test_what_cannot_be_marked_is_refused_with_a_reason_and_the_others_go_through(
    photos: Path, catalog: Catalog, scoring: Scoring
) -> None:
    (photos / "b.jpg").write_text("edited since")
    (photos / "new.jpg").write_text("new")
    (photos / "new.txt").write_text("no photo")
    given = [photos / name for name in ("b.jpg", "new.jpg", "new.txt", "gone.jpg", "broken.jpg", "", "a.jpg")]

    result = mark_photos(catalog, given, "keep")

    assert result.marked == (str(photos / "a.jpg"),)
    reasons = {os.path.basename(path): reason for path, reason in result.refused}
    assert reasons == {
        "b.jpg": f"{photos}/b.jpg has changed since it was scored; run: rali score {photos}/b.jpg",
        "new.jpg": f"{photos}/new.jpg has not been scored, so it is not in the catalog: wait until rali watch has "
        f"scored it, or run: rali score {photos}/new.jpg",
        "new.txt": f"{photos}/new.txt belongs to no photo that was scored: give the photo itself",
        "gone.jpg": f"{photos}/gone.jpg: No such file or directory. "
        "Check the spelling, and that the drive is connected",
        "broken.jpg": f"{photos}/broken.jpg could not be decoded, so there is no picture to mark; "
        f"run: rali score --retry-failed {photos}/broken.jpg",
        "photos": f"{photos} is a folder: give the photos in it",
    }


def test_a_relative_path_and_a_link_mean_the_photo_they_lead_to(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos.parent / "selection").mkdir()
    (photos.parent / "selection" / "best.jpg").symlink_to(photos / "a.jpg")
    monkeypatch.chdir(photos)

    assert mark_photos(catalog, ["../selection/best.jpg", "./a.jpg"], "keep").marked == (str(photos / "a.jpg"),)


def test_a_photo_that_was_forgotten_is_refused(photos: Path, catalog: Catalog) -> None:
    catalog.forget(Scope([str(photos)]))

    assert "is not in the catalog" in mark_photos(catalog, [photos / "a.jpg"], "keep").refused[0].reason

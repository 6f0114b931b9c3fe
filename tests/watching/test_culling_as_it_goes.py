"""Culling while watching: after a grace, under every rule of a cull, and never what its owner saved meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import write_black, write_jpeg
from PIL import ExifTags, Image

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.culling.marks import mark_photos
from rali.errors import UnsafeError, UsageError
from rali.moving.runs import find_run, undo
from rali.pipeline import score_photos
from rali.watching.events import Culled, Held, Renamed, Scored

if TYPE_CHECKING:
    from conftest import Running

Watch = Callable[..., "Running"]

STARS = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"/></rdf:RDF></x:xmpmeta>"""
# Black photos score 0, the others about 50.
BELOW = 20.0


def culled(run: Running) -> set[str]:
    return {os.path.basename(path) for event in run.of(Culled) for path in event.paths}


def held(run: Running) -> dict[str, str]:
    return {os.path.basename(event.path): event.rule for event in run.of(Held)}


def test_what_scores_too_low_goes_after_the_grace_and_comes_back_by_undo(
    watch: Watch, folder: Path, settings: Settings
) -> None:
    write_black(folder / "old.jpg")
    watch(once=True).join()  # it had its score before anybody asked for a cull
    run = watch(below=BELOW, grace_s=0.6).until_caught_up()
    write_black(folder / "dark.jpg")
    shutil.copyfile(folder / "dark.jpg", folder / "copy.jpg")
    write_jpeg(folder / "good.jpg", 1)
    run.until(lambda run: len(run.of(Scored)) == 3)
    assert {path.name for path in folder.iterdir()} == {"old.jpg", "dark.jpg", "copy.jpg", "good.jpg"}

    run.until(lambda run: culled(run) == {"dark.jpg", "copy.jpg"})

    assert {path.name for path in folder.iterdir()} == {"old.jpg", "good.jpg"}
    assert held(run) == {}
    (event,) = run.of(Culled)
    with Catalog(settings.db) as catalog:
        undo(catalog, find_run(catalog, event.run))
    run.until(lambda run: (folder / "dark.jpg").exists())
    run.settle()
    assert run.session is not None
    assert run.session.read == {"dark.jpg": 1, "copy.jpg": 1, "good.jpg": 1}  # our own moves cause no work
    assert culled(run) == {"dark.jpg", "copy.jpg"}
    assert len(run.of(Scored)) == 3
    assert len(run.of(Renamed)) == 0


def test_a_mark_a_rating_and_an_edit_save_a_photo(watch: Watch, folder: Path, settings: Settings) -> None:
    run = watch(below=BELOW, grace_s=1.0).until_caught_up()
    for name in ("kept.jpg", "rated.jpg", "edited.jpg", "gone.jpg", "doomed.jpg"):
        write_black(folder / name)
        with (folder / name).open("ab") as file:
            file.write(name.encode())  # each a content of its own
    run.until(lambda run: len(run.of(Scored)) == 5)
    with Catalog(settings.db) as catalog:
        assert not mark_photos(catalog, [folder / "kept.jpg"], "keep").refused
    (folder / "rated.xmp").write_bytes(STARS)
    with (folder / "edited.jpg").open("ab") as file:  # as dark as before: it is the edit that counts
        file.write(b"cropped")
    (folder / "gone.jpg").unlink()

    run.until(lambda run: culled(run) == {"doomed.jpg"})
    run.settle()

    assert held(run) == {"kept.jpg": "keep", "rated.jpg": "rating"}
    assert {path.name for path in folder.iterdir()} == {"kept.jpg", "rated.jpg", "rated.xmp", "edited.jpg"}
    assert culled(run) == {"doomed.jpg"}


def test_a_photo_that_is_replaced_by_a_better_one_stays(watch: Watch, folder: Path) -> None:
    run = watch(below=BELOW, grace_s=0.4).until_caught_up()
    write_black(folder / "a.jpg")
    run.until(lambda run: len(run.of(Scored)) == 1)
    write_jpeg(folder / "a.jpg", 1)
    run.until(lambda run: len(run.of(Scored)) == 2)
    run.settle()

    assert (culled(run), held(run)) == (set(), {})


def test_a_photo_that_is_listed_under_another_name_too_stays(watch: Watch, folder: Path, settings: Settings) -> None:
    run = watch(below=BELOW, grace_s=1.0).until_caught_up()
    write_black(folder / "a.jpg")
    run.until(lambda run: len(run.of(Scored)) == 1)
    (folder.parent / "album").mkdir()
    os.link(folder / "a.jpg", folder.parent / "album" / "best.jpg")
    with Catalog(settings.db) as catalog:
        score_photos([folder.parent / "album"], catalog, settings)

    run.until(lambda run: held(run) == {"a.jpg": "hard-link"})

    assert (folder / "a.jpg").exists()


def write_frame(path: Path, seed: int | None, taken: str, bias_ev: int) -> None:
    """Write a frame with its time and exposure bias; without a seed it is black."""
    write_black(path) if seed is None else write_jpeg(path, seed)
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.DateTimeOriginal: taken, ExifTags.Base.ExposureBiasValue: float(bias_ev)}
    )
    with Image.open(path) as image:
        image.load()
    image.save(path, "JPEG", exif=exif)


@pytest.mark.parametrize("day", ["2026:05:01", "0001:01:01", "9999:12:31"])
def test_the_dark_frame_of_a_bracket_stays_and_one_by_itself_goes(watch: Watch, folder: Path, day: str) -> None:
    run = watch(below=BELOW, grace_s=1.0).until_caught_up()
    for number, (seed, bias_ev) in enumerate([(1, 0), (None, -2), (2, 2)]):
        write_frame(folder / f"bracket{number}.jpg", seed, f"{day} 00:00:0{number + 1}", bias_ev)
    write_frame(folder / "alone.jpg", None, f"{day} 23:59:59", 0)
    write_black(folder / "timeless.jpg")

    run.until(lambda run: len(culled(run)) == 2 and len(run.of(Held)) == 1)

    assert culled(run) == {"alone.jpg", "timeless.jpg"}
    assert held(run) == {"bracket1.jpg": "group"}


def test_a_bracket_within_one_second_is_known_by_the_clock_of_its_shoot(watch: Watch, folder: Path) -> None:
    for number in range(12):  # which tell that the camera's clock counts seconds
        write_frame(folder / f"other{number}.jpg", 50 + number, f"2026:05:01 1{number % 8}:20:{number + 13}", 0)
    run = watch(below=BELOW, grace_s=1.0).until_caught_up()
    for number, (seed, bias_ev) in enumerate([(1, 0), (None, -2), (2, 2)]):
        write_frame(folder / f"bracket{number}.jpg", seed, "2026:05:01 12:00:00", bias_ev)

    run.until(lambda run: culled(run) or run.of(Held))

    assert culled(run) == set()
    assert held(run) == {"bracket1.jpg": "group"}


def test_a_bracket_that_scores_too_low_as_a_whole_goes(watch: Watch, folder: Path) -> None:
    run = watch(below=BELOW, grace_s=1.0).until_caught_up()
    for number, bias_ev in enumerate((0, -2, 2)):
        write_frame(folder / f"{number}.jpg", None, f"2026:05:01 12:00:0{number}", bias_ev)

    run.until(lambda run: len(culled(run)) == 3)

    assert held(run) == {}


def test_a_rule_that_is_turned_off_takes_a_bracket_apart(watch: Watch, folder: Path) -> None:
    run = watch(below=BELOW, grace_s=1.0, no_protect=("group",)).until_caught_up()
    for number, (seed, bias_ev) in enumerate([(1, 0), (None, -2), (2, 2)]):
        write_frame(folder / f"{number}.jpg", seed, f"2026:05:01 12:00:0{number}", bias_ev)

    run.until(lambda run: culled(run) == {"1.jpg"})


def test_nothing_is_culled_when_the_watch_ends_early(watch: Watch, folder: Path) -> None:
    run = watch(below=BELOW, grace_s=60.0).until_caught_up()
    write_black(folder / "dark.jpg")
    run.until(lambda run: len(run.of(Scored)) == 1)

    run.stop()

    assert (folder / "dark.jpg").exists()
    assert run.notices == ["1 photos that scored too low were not culled: their time had not come"]


def test_photos_that_were_there_before_stay_and_are_told_of(watch: Watch, folder: Path) -> None:
    for name in ("old.jpg", "older.jpg"):
        write_black(folder / name)
    run = watch(below=BELOW, grace_s=0.2).until_caught_up()
    write_black(folder / "new.jpg")

    run.until(lambda run: culled(run) == {"new.jpg"})
    run.settle()

    assert (culled(run), held(run)) == ({"new.jpg"}, {})
    assert run.notices == [
        f"2 photos that were there before score below 20; they stay. To cull them: rali cull {folder} --below 20"
    ]


def test_an_old_photo_that_is_renamed_before_its_turn_is_still_an_old_one(watch: Watch, folder: Path) -> None:
    write_black(folder / "old.jpg")
    run = watch(below=BELOW, grace_s=0.2, settle_s=0.6).until_caught_up()
    (folder / "old.jpg").rename(folder / "renamed.jpg")

    run.until(lambda run: run.names() == {"renamed.jpg": 1})
    run.settle()

    assert (folder / "renamed.jpg").exists()
    assert culled(run) == set()


def test_an_old_photo_that_is_saved_again_unchanged_stays(watch: Watch, folder: Path) -> None:
    write_black(folder / "old.jpg")
    watch(once=True).join()
    run = watch(below=BELOW, grace_s=0.2).until_caught_up()
    shutil.copyfile(folder / "old.jpg", folder / ".new").replace(folder / "old.jpg")

    run.until(lambda run: run.names() == {"old.jpg": 1})
    run.settle()

    assert (folder / "old.jpg").exists()


def test_what_a_drive_brings_along_when_it_is_back_stays(watch: Watch, folder: Path) -> None:
    write_jpeg(folder / "good.jpg", 1)
    run = watch(below=BELOW, grace_s=0.2, rescan_s=0.3).until_caught_up()
    run.until(lambda run: run.idle)
    folder.rename(folder.with_name("drive"))
    run.until(lambda run: any("waiting for it" in notice for notice in run.notices))
    write_black(folder.with_name("drive") / "dark.jpg")
    folder.with_name("drive").rename(folder)

    run.until(lambda run: run.names()["dark.jpg"])
    run.settle()

    assert (folder / "dark.jpg").exists()
    assert culled(run) == set()


def test_once_culls_no_larger_a_share_than_rali_cull_would(watch: Watch, folder: Path) -> None:
    for number in range(3):
        write_black(folder / f"{number}.jpg")
    write_jpeg(folder / "good.jpg", 1)

    run = watch(once=True, below=BELOW, grace_s=0.2)

    with pytest.raises(UnsafeError, match=r"3 of the 4 photos .* nothing was moved\. To look at them: rali cull"):
        run.join()
    assert len(list(folder.iterdir())) == 4
    assert run.names().total() == 4


def test_once_waits_for_the_graces(watch: Watch, folder: Path) -> None:
    write_black(folder / "dark.jpg")
    write_jpeg(folder / "good.jpg", 1)

    run = watch(once=True, below=BELOW, grace_s=0.4)
    run.join()

    assert culled(run) == {"dark.jpg"}


def test_a_quarantine_of_ones_own_in_the_root_is_not_watched(watch: Watch, folder: Path) -> None:
    run = watch(below=BELOW, grace_s=0.2, to=folder / "rejects").until_caught_up()
    write_black(folder / "dark.jpg")
    write_jpeg(folder / "good.jpg", 1)

    run.until(lambda run: culled(run) == {"dark.jpg"})
    run.settle()

    assert run.session is not None
    assert run.session.read == {"dark.jpg": 1, "good.jpg": 1}
    assert len(list((folder / "rejects").rglob("dark.jpg"))) == 1


@pytest.mark.parametrize("wrong", [{"below": float("nan")}, {"below": 10, "no_protect": ["changed"]}])
def test_a_bound_or_rule_that_makes_no_sense_is_refused(watch: Watch, wrong: dict[str, Any]) -> None:
    run = watch(**wrong)

    with pytest.raises(UsageError):
        run.join()

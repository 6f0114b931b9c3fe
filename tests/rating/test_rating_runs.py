"""Ratings on disk: written whole or not at all, taken back to the byte, and repaired after a kill at any step."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sidecars
from faults import FaultyNoLinksFs, NoLinksFs, dies_at, fails_at, kill_everywhere, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rali.catalog.catalog import Catalog
from rali.catalog.rating_journal import RatingJournal
from rali.moving.moves import Fs
from rali.photos.user_work import file_work
from rali.photos.xmp_document import XmpDocument
from rali.rating.grading import Grading, Wishes
from rali.rating.plan import RatingPlan
from rali.rating.recovery import recover_ratings
from rali.rating.runs import apply_rating, find_rating, undo_rating

MakePhoto = Callable[[str, float], Path]
MakePlan = Callable[..., RatingPlan]
FIFTHS = Grading("threshold", (20.0, 40.0, 60.0, 80.0))
LABELLED = Wishes(FIFTHS, labels={3: "Yellow"}, picks=frozenset({3}))


@pytest.fixture
def folder(photo: MakePhoto, tmp_path: Path) -> Path:
    """Make three photos: one with Lightroom's sidecar, one with darktable's, one with none."""
    lightroom = photo("a.jpg", 45).with_suffix(".xmp")
    lightroom.write_bytes(sidecars.LIGHTROOM.encode())
    lightroom.chmod(0o640)
    os.utime(lightroom, ns=(10**18, 10**18))
    photo("b.jpg", 55).with_suffix(".jpg.xmp").write_bytes(
        b"\xff\xfe" + sidecars.DARKTABLE.replace("UTF-8", "UTF-16").encode("utf-16-le")
    )
    photo("c.jpg", 75)
    return tmp_path / "photos"


def test_stars_are_written_and_taken_back_to_the_byte(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    before = tree(folder)

    rated = apply_rating(catalog, plan(LABELLED))

    assert (rated.carried.files, rated.carried.refused) == (3, [])
    assert sorted(set(tree(folder)) - set(before)) == ["c.jpg.xmp"]
    assert (folder / "a.xmp").stat().st_mode & 0o777 == 0o640
    assert (folder / "a.xmp").stat().st_mtime_ns > 10**18
    assert plan(LABELLED).unchanged == 3

    run = find_rating(catalog, None)
    assert run is not None
    undone = undo_rating(catalog, run)

    assert (undone.carried.files, undone.carried.refused) == (3, [])
    assert tree(folder) == before
    assert (folder / "a.xmp").stat().st_mode & 0o777 == 0o640
    assert undone.run is not None
    assert undone.run.undone
    assert find_rating(catalog, None) is None


def test_other_programs_read_what_is_written(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    apply_rating(catalog, plan(LABELLED))

    for name in ("a.xmp", "c.jpg.xmp"):  # exiv2 reads no UTF-16
        assert sidecars.exiv2(folder / name)["Xmp.xmp.Rating"] == ["3" if name == "a.xmp" else "4"]
    for name, stars in (("a.xmp", 3), ("b.jpg.xmp", 3), ("c.jpg.xmp", 4)):
        read = sidecars.exiftool(folder / name)
        label = None if stars == 4 else "Yellow"
        assert (read["XMP-xmp:Rating"], read.get("XMP-xmp:Label")) == (stars, label)


def test_stars_of_ralis_own_protect_nothing_and_are_kept_up_to_date(
    catalog: Catalog, folder: Path, plan: MakePlan
) -> None:
    apply_rating(catalog, plan(LABELLED))
    assert [dict(file_work(str(path))) for path in sorted(folder.glob("*.xmp"))] == [{}, {}, {}]

    other = Wishes(Grading("threshold", (1.0, 2.0, 3.0, 4.0)), labels={4: "Blue"}, picks=frozenset({1}))
    apply_rating(catalog, plan(other))

    document = XmpDocument.read((folder / "a.xmp").read_bytes())
    said = {prop.name: document.value(prop) for prop in plan(LABELLED).sidecars[0].properties}
    assert (said["Rating"], said["Label"], said["pick"]) == ("5", None, None)


def test_stars_that_the_user_changed_are_the_users(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    apply_rating(catalog, plan())
    for name, stars in (("a.xmp", "5"), ("c.jpg.xmp", "0")):
        path = folder / name
        path.write_bytes(
            path.read_bytes()
            .replace(b'xmp:Rating="3"', b'xmp:Rating="5"')
            .replace(b'xmp:Rating="4"', b'xmp:Rating="0"')
        )
        assert f'xmp:Rating="{stars}"' in path.read_text()

    again = plan(Wishes(Grading("threshold", (1.0, 2.0, 3.0, 4.0))))

    assert file_work(str(folder / "a.xmp")) == {"rating": "5 stars"}
    assert [os.path.basename(one.path) for one in again.sidecars] == ["b.jpg.xmp"]
    assert [kept.detail for kept in again.kept] == ["5 stars in a.xmp", "rating 0 in c.jpg.xmp"]


def test_undo_leaves_what_has_changed_since_and_says_so(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    first = apply_rating(catalog, plan()).run
    assert first is not None
    (folder / "a.xmp").write_text(sidecars.DARKTABLE)
    (folder / "c.jpg.xmp").unlink()
    second = apply_rating(catalog, plan(Wishes(Grading("threshold", (1.0, 2.0, 3.0, 4.0))))).run
    assert second is not None

    undone = undo_rating(catalog, first)

    assert undone.carried.files == 0
    assert all(second.name in reason for _, reason in undone.carried.refused)
    assert len(undone.carried.refused) == 3
    undo_rating(catalog, second)
    assert dict(undo_rating(catalog, first).carried.refused) == {
        str(folder / "a.jpg"): "a.xmp has changed since it was written, and is left as it is",
        str(folder / "c.jpg"): "c.jpg.xmp is gone; if a cull moved it with its photo, undo that run first",
    }
    assert (folder / "b.jpg.xmp").read_bytes().startswith(b"\xff\xfe")
    assert (folder / "a.xmp").read_text() == sidecars.DARKTABLE
    assert find_rating(catalog, None) is None  # what is left is nobody's to undo, and earlier runs need not wait for it


def test_undo_takes_back_only_what_matches(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    run = apply_rating(catalog, plan()).run
    assert run is not None

    undone = undo_rating(catalog, run, only="c*")

    assert undone.carried.files == 1
    assert not (folder / "c.jpg.xmp").exists()
    assert undone.run is not None
    assert (undone.run.files, undone.run.restored, undone.run.undone) == (3, 1, False)


def test_a_sidecar_that_changes_after_the_plan_is_left(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    made = plan()
    (folder / "a.xmp").write_text(sidecars.DARKTABLE)
    (folder / "c.jpg.xmp").write_text(sidecars.DARKTABLE)

    rated = apply_rating(catalog, made)

    assert rated.carried.files == 1
    assert [os.path.basename(path) for path, _ in rated.carried.refused] == ["a.jpg", "c.jpg"]
    assert (folder / "a.xmp").read_text() == (folder / "c.jpg.xmp").read_text() == sidecars.DARKTABLE


@pytest.mark.parametrize("calls", [Fs, NoLinksFs], ids=["links", "no links"])
def test_a_sidecar_that_comes_at_the_last_moment_stays(
    catalog: Catalog, folder: Path, plan: MakePlan, calls: type[Fs]
) -> None:
    class Late(calls):  # type: ignore[misc, valid-type]
        def link(self, old: str, new: str) -> None:
            Path(new).write_text("somebody's")
            super().link(old, new)

    rated = apply_rating(catalog, plan(), fs=Late())

    assert (folder / "c.jpg.xmp").read_text() == "somebody's"
    assert "by another program" in rated.carried.refused[0][1]
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_a_folder_that_cannot_be_written_leaves_all_as_it_was(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    before, made = tree(folder), plan()

    rated = apply_rating(catalog, made, fs=fails_at(1, errno.EACCES, forever=True))

    assert (rated.run, rated.carried.files, len(rated.carried.refused)) == (None, 0, 3)
    assert tree(folder) == before
    assert RatingJournal(catalog).runs() == []


def test_a_full_disk_ends_the_run_and_what_was_written_can_be_undone(
    catalog: Catalog, folder: Path, plan: MakePlan
) -> None:
    before = tree(folder)

    class Filling(Fs):
        written = 0

        def write(self, file: int, data: memoryview) -> None:
            self.written += 1
            if self.written > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write(file, data)

    rated = apply_rating(catalog, plan(), fs=Filling())

    assert (rated.carried.files, rated.carried.ended_by) == (1, os.strerror(errno.ENOSPC))
    assert rated.run is not None
    undo_rating(catalog, rated.run)
    assert tree(folder) == before


def test_stopping_leaves_the_rest(catalog: Catalog, folder: Path, plan: MakePlan) -> None:
    rated = apply_rating(catalog, plan(), stop=lambda: b"rali" in (folder / "a.xmp").read_bytes())

    assert (rated.carried.interrupted, rated.carried.files) == (True, 1)
    assert not (folder / "c.jpg.xmp").exists()


def test_whichever_call_fails_each_sidecar_is_old_or_new_and_undo_still_works(
    catalog: Catalog, folder: Path, plan: MakePlan
) -> None:
    before, made = tree(folder), plan(LABELLED)
    number = 0
    while True:
        number += 1
        fs = fails_at(number, errno.EIO)
        rated = apply_rating(catalog, made, fs=fs)
        if not fs.failed:
            break
        changed = [
            name for name, state in tree(folder).items() if not name.startswith(".") and before.get(name) != state
        ]
        assert len(changed) == rated.carried.files
        if rated.run is not None:
            assert undo_rating(catalog, rated.run).carried.refused == []
        for leftover in folder.glob(".rali-partial-*"):  # the call that failed was the one that takes it away
            leftover.unlink()
        assert tree(folder) == before
    assert number > 20


# --- kill -9 ---------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("no_links", "every"),
    [
        pytest.param(False, 11, id="links, some"),
        pytest.param(True, 13, id="no links, some"),
        pytest.param(False, 1, id="links", marks=pytest.mark.slow),
        pytest.param(True, 1, id="no links", marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_step_each_sidecar_is_old_or_new_and_undo_still_works(
    own_world: Path, folder: Path, plan: MakePlan, catalog: Catalog, no_links: bool, every: int
) -> None:
    made = plan(LABELLED)
    before, times = contents(folder), tree(folder)
    db = own_world / "catalog.db"
    apply_rating(catalog, made)
    after = contents(folder)
    undo_rating(catalog, find_rating(catalog, None) or pytest.fail("there is a run"))

    def work(fs: Fs) -> None:
        with Catalog(db) as own:
            apply_rating(own, made, fs=fs)
            run = find_rating(own, None)
            assert run is not None
            undo_rating(own, run, fs=fs)

    def check() -> None:
        with Catalog(db) as own:
            recover_ratings(own)
            now = contents(folder)
            assert now.keys() <= after.keys()
            assert before.keys() <= now.keys()
            assert all(now[name] in (before.get(name), after[name]) for name in now)
            if run := find_rating(own, None):
                assert undo_rating(own, run).carried.refused == []
            assert tree(folder) == times
            assert RatingJournal(own).unfinished() == []

    def dies(number: int) -> Fs:
        if not no_links:
            return dies_at(number)
        fs = dies_at(number)
        fs.__class__ = FaultyNoLinksFs
        return fs

    kills = kill_everywhere(work, check, dies, every=every)

    assert kills > 60 / every
    check()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.sampled_from([*sidecars.ALL.values()]),
    note=st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="-"), max_size=20),
    codec=st.sampled_from(["utf-8", "utf-16-le"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    labels=st.dictionaries(st.integers(1, 5), st.sampled_from(["Red", "Grün"]), max_size=3),
)
def test_undo_of_any_rating_restores_every_byte(
    catalog: Catalog,
    photo: MakePhoto,
    plan: MakePlan,
    tmp_path: Path,
    text: str,
    note: str,
    codec: str,
    line_end: str,
    labels: dict[int, str],
) -> None:
    shutil.rmtree(tmp_path / "photos", ignore_errors=True)
    sidecar = photo("a.jpg", 50).with_suffix(".xmp")
    changed = text.replace("</rdf:RDF>", f"<!--{note}--></rdf:RDF>").replace("\n", line_end)
    content = (b"\xff\xfe" if codec != "utf-8" else b"") + changed.replace("UTF-8", codec[:6]).encode(codec)
    sidecar.write_bytes(content)

    rated = apply_rating(catalog, plan(Wishes(FIFTHS, labels=labels)))
    assert rated.run is not None
    written = sidecar.read_bytes()
    assert plan(Wishes(FIFTHS, labels=labels)).unchanged == 1
    undo_rating(catalog, rated.run)

    assert written != content
    assert sidecar.read_bytes() == content

"""Runs through the library: names, companions, changed files, undo, purge, the journal beside the quarantine."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import KILLED, FaultyFs, NoLinksFs, contents, run_in_child, tree

from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal, RunRecord
from rali.catalog.records import Scoring
from rali.culling.plan import CullPlan, PlannedShot, ShotFile
from rali.errors import PathError, UnsafeError, UsageError
from rali.moving.disposal import purge, send_to_trash
from rali.moving.moves import Fs
from rali.moving.recovery import recover
from rali.moving.runs import Done, apply_plan, find_run, read_run, undo
from rali.photos.scan import JOURNAL_NAME, Scan

TESTS = Path(__file__).parents[1]
SCORING = Scoring(1, "0123456789abcdef", "fast-1.1-half", "mini", 0.0, 100.0)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.db") as catalog:
        yield catalog


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def put(path: Path, text: str | None = None) -> Path:
    """Write a file, with its name as its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.fsencode(text if text is not None else path.name))
    return path


def plan_of(root: Path, *shots: list[Path]) -> CullPlan:
    """Plan to move shots as they lie on disk, the leader first."""
    planned = []
    for shot in shots:
        infos = [(path.name, path.lstat()) for path in shot]
        files = tuple(ShotFile(n, i.st_dev, i.st_ino, i.st_size, i.st_mtime_ns) for n, i in infos)
        planned.append(PlannedShot(str(root), str(shot[0].parent), files, 10.0, 1.0, "score below 40"))
    return CullPlan((str(root),), "score below 40", SCORING, tuple(planned), (), 9, {})


def run_of(done: Done) -> RunRecord:
    assert done.run is not None
    return done.run


def folder_of(done: Done) -> Path:
    """Return the run's folder in the quarantine."""
    return Path(run_of(done).places[0].folder)


# --- where things go ----------


def test_photos_go_beside_the_root_under_their_relative_path(catalog: Catalog, root: Path) -> None:
    photo = put(root / "spain" / "1.jpg")

    done = apply_plan(catalog, plan_of(root, [photo]))

    assert folder_of(done).parent == root.parent / ".rali-quarantine"
    assert (folder_of(done) / "spain" / "1.jpg").read_text() == "1.jpg"
    assert not photo.exists()


def test_they_go_into_the_root_where_its_parent_cannot_be_written(
    catalog: Catalog, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = put(root / "1.jpg")
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(root.parent))

    done = apply_plan(catalog, plan_of(root, [photo]))

    assert folder_of(done).parent == root / ".rali-quarantine"
    assert [p.file for p in Scan([str(root)])] == []
    undo(catalog, run_of(done))
    assert set(os.listdir(root)) == {"1.jpg"}


def test_what_is_culled_is_never_scanned_again_wherever_it_went(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    put(root / "2.jpg")

    apply_plan(catalog, plan_of(root, [photo]), to=root / "rejects")

    assert [Path(p.file).name for p in Scan([str(root)])] == ["2.jpg"]


def test_two_roots_with_one_quarantine_keep_their_names_apart(catalog: Catalog, tmp_path: Path) -> None:
    photos = [put(tmp_path / "a" / "1.jpg", "first"), put(tmp_path / "b" / "1.jpg", "second")]
    plans = [plan_of(photo.parent, [photo]) for photo in photos]
    plan = CullPlan((*plans[0].roots, *plans[1].roots), "x", SCORING, (*plans[0].shots, *plans[1].shots), (), 2, {})

    done = apply_plan(catalog, plan)

    assert (folder_of(done) / "a" / "1.jpg").read_text() == "first"
    assert (folder_of(done) / "b" / "1.jpg").read_text() == "second"
    undo(catalog, run_of(done))
    assert [photo.read_text() for photo in photos] == ["first", "second"]
    assert not (tmp_path / ".rali-quarantine").exists()


def test_a_quarantine_that_cannot_be_made_is_refused_and_nothing_moves(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    blocker = put(root.parent / "blocked")

    with pytest.raises(UnsafeError, match="nothing was moved; use --to DIR"):
        apply_plan(catalog, plan_of(root, [photo]), to=blocker)
    assert photo.exists()
    assert Journal(catalog).runs() == []


# --- names that are taken, too long, or strange ----------


class Busy(Fs):
    """Somebody puts a file under the new name just before we do."""

    def link(self, old: str, new: str) -> None:
        """Come second once for each name without a number."""
        if "(" not in os.path.basename(new) and not os.path.lexists(new):
            Path(new).write_bytes(b"somebody else's")
        super().link(old, new)


def test_a_name_that_is_taken_in_the_quarantine_gets_a_number_and_both_are_kept(catalog: Catalog, root: Path) -> None:
    shot = [put(root / name) for name in ("1.jpg", "1.cr3", "1.cr3.xmp")]

    done = apply_plan(catalog, plan_of(root, shot), fs=Busy())

    found = {path.name: path.read_text() for path in folder_of(done).iterdir() if path.name != JOURNAL_NAME}
    assert found["1 (1).jpg"] == "1.jpg"
    assert found["1 (1).cr3"] == "1.cr3"
    assert found["1 (1).cr3.xmp"] == "1.cr3.xmp"
    assert found["1.jpg"] == "somebody else's"
    undo(catalog, run_of(done))
    assert {path.name: path.read_text() for path in root.iterdir()} == {path.name: path.name for path in shot}


class CaseInsensitive(Fs):
    """A file system on which A.jpg and a.jpg are one name, found out only by trying."""

    def link(self, old: str, new: str) -> None:
        """Refuse a name that differs from another by case alone."""
        folder, name = os.path.split(new)
        if name.casefold() in {other.casefold() for other in os.listdir(folder)}:
            raise FileExistsError(errno.EEXIST, "File exists", new)
        super().link(old, new)


def test_names_that_differ_by_case_alone_are_both_kept(catalog: Catalog, root: Path) -> None:
    photos = [put(root / "a.jpg"), put(root / "A.jpg")]

    done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)), fs=CaseInsensitive())

    assert {"a.jpg", "A (1).jpg"} == set(os.listdir(folder_of(done))) - {JOURNAL_NAME}
    undo(catalog, run_of(done))
    assert {path.name: path.read_text() for path in root.iterdir()} == {"a.jpg": "a.jpg", "A.jpg": "A.jpg"}


def test_a_name_of_255_bytes_is_shortened_between_two_characters(catalog: Catalog, root: Path) -> None:
    photo = put(root / ("é" * 125 + "x.jpg"))
    assert len(os.fsencode(photo.name)) == 255

    done = apply_plan(catalog, plan_of(root, [photo]), fs=Busy())

    (name,) = [path.name for path in folder_of(done).iterdir() if path.name.endswith(" (1).jpg")]
    assert name == "é" * 123 + " (1).jpg"
    undo(catalog, run_of(done))
    assert photo.read_bytes() == os.fsencode(photo.name)


STRANGE = [
    os.fsdecode(b"caf\xe9.jpg"),
    "new\nline.jpg",
    "\"quoted'.jpg",
    "-rf",
    "\u202egpj.exe",
    "<img src=x>.jpg",
    unicodedata.normalize("NFC", "café.jpg"),
    unicodedata.normalize("NFD", "café.jpg"),
]


def test_strange_names_come_back_byte_for_byte_with_or_without_the_catalog(catalog: Catalog, root: Path) -> None:
    photos = [put(root / name) for name in STRANGE]
    before = tree(root)
    assert len(before) == len(STRANGE)

    done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)))
    assert os.listdir(root) == []
    undo(catalog, run_of(done))
    assert tree(root) == before

    done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)))
    with Catalog(root.parent / "new.db") as other:
        undo(other, read_run(other, folder_of(done) / JOURNAL_NAME))
    assert tree(root) == before


# --- files that are not what they were ----------


def rewrite(path: Path) -> None:
    path.write_bytes(b"X" * path.stat().st_size)


def replace(path: Path) -> None:
    other = put(path.with_name("other"), path.read_text())
    os.utime(other, ns=(path.stat().st_mtime_ns,) * 2)
    other.replace(path)


def link_elsewhere(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize("change", [rewrite, replace, link_elsewhere, Path.unlink], ids=lambda change: change.__name__)
@pytest.mark.parametrize("which", [0, 1], ids=["leader", "companion"])
def test_a_shot_of_which_a_file_has_changed_since_the_plan_stays_whole(
    catalog: Catalog, root: Path, change: Callable[[Path], Any], which: int
) -> None:
    shot = [put(root / "1.jpg"), put(root / "1.cr3")]
    plan = plan_of(root, shot, [put(root / "2.jpg")])
    change(shot[which])
    before = tree(root)
    del before["2.jpg"]

    done = apply_plan(catalog, plan)

    assert tree(root) == before
    assert shot[which].is_symlink() == (change is link_elsewhere)
    assert [path for path, _ in done.carried.refused] == [str(shot[0])]
    assert done.carried.shots == 1


class Between(Fs):
    """Something happens after the new names are made, before the old ones go."""

    def __init__(self, act: Callable[[], None], *, at: str = "sync_folder") -> None:
        self._act: Callable[[], None] | None = act
        self._at = at
        self._placed = False

    def link(self, old: str, new: str) -> None:
        """Note that a new name is made."""
        super().link(old, new)
        self._placed = True

    def _happen(self, at: str) -> None:
        if self._placed and at == self._at and self._act is not None:
            self._act()
            self._act = None

    def sync_folder(self, path: str) -> None:
        """Act before it."""
        self._happen("sync_folder")
        super().sync_folder(path)

    def rename(self, old: str, new: str) -> None:
        """Act before it."""
        self._happen("rename")
        super().rename(old, new)


@pytest.mark.parametrize("at", ["sync_folder", "rename"])
def test_an_edit_between_the_two_steps_is_kept(catalog: Catalog, root: Path, at: str) -> None:
    photo = put(root / "1.jpg")
    plan = plan_of(root, [photo])

    done = apply_plan(catalog, plan, fs=Between(lambda: save_over(photo), at=at))

    assert photo.read_text() == "edited"
    assert len(done.carried.refused) == 1
    assert set(os.listdir(root)) == {"1.jpg"}
    (run,) = Journal(catalog).runs()  # the version before the edit is on record
    assert (folder_of(done) / "1.jpg").read_text() == "1.jpg"
    assert run.away == 1


def save_over(photo: Path) -> None:
    """Save as careful programs do: under another name first."""
    put(photo.with_name("edited"), "edited").replace(photo)


def test_a_photo_whose_new_name_is_taken_away_keeps_its_old_one(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")

    def clean_up() -> None:
        shutil.rmtree(root.parent / ".rali-quarantine")

    done = apply_plan(catalog, plan_of(root, [photo]), fs=Between(clean_up, at="sync_folder"))

    assert photo.read_text() == "1.jpg"
    assert done.carried.files == 0


def test_undo_keeps_the_quarantined_file_if_the_restored_one_is_replaced_at_once(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    done = apply_plan(catalog, plan_of(root, [photo]))

    undone = undo(catalog, run_of(done), fs=Between(lambda: save_over(photo)))

    assert photo.read_text() == "edited"
    assert (folder_of(done) / "1.jpg").read_text() == "1.jpg"
    assert len(undone.carried.refused) == 1


def test_a_file_saved_over_a_reserved_name_is_kept(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    done = apply_plan(catalog, plan_of(root, [photo]), fs=NoLinksFs())

    class Saves(NoLinksFs):
        def sync_folder(self, path: str) -> None:
            if photo.exists() and not photo.stat().st_size:
                put(photo, "saved into it")
            super().sync_folder(path)

    undo(catalog, run_of(done), fs=Saves())

    assert photo.read_text() == "saved into it"
    assert (folder_of(done) / "1.jpg").read_text() == "1.jpg"


def test_a_link_that_is_made_and_reported_as_failed_doubles_nothing(catalog: Catalog, root: Path) -> None:
    class Flaky(Fs):
        def link(self, old: str, new: str) -> None:
            super().link(old, new)
            raise OSError(errno.EIO, "Input/output error")

    photo = put(root / "1.jpg")

    apply_plan(catalog, plan_of(root, [photo]), fs=Flaky())

    assert photo.read_text() == "1.jpg"
    assert not (root.parent / ".rali-quarantine").exists()


def test_stars_given_during_a_long_run_hold_the_shot(
    catalog: Catalog, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rali.moving.carrier.BATCH_SHOTS", 1)
    monkeypatch.setattr("rali.moving.carrier._LOOK_AGAIN_S", 0.0)
    photos = [put(root / "1.jpg"), put(root / "2.jpg")]

    done = apply_plan(
        catalog, plan_of(root, *([p] for p in photos)), on_progress=lambda _: void(put(root / "2.xmp", "stars"))
    )

    assert set(os.listdir(root)) == {"2.jpg", "2.xmp"}
    assert "2.xmp has come beside it" in done.carried.refused[0][1]


def void(_: object) -> None:
    """Do nothing."""


def test_no_empty_file_is_left_when_a_photo_is_taken_away_while_its_name_is_held(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")

    class TakenAway(NoLinksFs):
        def create(self, path: str) -> int:
            file = super().create(path)
            photo.rename(root / "elsewhere.jpg")
            return file

    done = apply_plan(catalog, plan_of(root, [photo]), fs=TakenAway())

    assert done.carried.refused == [(str(photo), "1.jpg is gone")]
    assert os.listdir(root) == ["elsewhere.jpg"]
    assert not (root.parent / ".rali-quarantine").exists()


def test_recovery_leaves_an_equal_file_alone_that_is_not_ours(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    plan = plan_of(root, [photo])

    class Dies(Fs):
        def link(self, old: str, new: str) -> None:
            shutil.copy2(old, new)  # somebody puts an equal file there, time and all
            os._exit(KILLED)

    def cull() -> None:
        with Catalog(catalog.path) as own:
            apply_plan(own, plan, fs=Dies())

    assert run_in_child(cull) == KILLED
    (run,) = Journal(catalog).runs()
    assert recover(catalog)

    assert photo.read_text() == "1.jpg"
    assert (Path(run.places[0].folder) / "1.jpg").read_text() == "1.jpg"


def test_hard_links_stay_what_they_are(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    os.link(photo, root / "same.jpg")

    done = apply_plan(catalog, plan_of(root, [photo]))

    assert not photo.exists()
    assert (root / "same.jpg").read_text() == "1.jpg"
    undo(catalog, run_of(done))
    assert photo.samefile(root / "same.jpg")


def test_a_read_only_photo_is_moved_and_stays_read_only(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    photo.chmod(0o444)

    done = apply_plan(catalog, plan_of(root, [photo]))

    assert (folder_of(done) / "1.jpg").stat().st_mode & 0o777 == 0o444


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom permissions concern (root is not)")
def test_a_folder_that_must_not_be_changed_keeps_its_photos(catalog: Catalog, root: Path) -> None:
    photo = put(root / "closed" / "1.jpg")
    photo.parent.chmod(0o555)

    done = apply_plan(catalog, plan_of(root, [photo]))

    photo.parent.chmod(0o755)
    assert photo.exists()
    assert len(done.carried.refused) == 1


class Forgets(Fs):
    """The second file of a shot cannot be linked."""

    def link(self, old: str, new: str) -> None:
        """Fail for RAWs."""
        if old.endswith(".cr3"):
            raise OSError(errno.EIO, "Input/output error")
        super().link(old, new)


def test_a_shot_of_which_one_file_cannot_be_moved_stays_whole(catalog: Catalog, root: Path) -> None:
    shot = [put(root / name) for name in ("1.jpg", "1.cr3", "1.xmp", "1.cr3.xmp", "1.mov")]
    plan = plan_of(root, shot)
    before = tree(root)

    done = apply_plan(catalog, plan, fs=Forgets())

    assert tree(root) == before
    assert done.carried.refused == [(str(shot[0]), "Input/output error")]
    assert done.run is None
    assert not (root.parent / ".rali-quarantine").exists()


def test_a_full_disk_ends_the_run_and_leaves_the_rest_alone(catalog: Catalog, root: Path) -> None:
    class Full(Fs):
        def link(self, old: str, new: str) -> None:
            if old.endswith("2.jpg"):
                raise OSError(errno.ENOSPC, "No space left on device")
            super().link(old, new)

    photos = [put(root / f"{number}.jpg") for number in range(5)]

    done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)), fs=Full())

    assert done.carried.ended_by == "No space left on device"
    assert [photo.exists() for photo in photos] == [False, False, True, True, True]


def test_a_full_disk_of_another_device_leaves_no_part_of_a_copy(catalog: Catalog, root: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        photos = [put(root / f"{number}.jpg", str(number) * 30_000) for number in range(5)]
        before = contents(root)

        done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)), to=small)

        assert done.carried.ended_by == "No space left on device"
        assert 0 < done.carried.shots < 5
        assert contents(root, small) == before
        undo(catalog, run_of(done))
        assert contents(root) == before
    finally:
        subprocess.run(["umount", small], check=True)


# --- order, for a power cut ----------


def test_the_journal_is_written_before_the_first_link_and_folders_are_synced_between_the_steps(root: Path) -> None:
    seen: list[str] = []

    def at_step(_: int, name: str) -> None:
        if name.startswith("before"):
            with Catalog(root.parent / "catalog.db") as other:  # sees what is committed, and nothing else
                journaled = [move for run in Journal(other).runs() for move in _leaving(other, run)]
            seen.append(f"{name.removeprefix('before ')} {len(journaled)}")

    photos = [put(root / "1.jpg"), put(root / "2.jpg")]
    with Catalog(root.parent / "catalog.db") as catalog:
        apply_plan(catalog, plan_of(root, *([photo] for photo in photos)), fs=FaultyFs(at_step))

    moving = [step for step in seen if not step.endswith(" 0")]
    assert [step for step in seen if step.startswith("link")] == ["link 2", "link 2"]
    assert moving == [
        "link 2",
        "link 2",
        "sync_folder 2",
        "rename 2",
        "unlink 2",
        "rename 2",
        "unlink 2",
        "sync_folder 2",
    ]


def _leaving(catalog: Catalog, run: RunRecord) -> list[Any]:
    from rali.catalog.journal import MoveState

    return [move for shot in Journal(catalog).moves(run, MoveState.LEAVING) for move in shot]


# --- undo ----------


def test_undo_never_takes_the_place_of_another_file(catalog: Catalog, root: Path) -> None:
    shots = [[put(root / "1.jpg"), put(root / "1.xmp")], [put(root / "2.jpg")]]
    done = apply_plan(catalog, plan_of(root, *shots))
    put(root / "1.xmp", "a new one")

    undone = undo(catalog, run_of(done))

    assert {path.name: path.read_text() for path in root.iterdir()} == {"1.xmp": "a new one", "2.jpg": "2.jpg"}
    ((path, reason),) = undone.carried.refused
    assert path == str(shots[0][0])
    assert "another 1.xmp" in reason
    (root / "1.xmp").unlink()
    undo(catalog, run_of(done))
    assert {path.name for path in root.iterdir()} == {"1.jpg", "1.xmp", "2.jpg"}


@pytest.mark.parametrize("what", ["symlink to nowhere", "folder"])
def test_undo_takes_a_dangling_link_or_a_folder_for_taken(catalog: Catalog, root: Path, what: str) -> None:
    photo = put(root / "1.jpg")
    done = apply_plan(catalog, plan_of(root, [photo]))
    photo.symlink_to("nowhere") if "link" in what else photo.mkdir()

    undone = undo(catalog, run_of(done))

    assert len(undone.carried.refused) == 1
    assert (folder_of(done) / "1.jpg").exists()


def test_undo_makes_folders_again_that_are_gone(catalog: Catalog, root: Path) -> None:
    photo = put(root / "spain" / "coast" / "1.jpg")
    before = tree(root)
    done = apply_plan(catalog, plan_of(root, [photo]))
    shutil.rmtree(root)

    undo(catalog, run_of(done))

    assert tree(root) == before


def test_undo_refuses_when_the_drive_of_the_photos_is_not_there(catalog: Catalog, root: Path, tmp_path: Path) -> None:
    drive = tmp_path / "media" / "card"
    photo = put(drive / "1.jpg")
    done = apply_plan(catalog, plan_of(drive, [photo]), to=tmp_path / "rejects")
    shutil.rmtree(tmp_path / "media")

    with pytest.raises(PathError, match="connect its drive"):
        undo(catalog, run_of(done))
    assert (folder_of(done) / "1.jpg").exists()


def test_undo_of_a_part_brings_whole_shots(catalog: Catalog, root: Path) -> None:
    shots = [[put(root / "a" / "1.jpg"), put(root / "a" / "1.cr3")], [put(root / "b" / "1.jpg")]]
    done = apply_plan(catalog, plan_of(root, *shots))

    undo(catalog, run_of(done), only="*.cr3")

    assert [path.exists() for path in (*shots[0], *shots[1])] == [True, True, False]
    undo(catalog, find_run(catalog, None))
    assert shots[1][0].exists()
    with pytest.raises(UsageError, match="nothing to undo"):
        find_run(catalog, None)


def test_what_was_changed_in_the_quarantine_is_not_brought_back(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    done = apply_plan(catalog, plan_of(root, [photo]))
    put(folder_of(done) / "1.jpg", "edited there")

    undone = undo(catalog, run_of(done))

    assert not photo.exists()
    assert "changed in the quarantine" in undone.carried.refused[0][1]


# --- the journal beside the quarantine ----------


def test_a_lost_catalog_and_a_moved_quarantine_still_undo(catalog: Catalog, root: Path, tmp_path: Path) -> None:
    shots = [[put(root / "a" / "1.jpg"), put(root / "a" / "1.xmp")], [put(root / "2.jpg")]]
    before = tree(root)
    done = apply_plan(catalog, plan_of(root, *shots))
    elsewhere = tmp_path / "backup"
    shutil.copytree(folder_of(done), elsewhere)
    shutil.rmtree(folder_of(done))

    with Catalog(tmp_path / "new.db") as other:
        run = read_run(other, elsewhere / JOURNAL_NAME)
        assert (run.shots, run.files, run.away) == (2, 3, 3)
        undo(other, run)

    assert tree(root) == before


def test_a_journal_whose_last_line_was_cut_short_is_read(catalog: Catalog, root: Path) -> None:
    photo = put(root / "1.jpg")
    done = apply_plan(catalog, plan_of(root, [photo]))
    with (folder_of(done) / JOURNAL_NAME).open("a") as journal:
        journal.write('{"shot": 7, "fro')

    with Catalog(root.parent / "new.db") as other:
        undo(other, read_run(other, folder_of(done) / JOURNAL_NAME))
    assert photo.exists()


def test_a_journal_that_was_written_on_after_a_cut_line_is_read(catalog: Catalog, root: Path) -> None:
    photos = [put(root / "1.jpg"), put(root / "2.jpg")]
    done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)))
    with (folder_of(done) / JOURNAL_NAME).open("a") as journal:
        journal.write('{"state": "away", ')
    undo(catalog, run_of(done), only="1.jpg")

    with Catalog(root.parent / "new.db") as other:
        undo(other, read_run(other, folder_of(done) / JOURNAL_NAME))
    assert all(photo.exists() for photo in photos)


def test_a_shot_that_got_another_name_in_the_quarantine_comes_back_from_the_journal(
    catalog: Catalog, root: Path
) -> None:
    photo = put(root / "1.jpg")
    done = apply_plan(catalog, plan_of(root, [photo]), fs=Busy())

    with Catalog(root.parent / "new.db") as other:
        undone = undo(other, read_run(other, folder_of(done) / JOURNAL_NAME))
    assert photo.read_text() == "1.jpg"
    assert undone.carried.refused == []


def test_a_journal_without_its_photos_is_refused_and_its_folder_left_alone(catalog: Catalog, root: Path) -> None:
    done = apply_plan(catalog, plan_of(root, [put(root / "1.jpg")]))
    desktop = root.parent / "Desktop"
    (desktop / "empty").mkdir(parents=True)
    shutil.copy(folder_of(done) / JOURNAL_NAME, desktop)

    with Catalog(root.parent / "new.db") as other, pytest.raises(UsageError, match="not the journal"):
        read_run(other, desktop / JOURNAL_NAME)
    assert set(os.listdir(desktop)) == {JOURNAL_NAME, "empty"}


def test_without_a_catalog_a_name_that_is_taken_at_home_is_reported(catalog: Catalog, root: Path) -> None:
    photos = [put(root / "1.jpg"), put(root / "2.jpg")]
    done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)))
    elsewhere = root.parent / "backup"
    shutil.copytree(folder_of(done), elsewhere)
    put(root / "1.jpg", "a new one")

    with Catalog(root.parent / "new.db") as other:
        undone = undo(other, read_run(other, elsewhere / JOURNAL_NAME))
    assert "another 1.jpg" in undone.carried.refused[0][1]
    assert {path.name: path.read_text() for path in root.iterdir()} == {"1.jpg": "a new one", "2.jpg": "2.jpg"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no json",
        "[]",
        '{"rali_journal": 2}',
        '{"rali_journal": 1, "run": 5}',
    ],
)
def test_another_file_is_no_journal(catalog: Catalog, tmp_path: Path, line: str) -> None:
    path = put(tmp_path / "x.jsonl", line + "\n")

    with pytest.raises(UsageError, match="no journal of rali"):
        read_run(catalog, path)


@pytest.mark.parametrize(
    "entry", [{"from": "relative.jpg"}, {"to": "../../etc/passwd"}, {"to": "/etc/passwd"}, {"inode": "x"}]
)
def test_a_journal_cannot_lead_out_of_its_folder(catalog: Catalog, root: Path, entry: dict[str, Any]) -> None:
    done = apply_plan(catalog, plan_of(root, [put(root / "1.jpg")]))
    path = folder_of(done) / JOURNAL_NAME
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | entry)
    path.write_text("\n".join(lines) + "\n")

    with Catalog(root.parent / "new.db") as other, pytest.raises(UsageError, match="no journal of rali"):
        read_run(other, path)


# --- copies, links, the bin, purging ----------


@pytest.mark.parametrize("mode", ["copy", "hardlink"])
def test_copies_and_links_leave_the_originals_in_place(catalog: Catalog, root: Path, mode: Any) -> None:
    shot = [put(root / "1.jpg"), put(root / "1.cr3")]
    before = tree(root)

    done = apply_plan(catalog, plan_of(root, shot), mode=mode)

    assert tree(root) == before
    there = folder_of(done) / "1.jpg"
    assert there.read_text() == "1.jpg"
    assert there.samefile(shot[0]) == (mode == "hardlink")
    assert undo(catalog, run_of(done)).carried.refused == []
    assert there.exists()
    for path in shot:
        path.unlink()
    undo(catalog, run_of(done))
    assert tree(root) == before


def test_purge_deletes_what_was_culled_and_nothing_else(catalog: Catalog, root: Path) -> None:
    done = apply_plan(catalog, plan_of(root, [put(root / "1.jpg")], [put(root / "2.jpg")], [put(root / "3.jpg")]))
    put(folder_of(done) / "mine.jpg", "put here by hand")
    put(folder_of(done) / "2.jpg", "edited there")

    purged = purge(catalog, run_of(done))

    assert set(os.listdir(folder_of(done))) == {"mine.jpg", "2.jpg", JOURNAL_NAME}
    assert purged.carried.files == 2
    assert len(purged.carried.refused) == 1
    assert '"state": "deleted", "to": "1.jpg"' in (folder_of(done) / JOURNAL_NAME).read_text()
    assert run_of(purged).deleted == 2


def test_a_run_in_the_bin_can_be_restored_from_there_and_undone(
    catalog: Catalog, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = put(root / "1.jpg")
    bin_ = tmp_path / "bin"
    monkeypatch.setattr("rali.moving.disposal.to_trash", lambda folder: shutil.move(folder, bin_))
    done = apply_plan(catalog, plan_of(root, [photo]))

    run = send_to_trash(catalog, run_of(done))

    with pytest.raises(PathError, match="restore the folder"):
        undo(catalog, run)
    shutil.move(bin_, folder_of(done))
    undo(catalog, run)
    assert photo.read_text() == "1.jpg"


def test_a_quarantine_deleted_by_hand_can_be_taken_off_the_books(catalog: Catalog, root: Path) -> None:
    done = apply_plan(catalog, plan_of(root, [put(root / "1.jpg")]))
    shutil.rmtree(root.parent / ".rali-quarantine")
    with pytest.raises(PathError, match="rali quarantine purge"):
        undo(catalog, run_of(done))

    purge(catalog, run_of(done))

    with pytest.raises(UsageError, match="nothing to undo"):
        find_run(catalog, None)


def test_a_killed_purge_says_what_it_deleted(catalog: Catalog, root: Path) -> None:
    photos = [put(root / f"{number}.jpg") for number in range(3)]
    done = apply_plan(catalog, plan_of(root, *([photo] for photo in photos)))

    class Dies(Fs):
        def unlink(self, path: str) -> None:
            if path.endswith("2.jpg"):
                os._exit(KILLED)
            super().unlink(path)

    def work() -> None:
        with Catalog(catalog.path) as own:
            purge(own, run_of(done), fs=Dies())

    assert run_in_child(work) == KILLED
    (notice,) = recover(catalog)
    assert "2 files had just been deleted" in notice
    undo(catalog, run_of(done))
    assert os.listdir(root) == ["2.jpg"]


def test_a_time_that_the_quarantines_disk_cannot_keep_comes_back(catalog: Catalog, root: Path, tmp_path: Path) -> None:
    class Fat(Fs):
        def link(self, old: str, new: str) -> None:
            if ".rali-partial" not in old:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            super().link(old, new)

        def copy_attributes(self, old: str, new: str) -> None:
            super().copy_attributes(old, new)
            os.utime(new, ns=(0, os.stat(new).st_mtime_ns // 2_000_000_000 * 2_000_000_000))

    photo = put(root / "1.jpg")
    os.utime(photo, ns=(0, 1_600_000_001_123_456_789))
    before = tree(root)
    done = apply_plan(catalog, plan_of(root, [photo]), fs=Fat())

    undo(catalog, run_of(done), fs=Fat())

    assert tree(root) == before


def test_what_was_copied_from_a_disk_that_is_not_there_stays(catalog: Catalog, root: Path) -> None:
    class Crosses(Fs):
        def link(self, old: str, new: str) -> None:
            if ".rali-partial" not in old:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            super().link(old, new)

    done = apply_plan(catalog, plan_of(root, [put(root / "1.jpg")]), fs=Crosses())

    with catalog.writing() as connection:
        connection.execute("UPDATE moves SET crossed = 1")
    undone = undo(catalog, run_of(done))  # home is on the quarantine's disk now, as a bare mount point is

    assert os.listdir(root) == []
    assert "was on another disk" in undone.carried.refused[0][1]


def test_a_quarantine_that_cannot_be_written_does_not_hold_up_others(catalog: Catalog, root: Path) -> None:
    photos = [put(root / "1.jpg"), put(root / "2.jpg")]
    plans = [plan_of(root, [photo]) for photo in photos]

    class Dies(Fs):
        def link(self, old: str, new: str) -> None:
            os._exit(KILLED)

    def work() -> None:
        with Catalog(catalog.path) as own:
            apply_plan(own, plans[0], fs=Dies())

    assert run_in_child(work) == KILLED
    (run,) = Journal(catalog).runs()
    journal = Path(run.places[0].folder) / JOURNAL_NAME
    journal.unlink()
    journal.mkdir()  # cannot be opened for writing, even by root

    assert "cannot be repaired now" in recover(catalog)[0]
    done = apply_plan(catalog, plans[1])

    assert done.carried.shots == 1


def test_one_folder_under_two_paths_is_no_trap(catalog: Catalog, root: Path) -> None:
    photos = [put(root / "a" / "1.jpg"), put(root / "b" / "2.jpg")]
    plan = plan_of(root, *([photo] for photo in photos))
    photos[1].rename(root / "a" / "2.jpg")
    (root / "b").rmdir()
    (root / "b").symlink_to(root / "a")

    assert apply_plan(catalog, plan).carried.shots == 2


# --- two at once ----------


def test_a_catalog_under_two_names_is_one(catalog: Catalog, root: Path) -> None:
    linked = root.parent / "linked.db"
    linked.symlink_to(catalog.path)
    photo = put(root / "1.jpg")
    notices: list[str] = []

    def look() -> None:
        with Catalog(linked) as other:
            notices.extend(recover(other))

    done = apply_plan(catalog, plan_of(root, [photo]), fs=Between(look))

    assert notices == []
    assert done.carried.files == 1


CULLS = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + '/moving']
from pathlib import Path
from test_runs import plan_of
from rali.catalog.catalog import Catalog
from rali.moving.runs import apply_plan
root, to, db = map(Path, sys.argv[2:])
plan = plan_of(root, *([photo] for photo in sorted(root.iterdir())))
print("planned", flush=True)
sys.stdin.readline()
with Catalog(db) as catalog:
    print(apply_plan(catalog, plan, to=to).carried.shots)
"""


@pytest.mark.parametrize("catalogs", [1, 2])
@pytest.mark.parametrize("folders", [1, 2])
def test_two_processes_with_equal_names_lose_none(root: Path, catalogs: int, folders: int) -> None:
    roots = [root / "a", root / "b"][:folders]
    for folder in roots:
        for number in range(400):
            put(folder / f"IMG_{number:04}.jpg", f"{folder.name} {number}")
    before = contents(root)
    to = root.parent / "rejects"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CULLS, TESTS, roots[at % folders], to, root.parent / f"{at % catalogs}.db"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for at in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "planned\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=25)[0]) for process in processes]

    assert contents(root, to) == before
    assert sum(counts) == 400 * folders

"""kill -9 and failing calls at every step of a cull, an undo, a recovery: nothing is lost, nothing is doubled."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults import FaultyNoLinksFs, NoLinksFs, contents, dies_at, fails_at, kill_everywhere, run_in_child, tree

from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal
from rali.catalog.records import Scoring
from rali.culling.plan import CullPlan, PlannedShot, ShotFile
from rali.errors import RaliError
from rali.moving.moves import Fs
from rali.moving.recovery import recover
from rali.moving.runs import Done, apply_plan, find_run, undo

SHOTS = [("day 1", ["a.jpg"]), ("day 1", ["b.jpg", "b.cr3", "b.xmp", "b.cr3.xmp"]), ("day 2", ["c.heic", "c.mov"])]
OTHER_DEVICE = Path("/dev/shm")
TIME_NS = 1_600_000_000_123_456_789


def planned_shot(root: Path, folder: Path, names: list[str]) -> PlannedShot:
    """Plan a shot as it lies on disk."""
    files = []
    for name in names:
        info = (folder / name).lstat()
        files.append(ShotFile(name, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns))
    return PlannedShot(str(root), str(folder), tuple(files), 10.0, 1.0, "score below 40")


def plan_of(root: Path, shots: list[tuple[str, list[str]]]) -> CullPlan:
    """Plan to move those of the shots that are whole at their place."""
    scoring = Scoring(1, "0123456789abcdef", "fast-1.1-half", "mini", 0.0, 100.0)
    found = [
        planned_shot(root, root / folder, names)
        for folder, names in shots
        if all((root / folder / name).exists() for name in names)
    ]
    return CullPlan((str(root),), "score below 40", scoring, tuple(found), (), 9, {})


@dataclass
class Wedding:
    """A folder of shots, and where they are culled to."""

    root: Path
    to: Path | None
    db: Path
    kind: type[Fs]
    every: int

    @property
    def quarantine(self) -> Path:
        return self.to or self.root.parent / ".rali-quarantine"

    def cull(self, fs: Fs | None = None) -> Done:
        with Catalog(self.db) as catalog:
            return apply_plan(catalog, plan_of(self.root, SHOTS), to=self.to, fs=fs or self.kind())

    def undo(self, fs: Fs | None = None) -> None:
        with Catalog(self.db) as catalog:
            while any(run.away for run in Journal(catalog).runs()):
                undo(catalog, find_run(catalog, None), fs=fs or self.kind())

    def recover(self, fs: Fs | None = None) -> list[str]:
        with Catalog(self.db) as catalog:
            return recover(catalog, fs=fs or self.kind())

    def everything(self) -> Any:
        return contents(self.root, *([self.quarantine] if self.quarantine.exists() else []))

    def leftovers(self) -> list[Path]:
        return [path for folder in (self.root, self.quarantine) for path in folder.rglob(".rali-[pa]*-*")]


KINDS = ["same device", "other device", "no hard links", "other device, no hard links"]


# Every step on one device, every fifth elsewhere; -m slow takes every step everywhere.
@pytest.fixture(
    params=[
        ("same device", 1),
        *((kind, 5) for kind in KINDS[1:]),
        *(pytest.param((kind, 1), marks=pytest.mark.slow) for kind in KINDS[1:]),
    ],
    ids=lambda param: f"{param[0]}, every {param[1]}",
)
def wedding(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wedding]:
    kind, every = request.param
    root = tmp_path / "wedding"
    for number, (folder, names) in enumerate(SHOTS):
        for name in names:
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{number} {name} ".encode() * 9000)
            os.utime(path, ns=(TIME_NS, TIME_NS + number))
    (root / "day 1" / "kept.jpg").write_bytes(b"kept")
    elsewhere: Path | None = None
    if "other" in kind:
        if not os.access(OTHER_DEVICE, os.W_OK) or OTHER_DEVICE.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs /dev/shm as a second device")
        elsewhere = Path(tempfile.mkdtemp(dir=OTHER_DEVICE))
    yield Wedding(root, elsewhere, tmp_path / "catalog.db", NoLinksFs if "links" in kind else Fs, every)
    if elsewhere is not None:
        shutil.rmtree(elsewhere)


def dying(wedding: Wedding) -> Callable[[int], Fs]:
    """Return what makes the calls of a wedding die at a step."""

    def make(number: int) -> Fs:
        fs = dies_at(number)
        if wedding.kind is NoLinksFs:
            fs.__class__ = FaultyNoLinksFs
        return fs

    return make


@pytest.mark.timeout(120)
def test_a_cull_killed_at_any_step_loses_nothing_and_the_rerun_completes(wedding: Wedding) -> None:
    before, pristine = wedding.everything(), tree(wedding.root)
    wedding.cull()
    culled = tree(wedding.root)
    assert set(culled) == {"day 1/kept.jpg"}
    wedding.undo()

    def look() -> None:
        assert before <= wedding.everything()  # nothing lost, before anybody has repaired anything
        wedding.recover()
        assert wedding.everything() == before  # nothing doubled either
        assert not wedding.leftovers()
        with Catalog(wedding.db) as catalog:
            assert not Journal(catalog).unfinished()
        for folder, names in SHOTS:  # each shot is whole, here or there
            assert len({(wedding.root / folder / name).exists() for name in names}) == 1
        wedding.cull()
        assert tree(wedding.root) == culled
        assert wedding.everything() == before
        wedding.undo()
        assert tree(wedding.root) == pristine

    kills = kill_everywhere(lambda fs: void(wedding.cull(fs)), look, dying(wedding), every=wedding.every)

    assert kills > 30 // wedding.every


@pytest.mark.timeout(120)
def test_an_undo_killed_at_any_step_loses_nothing_and_the_rerun_completes(wedding: Wedding) -> None:
    before, pristine = wedding.everything(), tree(wedding.root)
    wedding.cull()

    def look() -> None:
        assert before <= wedding.everything()
        wedding.recover()
        assert wedding.everything() == before
        assert not wedding.leftovers()
        wedding.undo()
        assert tree(wedding.root) == pristine
        wedding.cull()

    kills = kill_everywhere(wedding.undo, look, dying(wedding), every=wedding.every)

    assert kills > 30 // wedding.every
    assert tree(wedding.root) == pristine


@pytest.mark.timeout(120)
@pytest.mark.parametrize("job", ["cull", "undo"])
def test_a_recovery_killed_at_every_step_still_completes(wedding: Wedding, job: str) -> None:
    before, pristine = wedding.everything(), tree(wedding.root)
    step = 0
    recoveries = 0
    while True:
        if job == "undo":
            wedding.cull()
        step += 3 * wedding.every  # and then every step of the recovery after it
        fs = dying(wedding)(step)
        if run_in_child(lambda fs=fs: void(getattr(wedding, job)(fs))) == 0:
            break
        recoveries += kill_everywhere(lambda fs: void(wedding.recover(fs)), fs=dying(wedding), every=wedding.every)
        assert wedding.everything() == before
        assert not wedding.leftovers()
        wedding.undo()
        assert tree(wedding.root) == pristine
    assert recoveries > 10 // wedding.every


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("job", ["cull", "undo"])
@pytest.mark.parametrize("forever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize(
    "error", [errno.ENOSPC, errno.EIO, errno.EXDEV, errno.EACCES, errno.EROFS], ids=errno.errorcode.get
)
def test_a_call_that_fails_loses_nothing(wedding: Wedding, error: int, forever: bool, job: str, step: int) -> None:
    before, pristine = wedding.everything(), tree(wedding.root)
    number = 1
    while True:
        if job == "undo":
            wedding.cull()
        fs = fails_at(number, error, forever=forever)
        if wedding.kind is NoLinksFs:
            fs.__class__ = FaultyNoLinksFs
        with suppress(RaliError):
            wedding.cull(fs) if job == "cull" else undo_once(wedding, fs)
        if not fs.failed:
            break
        assert before <= wedding.everything(), number
        wedding.recover()
        assert wedding.everything() == before, number
        assert not wedding.leftovers()
        wedding.undo()
        assert tree(wedding.root) == pristine, number
        number += step
    assert number > 10


def undo_once(wedding: Wedding, fs: Fs) -> None:
    """Undo the last run, without trying again what did not work."""
    with Catalog(wedding.db) as catalog:
        undo(catalog, find_run(catalog, None), fs=fs)


def void(_: object) -> None:
    """Do nothing."""

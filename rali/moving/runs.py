"""Runs: a plan applied, undone, found again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal, Mode, MoveRecord, MoveState, RunRecord, RunState, new_run
from rali.culling.plan import CullPlan
from rali.errors import PathError, UnsafeError, UsageError
from rali.moving.carrier import Carried, Carrier
from rali.moving.moves import Fs, Identity, identity_of, make_folders
from rali.moving.quarantine import Destinations, identity_in_quarantine, quarantine_for, read_journal
from rali.moving.recovery import LOCK_TIMEOUT_S, again, close, moving, repair_runs
from rali.photos.photo import display_path
from rali.photos.scan import matches_glob

# Nobody else may look at photos because they were culled.
_PRIVATE = 0o700


@dataclass(frozen=True)
class Done:
    """What a command did to a run.

    Attributes:
        run: as it stands now; None if nothing was moved at all.
        carried: the numbers, and what stayed with the reasons.
    """

    run: RunRecord | None
    carried: Carried


def apply_plan(
    catalog: Catalog,
    plan: CullPlan,
    *,
    mode: Mode = "move",
    to: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    check: Callable[[CullPlan], CullPlan] = lambda plan: plan,
    on_begin: Callable[[RunRecord], None] = lambda _: None,
    wait_s: float = LOCK_TIMEOUT_S,
    fs: Fs | None = None,
) -> Done:
    """Move the shots of a plan, and nothing else, into a quarantine.

    Args:
        catalog: open; the run is journalled in it.
        plan: as made or loaded; each file is checked again before it is touched.
        mode: ``move``; or ``copy`` or ``hardlink``, which leave the originals where they are.
        to: the quarantine; if None, one on the volume of the photos.
        on_progress: called with the number of shots that are done.
        stop: asked before each shot; once it is true, what was begun is finished and the run ends.
        check: given the plan once no other process moves files; what it drops from it stays.
        on_begin: given the run before the first file is touched: after an error, it tells what left all the same.
        wait_s: for another process that moves files.
        fs: the calls that change files, for tests.

    Raises:
        UnsafeError: the quarantine cannot be made.
        CatalogError: the journal cannot be written, or another process is moving files.
    """
    fs = fs or Fs()
    with moving(catalog, fs, timeout_s=wait_s) as journal:
        plan = check(plan)
        if not plan.shots:
            return Done(None, Carried())
        places: dict[tuple[str, str], None] = {}
        quarantines: dict[tuple[str, str], str] = {}
        for shot in plan.shots:
            key = (shot.root, shot.folder)
            if key not in quarantines:
                quarantines[key] = _quarantine(shot.root, shot.folder, to)
                places[shot.root, quarantines[key]] = None
        run = _begin(journal, plan, mode, list(places), fs)
        on_begin(run)
        try:
            with Carrier(journal, run, back=False, fs=fs, on_progress=on_progress, stop=stop) as carrier:
                carrier.begin()
                carried = carrier.carry(_moves(plan, run, quarantines))
        except OSError as error:
            close(journal, run, fs)
            raise UnsafeError(f"the quarantine cannot be written ({error}): nothing was moved; use --to DIR") from error
        return Done(close(journal, run, fs), carried)


def undo(
    catalog: Catalog,
    run: RunRecord,
    *,
    only: str | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    fs: Fs | None = None,
) -> Done:
    """Bring a run's files back under their names, each shot whole.

    Args:
        only: a glob, as in :class:`rali.photos.scan.Scan`; only shots of which a file matches it come back.

    Raises:
        PathError: the quarantine, or the folder that was scanned, is not there.
    """
    fs = fs or Fs()
    with moving(catalog, fs) as journal:
        run = again(journal, run)
        _require_folders(run)
        roots = {place.id: place.root for place in run.places}
        shots = [
            shot
            for shot in journal.moves(run, MoveState.AWAY)
            if only is None or any(matches_glob(move.source, roots[move.place_id], only) for move in shot)
        ]
        refused: list[tuple[str, str]] = []
        returning: list[list[MoveRecord]] = []
        for shot in shots:
            reason = _why_not_back(shot, run)
            if reason is None:
                returning.append(shot)
            elif reason:
                refused.append((shot[0].source, reason))
        try:
            carrier = Carrier(journal, run, back=True, fs=fs, on_progress=on_progress, stop=stop)
        except OSError as error:
            raise UnsafeError(
                f"the quarantine of run {run.name} cannot be written ({error.strerror or error}): nothing was moved"
            ) from error
        with carrier:
            journal.set_state(run, RunState.UNDOING)
            carried = carrier.carry(returning)
        carried.refused[:0] = refused
        return Done(close(journal, run, fs), carried)


def find_run(catalog: Catalog, name: str | None) -> RunRecord:
    """Return the run of a name; without one, the last that has files in the quarantine.

    Raises:
        UsageError: there is none.
    """
    journal = Journal(catalog)
    if name is not None:
        found = journal.find(name)
        if found is None:
            raise UsageError(f"there is no run {display_path(name)}; see: rali runs")
        return found
    away = [run for run in journal.runs() if run.away]
    moved = [run for run in away if run.mode == "move"]  # of copies, the originals have not left
    for run in moved or away:
        return run
    raise UsageError("there is nothing to undo: every run is undone or purged, or there was none; see: rali runs")


def read_run(catalog: Catalog, path: Path) -> RunRecord:
    """Take over a run from the journal in its quarantine folder, for a catalog that does not know it.

    Raises:
        UsageError: the file is no journal of ours, or the catalog knows the run with another folder.
        PathError: it cannot be read.
    """
    try:
        run, moves = read_journal(path)
    except OSError as error:
        raise PathError(f"{display_path(path)} cannot be read: {error.strerror or error}") from error
    with moving(catalog, Fs()) as journal:
        known = journal.find(run.name)
        if known is not None:
            if run.places[0].folder not in [place.folder for place in known.places]:
                raise UsageError(f"the catalog knows run {run.name} in another folder; use: rali undo {run.name}")
            return known
        # The journal tells what was begun; only the disk tells how far it came.
        shots: dict[int, list[MoveRecord]] = {}
        for move in moves:
            if move.state in (MoveState.LEAVING, MoveState.AWAY) and os.path.lexists(move.destination):
                shots.setdefault(move.shot, []).append(move)
        if not shots:
            raise UsageError(
                f"none of the photos in {display_path(path)} lie beside it: they are back, or this is not the journal "
                "in the run's own folder"
            )
        run = journal.begin(run)
        taken_over = [move for shot in shots.values() for move in shot]
        for shot in shots.values():
            unfinished = run.mode == "move" and any(
                identity_of(move.source) == Identity(move.inode, move.size_bytes, move.mtime_ns) for move in shot
            )
            for move in shot:
                move.place_id = run.places[move.place_id].id
                move.state = MoveState.LEAVING if unfinished else MoveState.AWAY
        journal.add(run, taken_over)
        repair_runs(journal, Fs())
        return again(journal, run)


# -----------------------------------------------------------------------------------------------------------------


def _quarantine(root: str, folder: str, to: Path | None) -> str:
    if to is not None:
        if not os.path.isdir(to) and not os.path.isdir(os.path.dirname(os.path.realpath(to))):
            raise PathError(f"{display_path(to)} is not there: connect its drive, or make the folder")
        return os.path.realpath(to)
    try:
        return quarantine_for(root, folder)
    except OSError as error:
        raise PathError(f"{display_path(folder)}: {error.strerror or error}. Is its drive still connected?") from error


def _begin(journal: Journal, plan: CullPlan, mode: Mode, places: Sequence[tuple[str, str]], fs: Fs) -> RunRecord:
    """Write a run down and make its folders; its name is one that neither the catalog nor a quarantine knows."""
    base = name = time.strftime("%Y-%m-%d_%H%M%S")
    number = 1
    while True:
        if journal.find(name) is None:
            run = journal.begin(
                new_run(
                    name,
                    mode=mode,
                    chosen=plan.chosen,
                    model=f"{plan.scoring.model_name} ({plan.scoring.model_id})",
                    recipe=plan.scoring.recipe,
                    places=[(root, os.path.join(quarantine, name)) for root, quarantine in places],
                )
            )
            try:
                for folder in {place.folder for place in run.places}:
                    make_folders(fs, os.path.dirname(folder), _PRIVATE)
                    fs.make_folder(folder, _PRIVATE)
            except OSError as error:
                journal.drop(run)
                for made in {place.folder for place in run.places} - {folder}:
                    with suppress(OSError):
                        fs.remove_folder(made)
                another_run = isinstance(error, FileExistsError) and os.path.isdir(folder)
                if not another_run:  # of another catalog
                    raise UnsafeError(
                        f"the quarantine {display_path(folder)} cannot be made ({error.strerror}): nothing was moved; "
                        "use --to DIR"
                    ) from error
            else:
                return run
        number += 1
        name = f"{base}-{number}"


def _moves(plan: CullPlan, run: RunRecord, quarantines: dict[tuple[str, str], str]) -> Iterator[list[MoveRecord]]:
    shared = len({place.folder for place in run.places}) < len(run.places)
    destinations = {
        (place.root, os.path.dirname(place.folder)): Destinations(place, os.path.basename(place.root) if shared else "")
        for place in run.places
    }
    for number, shot in enumerate(plan.shots):
        to = destinations[shot.root, quarantines[shot.root, shot.folder]]
        targets = to.of_shot(shot.folder, [file.name for file in shot.files], os.path.lexists)
        yield [
            MoveRecord(
                to.place.id,
                number,
                os.path.join(shot.folder, file.name),
                target,
                file.inode,
                file.size_bytes,
                file.mtime_ns,
            )
            for file, target in zip(shot.files, targets, strict=True)
        ]


def _require_folders(run: RunRecord) -> None:
    for place in run.places:
        if not os.path.isdir(place.folder):
            if run.state is RunState.TRASHED:
                raise PathError(
                    f"run {run.name} is in the system's bin: restore the folder {display_path(place.folder)} from "
                    "there, then undo"
                )
            raise PathError(
                f"the quarantine {display_path(place.folder)} is not there: connect its drive; if you have deleted it: "
                f"rali quarantine purge {run.name}"
            )
        parent = os.path.dirname(place.root)
        gone = not os.path.isdir(place.root)
        # A folder on the same volume was removed and is made again; another volume's is more likely not mounted.
        if gone and not (os.path.isdir(parent) and os.stat(parent).st_dev == os.stat(place.folder).st_dev):
            raise PathError(f"{display_path(place.root)} is not there: connect its drive, or make the folder")


def _why_not_back(shot: Sequence[MoveRecord], run: RunRecord) -> str | None:
    """Return why a shot cannot come back; None if it can, an empty text if it never left (a copy was made)."""
    here = [os.path.lexists(move.source) for move in shot]
    if run.mode != "move" and all(here):
        return ""
    for move, taken in zip(shot, here, strict=True):
        if _is_unmounted(move):
            return f"{display_path(os.path.dirname(move.source))} was on another disk: connect it"
        if taken:
            return f"there is another {display_path(os.path.basename(move.source))} by now; move it away and undo again"
        found = identity_of(move.destination)
        place = f"; what there is of this shot lies in {display_path(os.path.dirname(move.destination))}"
        name = display_path(os.path.basename(move.destination))
        if found is None:
            return f"{name} is not in the quarantine any more{place}"
        expected = identity_in_quarantine(move)
        if found != expected and not found.alike(expected):
            return f"{name} was changed in the quarantine: move it back by hand{place}"
        if found != expected:  # a quarantine that was restored from a backup, or lies on a disk without inodes
            move.away = (found.inode, found.mtime_ns)
    return None


def _is_unmounted(move: MoveRecord) -> bool:
    """Tell if a photo's own folder seems to be on the quarantine's disk, though it was on another."""
    if not move.crossed:
        return False
    home = os.path.dirname(move.source)
    while not os.path.isdir(home):
        home = os.path.dirname(home)
    return os.stat(home).st_dev == os.stat(os.path.dirname(move.destination)).st_dev

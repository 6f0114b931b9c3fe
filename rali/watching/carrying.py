"""Photos whose time has come are planned and carried as one run; what left is told even if an error ended it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal, MoveState, RunRecord
from rali.catalog.records import Scope, Scoring
from rali.culling.choice import Choice
from rali.culling.plan import CullPlan, HeldBack, PlannedShot, over_limits, plan_cull
from rali.errors import CatalogError, PathError, RaliError, UnsafeError
from rali.moving.recovery import recover
from rali.moving.runs import apply_plan
from rali.photos.photo import Photo, display_path, is_gone, shell_word

# Whoever moves many photos holds the lock for minutes; scoring goes on meanwhile, and the cull tries again.
_LOCK_WAIT_S = 2.0
# Far longer than a bracket, stack or panorama takes; but how finely a camera's clock counts is told from its other
# frames, and a shoot has enough of them.
_ABOUT = timedelta(hours=12)


@dataclass(frozen=True)
class CullRules:
    """What to cull and how: see :class:`rali.watching.culling.Culling`.

    Attributes:
        limited: take no more of a folder than ``rali cull`` would without being told twice.
    """

    roots: Sequence[str]
    below: float
    no_protect: Collection[str] = ()
    to: Path | None = None
    limited: bool = False

    @property
    def by_hand(self) -> str:
        """The command that culls the same by hand."""
        return f"rali cull {' '.join(map(shell_word, self.roots))} --below {self.below:g}"


@dataclass(frozen=True)
class Carriage:
    """What became of photos that were to go; those that are not named here are not to go any more.

    Attributes:
        run: the run's name, if anything left.
        went: paths of photos that are in the quarantine.
        held: those that stay, by a rule.
        refused: photos that could not be moved, though others could, and why.
        kept: paths of those that would have gone, had it not ended early: by an error, or by a request to stop.
        error: what ended it early.
    """

    run: str | None = None
    went: tuple[str, ...] = ()
    held: tuple[HeldBack, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()
    error: RaliError | None = None


def cull_files(
    catalog: Catalog, scoring: Scoring, files: Sequence[str], rules: CullRules, stop: Callable[[], bool]
) -> Carriage:
    """Cull those of some photos that still score too low and that no rule protects.

    Raises:
        CatalogError: not even what left can be told.
    """
    plan: CullPlan | None = None
    begun: list[RunRecord] = []
    refused: list[tuple[str, str]] = []
    error: RaliError | None = None

    def look_again(_: CullPlan) -> CullPlan:
        # Whoever held the lock may have kept us waiting while somebody marked a photo.
        nonlocal plan
        plan = _plan(catalog, scoring, files, rules)
        return plan

    try:
        plan = _plan(catalog, scoring, files, rules)
        if plan.shots:
            done = apply_plan(
                catalog, plan, to=rules.to, stop=stop, check=look_again, on_begin=begun.append, wait_s=_LOCK_WAIT_S
            )
            refused = done.carried.refused
            if done.carried.ended_by is not None:
                error = UnsafeError(done.carried.ended_by)
    except (CatalogError, PathError, UnsafeError) as caught:  # a drive that is away, another cull at work
        error = caught
    if plan is None:
        return Carriage(kept=tuple(files), error=error)
    planned = {shot.path: None for shot in plan.shots}
    run, went = _what_left(catalog, begun, planned.keys(), interrupted=error is not None)
    stayed = {} if error is not None else {path: why for path, why in refused if path not in went}
    kept = tuple(path for path in planned if path not in went and path not in stayed)
    return Carriage(run, tuple(went), plan.held_back, tuple(stayed.items()), kept, error)


def _what_left(
    catalog: Catalog, begun: Sequence[RunRecord], planned: Set[str], *, interrupted: bool
) -> tuple[str | None, dict[str, None]]:
    """Return the name of the run, if one was begun and moved anything, and the photos that left by it."""
    if interrupted and begun:
        # The error may have left files half-way. If it was the catalog's, the next command brings them to rest.
        with suppress(CatalogError):
            recover(catalog)
    journal = Journal(catalog)
    for run in begun:
        moves = journal.moves(run, MoveState.AWAY)
        if went := {move.source: None for shot in moves for move in shot if move.source in planned}:
            return run.name, went
    return None, {}


def _plan(catalog: Catalog, scoring: Scoring, files: Sequence[str], rules: CullRules) -> CullPlan:
    """Plan to cull those of some photos that still score too low, each under the rules of its whole folder.

    Raises:
        UnsafeError: too much of a folder would go, and there is a limit.
    """
    choice = Choice(below=rules.below)
    # Grouping all of a large library for each photo that comes would take seconds a photo.
    around = None if rules.limited else _taken_about_when(catalog, scoring, files, rules.roots)
    plan = plan_cull(
        catalog, scoring, Scope(files), choice, roots=rules.roots, no_protect=rules.no_protect, around=around
    )
    shots: list[PlannedShot] = []
    held = list(plan.held_back)
    for shot in plan.shots:
        if other := _other_name(catalog, shot):
            held.append(
                HeldBack(shot.path, shot.score, "hard-link", f"the same file as {display_path(other)}, which stays")
            )
        else:
            # A percentile among the few photos of one moment says nothing.
            shots.append(replace(shot, percentile=None))
    plan = replace(plan, chosen=f"{choice}, while watching", shots=tuple(shots), held_back=tuple(held))
    if rules.limited and (over := over_limits(plan)):
        raise UnsafeError(f"{over}: nothing was moved. To look at them: {rules.by_hand}")
    return plan


def _taken_about_when(catalog: Catalog, scoring: Scoring, files: Sequence[str], roots: Sequence[str]) -> Scope:
    """Return the photos taken about when some files were: the frames of their brackets, stacks and panoramas."""
    known = [photo_id for file in files if (photo_id := catalog.find(file)) is not None]
    times = [taken for record in catalog.records(known, scoring) if (taken := record.captured_at) is not None]
    if not times:  # such sets are told by time; the copies without any that rali cull finds are not looked for here
        return Scope(files)
    first, last = map(datetime.fromisoformat, (min(times), max(times)))
    # A clock may say the year 1, or 9999.
    since, until = max(first, datetime.min + _ABOUT) - _ABOUT, min(last, datetime.max - _ABOUT) + _ABOUT
    return Scope(roots, since=since.isoformat(timespec="seconds"), until=until.isoformat(timespec="seconds"))


def _other_name(catalog: Catalog, shot: PlannedShot) -> str | None:
    for file in shot.files:
        path = os.path.join(shot.folder, file.name)
        photo = Photo(path, file.device, file.inode, file.size_bytes, file.mtime_ns)
        for other in catalog.names_of(photo):
            if other != path and not is_gone(other):
                return other
    return None

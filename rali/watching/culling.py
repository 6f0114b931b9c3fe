"""Culling as photos come: what scored too low waits a while in which its owner can save it, and then goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope, Scoring
from rali.culling.choice import Choice
from rali.culling.plan import CullPlan, HeldBack, PlannedShot, plan_cull
from rali.culling.protect import rules_off
from rali.errors import CatalogBusyError, PathError, UnsafeError
from rali.moving.runs import apply_plan
from rali.photos.photo import Photo, display_path, is_gone
from rali.watching.events import Culled, Event, Held, Notice

# Photos whose time has come within so many seconds go in one run, so that one undo brings a burst back.
_GATHER_S = 10.0
_MOST_AT_ONCE = 256


@dataclass
class Culling:
    """Culls what scored below a bound since the watcher began, each photo on its own.

    Only photos that got their score while it was watching are ever culled; what had one before is for ``rali cull``.
    All rules of a cull hold when a photo's time has come: it stays if it was edited, rated, marked or scored anew by
    then. The limits that make ``rali cull`` ask twice do not apply, because it sees no more than a few photos at a
    time; who asks for this has said yes for all of them.

    Attributes:
        below: scores below it, exclusive.
        grace_s: how long a photo stays after its score.
        roots: the watched folders; quarantines are made beside them.
        no_protect: rules not to apply, see :mod:`rali.culling.protect`.
        to: the quarantine, if not one beside the root.

    Raises:
        UsageError: the bound is no number, or there is no such rule.
    """

    catalog: Catalog
    scoring: Scoring
    roots: Sequence[str]
    below: float
    grace_s: float = 60.0
    no_protect: Collection[str] = ()
    to: Path | None = None
    _due_s: dict[str, float] = field(default_factory=dict, repr=False)  # in the order in which the times come

    def __post_init__(self) -> None:
        Choice(below=self.below)
        rules_off(self.no_protect)

    def __len__(self) -> int:
        """Count the photos whose time has not come."""
        return len(self._due_s)

    def scored(self, file: str, score: float, now_s: float, *, new: bool = True) -> None:
        """Note a photo's score; its time starts if it is ``new``, and ends, with the photo saved, if it was edited."""
        self._due_s.pop(file, None)
        if new and score < self.below:
            self._due_s[file] = now_s + self.grace_s

    def next_due_s(self) -> float | None:
        """Return when :meth:`cull` has something to do; None if it has not."""
        first_s = next(iter(self._due_s.values()), None)
        return None if first_s is None else first_s + min(_GATHER_S, self.grace_s / 4)

    def cull(self, now_s: float, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Cull the photos whose time has come.

        Yields:
            :class:`~rali.watching.events.Culled`, and for each photo that stays :class:`~rali.watching.events.Held`.

        Raises:
            CatalogError: the journal cannot be written.
        """
        next_s = self.next_due_s()
        if next_s is None or now_s < next_s:
            return
        files = [file for file, due_s in self._due_s.items() if due_s <= now_s][:_MOST_AT_ONCE]
        for file in files:
            del self._due_s[file]
        try:
            plan = self._plan(files)
            done = apply_plan(self.catalog, plan, to=self.to, stop=stop)
        except (CatalogBusyError, PathError, UnsafeError) as error:  # a drive that is away, another cull at work
            again = [file for file in files if not is_gone(file)]
            self._due_s |= dict.fromkeys(again, now_s + max(self.grace_s, _GATHER_S))
            yield Notice(f"{len(files):,} photos could not be culled now: {error}")
            return
        refused = dict(done.carried.refused)
        stayed = {path for shot in plan.shots for path in [shot.path] if path in refused or not is_gone(path)}
        if done.run is not None and (went := tuple(shot.path for shot in plan.shots if shot.path not in stayed)):
            yield Culled(done.run.name, went)
        for held in plan.held_back:
            yield Held(held.path, held.rule, held.detail)
        for path in sorted(stayed):
            yield Held(path, "not-moved", refused.get(path) or done.carried.ended_by or "it was not moved")

    def _plan(self, files: Sequence[str]) -> CullPlan:
        """Plan to cull those of some photos that still score too low, each under the rules of its whole folder."""
        choice = Choice(below=self.below)
        plan = plan_cull(self.catalog, self.scoring, Scope(files), choice, roots=self.roots, no_protect=self.no_protect)
        shots: list[PlannedShot] = []
        held = list(plan.held_back)
        for shot in plan.shots:
            if other := self._other_name(shot):
                held.append(
                    HeldBack(shot.path, shot.score, "hard-link", f"the same file as {display_path(other)}, which stays")
                )
            else:
                # A percentile among the few photos of one moment says nothing.
                shots.append(replace(shot, percentile=None))
        return replace(plan, chosen=f"{choice}, while watching", shots=tuple(shots), held_back=tuple(held))

    def _other_name(self, shot: PlannedShot) -> str | None:
        for file in shot.files:
            path = os.path.join(shot.folder, file.name)
            photo = Photo(path, file.device, file.inode, file.size_bytes, file.mtime_ns)
            for other in self.catalog.names_of(photo):
                if other != path and not is_gone(other):
                    return other
        return None

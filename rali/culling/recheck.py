"""A cull plan that was made earlier, looked at again before anything moves: shots leave it, none ever comes to it."""

from __future__ import annotations

import os
from collections.abc import Collection, Container
from dataclasses import replace

from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal
from rali.catalog.records import Candidate, Scope
from rali.culling.choice import REJECTED
from rali.culling.plan import CullPlan, HeldBack, PlannedShot
from rali.culling.protect import FolderOnDisk, rules_off, strongest
from rali.photos.photo import display_path, shell_word


def recheck(catalog: Catalog, plan: CullPlan, *, no_protect: Collection[str] = ()) -> CullPlan:
    """Look again at the shots of a plan made earlier, and drop what is no longer as it was; nothing is ever added.

    Dropped, with the rule, is a shot of which a file came, went or changed, or that was marked ``keep``, rated or
    edited since. So is the rest of a bracket, focus stack or panorama of which a frame is dropped, unless that frame
    went already, with a run that was interrupted.

    Raises:
        UsageError: there is no such rule, or it cannot be turned off.
    """
    off = rules_off(no_protect)
    kept = catalog.marked("keep")
    known = {photo.path: photo for photo in catalog.candidates(plan.scoring, Scope(plan.roots))}
    held: list[HeldBack] = []
    shots: list[PlannedShot] = []
    sizes: dict[str, int] = {}
    by_folder: dict[str, list[PlannedShot]] = {}
    for shot in plan.shots:
        by_folder.setdefault(shot.folder, []).append(shot)
    for folder, planned in by_folder.items():
        disk = FolderOnDisk(folder, also={shot.files[0].name for shot in planned})
        for shot in planned:
            if reason := strongest(_held_by(disk, shot, known.get(shot.path), kept), off):
                held.append(HeldBack(shot.path, shot.score, *reason))
            else:
                shots.append(shot)
        sizes[folder] = min(plan.folder_sizes.get(folder, len(disk.shots)), len(disk.shots))
    away = Journal(catalog).away(one.path for one in held if one.rule == "gone")
    if "group" not in off:
        shots = _whole_still(plan, shots, held, away)
    folders = {shot.folder for shot in shots}
    sizes = {folder: size for folder, size in sizes.items() if folder in folders}
    told = [replace(one, detail=_moved_by(away[one.path][0])) if one.path in away else one for one in held]
    return replace(plan, shots=tuple(shots), held_back=(*plan.held_back, *told), folder_sizes=sizes)


def _whole_still(
    plan: CullPlan, shots: list[PlannedShot], held: list[HeldBack], away: Container[str]
) -> list[PlannedShot]:
    """Return the shots no frame of whose group stays, unlike when the plan was made; or marked reject."""
    dropped = {one.path for one in held if one.path not in away}
    stays = {shot.group: shot.path for shot in plan.shots if shot.group is not None and shot.path in dropped}
    free: list[PlannedShot] = []
    for shot in shots:
        if shot.group not in stays or shot.why == REJECTED:
            free.append(shot)
        else:
            name = display_path(os.path.basename(stays[shot.group]))
            held.append(HeldBack(shot.path, shot.score, "group", f"taken to be used with {name}, which stays"))
    return free


def _moved_by(run: str) -> str:
    return f"run {run} has moved it; back with: rali undo {shell_word(run)}"


def _held_by(disk: FolderOnDisk, shot: PlannedShot, known: Candidate | None, kept: Collection[str]) -> dict[str, str]:
    """Return all rules that hold a shot now, with their details."""
    leader = shot.files[0]
    if leader.name not in disk.shots:
        if leader.name in disk.leader_of:
            return {"changed": f"{display_path(disk.leader_of[leader.name])} came to it since the plan was made"}
        return {"gone": disk.why_gone(leader.name)}
    found: dict[str, str] = {}
    names = (leader.name, *disk.shots[leader.name])
    planned = {file.name: file for file in shot.files}
    for name in sorted(planned.keys() ^ set(names)):
        found["changed"] = (
            f"{display_path(name)} {'is gone' if name in planned else 'came to it'} since the plan was made"
        )
    for name in planned.keys() & set(names):
        info = disk.state(name)
        if info is None or planned[name][2:] != (info.st_ino, info.st_size, info.st_mtime_ns):
            found["changed"] = f"{display_path(name)} has changed since the plan was made"
    same = known is not None and leader[2:] == (known.inode, known.size_bytes, known.mtime_ns)
    if kept and any(disk.file(name) in kept for name in names):
        found["keep"] = "marked keep"
    if known is not None and same and known.mark == "reject":
        return found
    if shot.why == REJECTED:
        found["changed"] = "it is no longer marked reject"
    cached = {leader.name: known.user_work} if known is not None and same else {}
    return found | disk.work(names, cached)

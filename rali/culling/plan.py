"""What to cull: which photos are chosen, which of them are protected, and the plan that results. Nothing is moved."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rali.catalog.catalog import Catalog
from rali.catalog.records import Candidate, Scope, Scoring
from rali.catalog.rows import split_names
from rali.culling.choice import REJECTED, Choice, Pick, pick
from rali.culling.protect import FolderOnDisk, rules_off, strongest
from rali.errors import FailureKind, UnsafeError
from rali.grouping.bursts import Whole, beyond_the_best, find_bursts, sets_kept_whole
from rali.photos.photo import display_path, shell_word


class ShotFile(NamedTuple):
    """One file of a shot, as the plan saw it."""

    name: str
    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class PlannedShot:
    """A shot that is to go, whole.

    Attributes:
        root: the scanned folder it lies below.
        folder: absolute, where its files lie.
        files: the leader, which was scored, first; then its companions by name.
        score, percentile: None for a photo that failed.
        why: in words.
        group: the number, in this plan, of the bracket, focus stack or panorama that goes as a whole and has it as a
            frame, if any.
    """

    root: str
    folder: str
    files: tuple[ShotFile, ...]
    score: float | None
    percentile: float | None
    why: str
    group: int | None = None

    @property
    def path(self) -> str:
        """Absolute path of the leader."""
        return os.path.join(self.folder, self.files[0].name)

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)


Going = tuple[PlannedShot, Iterable[Pick]]  # a shot, and those of its files that were chosen


@dataclass(frozen=True)
class HeldBack:
    """A photo that was chosen and stays, with the rule that holds it and the details for people."""

    path: str
    score: float | None
    rule: str
    detail: str


@dataclass(frozen=True)
class CullPlan:
    """What a cull would move, and what it would not.

    Attributes:
        roots: the folders that were looked at, resolved.
        chosen: what was asked for, in words.
        scoring: what the scores were made by; never more than one.
        shots: to be moved, in the order of paths.
        held_back: chosen, but protected.
        considered: how many scored photos there were to choose from.
        folder_sizes: how many photos the catalog lists in each folder of ``shots``.
    """

    roots: tuple[str, ...]
    chosen: str
    scoring: Scoring
    shots: tuple[PlannedShot, ...]
    held_back: tuple[HeldBack, ...]
    considered: int
    folder_sizes: Mapping[str, int]

    @property
    def files(self) -> int:
        """How many files there are in all shots."""
        return sum(len(shot.files) for shot in self.shots)

    @property
    def size_bytes(self) -> int:
        """Of all files of all shots."""
        return sum(shot.size_bytes for shot in self.shots)

    @property
    def held_back_by(self) -> Counter[str]:
        """How many shots each rule holds back."""
        return Counter(held.rule for held in self.held_back)


def plan_cull(
    catalog: Catalog,
    scoring: Scoring,
    scope: Scope,
    choice: Choice,
    *,
    roots: Sequence[str],
    no_protect: Collection[str] = (),
    around: Scope | None = None,
) -> CullPlan:
    """Plan a cull: choose among the scored photos of ``scope``, look at the disk, and hold back what is protected.

    What is marked ``reject`` goes too (from a list only if it is on it), whatever its score, its rating or its edits:
    the mark is the later decision. A shot goes whole, or is held back by the most personal rule that protects it.

    One file goes under one name only. If a photo of the scope has several (hard links, a folder that is mounted
    twice) and one of them stays, because it was not chosen or is protected, all of them stay: what is wanted under
    one name is no reject under another. If all are chosen, the first by path goes; the next cull takes the next.

    The dark and the bright frame of an exposure bracket score low because they were meant to be dark and bright. So
    where scores choose, a bracket, a focus stack or a panorama goes only as a whole.

    Args:
        roots: folders and files that were asked for, resolved; a quarantine is made beside them.
        no_protect: rules not to apply, see :data:`rali.culling.protect.CAN_BE_OFF`.
        around: the photos among which brackets, stacks and panoramas are looked for; None: all below the roots,
            whatever globs and dates ``scope`` has, for what these leave out stays.

    Raises:
        UsageError: there is no such rule, or it cannot be turned off.
        UnsafeError: not one of the photos chosen is there, as when their drive is not connected.
    """
    off = rules_off(no_protect)
    photos = catalog.candidates(scoring, scope)
    lesser: Collection[int] = ()
    if choice.per_burst is not None:
        lesser = beyond_the_best(find_bursts(catalog, scoring, scope), choice.per_burst, across=choice.across)
    chosen = pick(photos, choice, lesser=lesser)
    held = [
        HeldBack(path, None, "unknown", f"it is not in the catalog; run: rali score {shell_word(path)}")
        for path in chosen.unknown
    ]
    kept = catalog.marked("keep")
    planned: list[Going] = []
    sizes: dict[str, int] = {}
    by_folder: dict[str, dict[str, Pick]] = {}
    for picked in chosen.picks:
        by_folder.setdefault(picked.photo.folder, {})[picked.photo.name] = picked
    for folder, picks in sorted(by_folder.items()):
        disk = FolderOnDisk(folder, also=picks.keys())
        listed = catalog.listed_in(folder)
        sizes[folder] = disk.count(listed)
        root = _root_of(folder, roots)
        by_shot: dict[str, dict[str, Pick]] = {}
        for name in sorted(picks):
            by_shot.setdefault(disk.leader_of.get(name, name), {})[name] = picks[name]
        for leader, members in by_shot.items():
            first = members.get(leader) or next(iter(members.values()))
            files, found = _judge(disk, leader, members, listed, kept)
            if reason := strongest(found, off):
                held.append(HeldBack(first.photo.path, first.photo.score, *reason))
            else:
                shot = PlannedShot(root, folder, files, first.photo.score, first.percentile, first.why)
                planned.append((shot, members.values()))
    if held and not planned and all(one.rule == "gone" for one in held):
        raise UnsafeError(
            f"not one of the {len(held):,} photos chosen is where it was scored: connect their drive; if they are gone "
            "for good: rali forget. Nothing was moved"
        )
    wholes: list[Whole] = []
    if planned and choice.is_by_score and "group" not in off:
        if around is None:
            around = Scope([root if os.path.isdir(root) else os.path.dirname(root) for root in roots])
        wholes = sets_kept_whole(catalog, scoring, around)
    planned = _whole_groups(wholes, planned, held)
    singled = _under_one_name(planned, photos, held)
    if len(singled) < len(planned):  # which may have taken a frame out of a group
        singled = _whole_groups(wholes, singled, held)
    shots = _numbered(wholes, singled)
    folders = {shot.folder for shot in shots}
    return CullPlan(
        roots=tuple(roots),
        chosen=str(choice),
        scoring=scoring,
        shots=tuple(shots),
        held_back=tuple(sorted(held, key=lambda one: one.path)),
        considered=chosen.considered,
        folder_sizes={folder: size for folder, size in sizes.items() if folder in folders},
    )


def over_limits(plan: CullPlan, *, share: float = 0.5, photos: int = 5000) -> str | None:
    """Say in one line why a plan takes so much that somebody should be asked twice; None if it does not.

    Args:
        share: more than this part of the photos in one folder.
        photos: more than so many in all.
    """
    shares = {
        folder: (count / max(plan.folder_sizes.get(folder, count), 1), count)
        for folder, count in Counter(shot.folder for shot in plan.shots).items()
    }
    if shares:
        folder = max(shares, key=shares.__getitem__)
        part, count = shares[folder]
        if part > share:
            size = plan.folder_sizes.get(folder, count)
            return f"{count:,} of the {size:,} photos in {display_path(folder)} would go, more than {share:.0%}"
    if len(plan.shots) > photos:
        return f"{len(plan.shots):,} photos would go, more than {photos:,}"
    return None


def _judge(
    disk: FolderOnDisk, leader: str, members: Mapping[str, Pick], listed: Container[str], kept: Collection[str]
) -> tuple[tuple[ShotFile, ...], dict[str, str]]:
    """Look at one shot: return its files, and all rules that hold it, with their details.

    Args:
        members: those of its files that were chosen, by name; with RAWs that are scored for themselves, several.
        listed: names of all photos in the folder that have a place of their own in the catalog.
        kept: paths that are marked ``keep``.
    """
    if leader not in disk.shots:
        return (), {"gone": disk.why_gone(leader)}
    names = (leader, *disk.shots[leader])
    rejected = all(pick.photo.mark == "reject" for pick in members.values())
    found: dict[str, str] = {}
    files: list[ShotFile] = []
    cached: dict[str, str | None] = {}
    for name in names:
        info = disk.state(name)
        if info is None:
            return (), {"gone": f"{display_path(name)}: {disk.why_gone(name)}"}
        files.append(ShotFile(name, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns))
        if name in members:
            photo = members[name].photo
            if (photo.inode, photo.size_bytes, photo.mtime_ns) == (info.st_ino, info.st_size, info.st_mtime_ns):
                cached[name] = photo.user_work
            else:
                found["changed"] = f"{display_path(name)} has changed since it was scored; run: rali score"
            if photo.score is None and not rejected:
                found |= _no_score(photo.failure)
            elif photo.score is not None and not math.isfinite(photo.score) and not rejected:
                found["not-finite"] = f"its score is {photo.score}"
        elif len(names) > 1 and disk.is_photo(name):
            if name in listed:
                found["shot"] = f"{display_path(name)}, of the same shot, was not chosen"
            elif not any(name in split_names(pick.photo.companions) for pick in members.values()):
                found["changed"] = f"{display_path(name)} came to it since it was scored; run: rali score"
    if kept and any(disk.file(name) in kept for name in names):
        found["keep"] = "marked keep"
    if not rejected:
        found |= disk.work(names, cached)
    return tuple(files), found


def _no_score(failure: str | None) -> dict[str, str]:
    if failure is None:
        return {"unknown": "it has no score by this model and recipe; run: rali score"}
    if failure == FailureKind.NOT_FINITE:
        return {"not-finite": "the model gave it no finite score"}
    return {"failed": f"it could not be scored: {failure}"}


def _whole_groups(wholes: Iterable[Whole], planned: list[Going], held: list[HeldBack]) -> list[Going]:
    """Return the shots that may go, so that what was taken to be used together goes together; or marked reject."""
    going = {pick.photo.photo_id for _, picks in planned for pick in picks}
    reasons: dict[int, str] = {}
    for kind, frames in wholes:
        for folder in {os.path.dirname(file.path) for files in frames for file in files if file.photo_id in going}:
            # Copies elsewhere do not matter to a set that lies in one folder.
            own = [[file for file in files if os.path.dirname(file.path) == folder] or files for files in frames]
            stays = next((files for files in own if not any(file.photo_id in going for file in files)), None)
            if stays is not None:
                detail = f"of a {kind} of {len(frames)}, of which {display_path(os.path.basename(stays[0].path))} stays"
                reasons |= {file.photo_id: detail for files in own for file in files}
    free: list[Going] = []
    for shot, picks in planned:
        kept = next((reasons[pick.photo.photo_id] for pick in picks if pick.photo.photo_id in reasons), None)
        if kept is None or shot.why == REJECTED:
            free.append((shot, picks))
        else:
            held.append(HeldBack(shot.path, shot.score, "group", kept))
    return free


def _numbered(wholes: Iterable[Whole], planned: list[Going]) -> list[PlannedShot]:
    """Return the shots, each with the number of its group, so that a later look keeps the group together, too."""
    number = {file.photo_id: at for at, (_, frames) in enumerate(wholes) for files in frames for file in files}
    found: list[PlannedShot] = []
    for shot, picks in planned:
        group = next((number[pick.photo.photo_id] for pick in picks if pick.photo.photo_id in number), None)
        found.append(shot if group is None else replace(shot, group=group))
    return found


def _under_one_name(planned: list[Going], photos: Iterable[Candidate], held: list[HeldBack]) -> list[Going]:
    """Return the shots that may go, so that no file goes under one name and stays, or goes, under another."""
    going = {pick.photo.photo_id for _, picks in planned for pick in picks}
    inodes = {file.inode for shot, _ in planned for file in shot.files}
    stays: dict[tuple[int, int], str] = {}
    for photo in photos:
        if photo.inode in inodes and photo.photo_id not in going:
            with contextlib.suppress(OSError):  # what is gone has no other name
                info = os.lstat(photo.path)
                stays[info.st_dev, info.st_ino] = photo.path
    if not stays and len(inodes) == sum(len(shot.files) for shot, _ in planned):  # as nearly always
        return planned
    goes: dict[tuple[int, int], str] = {}
    free: list[Going] = []
    for shot, picks in planned:
        files = [(file.device, file.inode) for file in shot.files]
        detail = None
        for file in files:
            if file in stays:
                detail = f"the same file as {display_path(stays[file])}, which stays"
            elif file in goes:
                detail = f"the same file as {display_path(goes[file])}, which goes; the next cull takes this one"
        if detail is not None:
            held.append(HeldBack(shot.path, shot.score, "hard-link", detail))
            continue
        goes |= dict.fromkeys(files, shot.path)
        free.append((shot, picks))
    return free


def _root_of(folder: str, roots: Iterable[str]) -> str:
    """Return the innermost root that a folder lies in; a file given as root counts as its folder."""
    folders = [root if os.path.isdir(root) else os.path.dirname(root) for root in roots]
    around = [root for root in folders if folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)]
    return max(around, key=len, default=folder)

"""The groups among scored photos, the best frame of each first."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rali.catalog.catalog import Catalog
from rali.catalog.frames import FrameFile, ScoredFrame, frame_vectors, scored_frames, splits
from rali.catalog.records import Scope, Scoring
from rali.grouping.frame import KEPT_WHOLE, Kind
from rali.grouping.groups import group_frames
from rali.grouping.headers import plain, with_exposures
from rali.photos.shots import shots_in
from rali.photos.sniff import Format
from rali.photos.user_work import file_work

# A frame with fewer pixels than this share of its group's largest was reduced for sending, or cut: a score of it says
# little of what is lost.
_FULL_SIZE = 0.8

# A bracket, stack or panorama, with the files of each of its frames.
Whole = tuple[Kind, list[tuple[FrameFile, ...]]]


@dataclass(frozen=True)
class BurstFrame:
    """A frame of a group.

    Attributes:
        frame: with its score, its time and its files.
        chosen_by: what the user did to it, in words, if anything: it counts more than any score.
        reduced: it has far fewer pixels than others of the group.
    """

    frame: ScoredFrame
    chosen_by: str | None
    reduced: bool

    @property
    def path(self) -> str:
        """Absolute path of the first of its files."""
        return self.frame.files[0].path


@dataclass(frozen=True)
class Burst:
    """A group of frames, whatever its kind.

    Attributes:
        frames: two or more, best first: what the user chose, then by score; RAWs before what may have been made of
            them, reduced ones behind, rejected ones last.
    """

    kind: Kind
    frames: tuple[BurstFrame, ...]

    @property
    def best(self) -> BurstFrame:
        """The frame to show of the group."""
        return self.frames[0]

    @property
    def kept_whole(self) -> bool:
        """Tell if its frames were taken to be used together, so that none may be culled as the lesser one."""
        return self.kind in KEPT_WHOLE

    @property
    def marked_keep(self) -> bool:
        """Tell if the user marked every frame of it ``keep``."""
        return all(frame.frame.mark == "keep" for frame in self.frames)

    @property
    def captured_at(self) -> str | None:
        """When the earliest of its frames was taken, as far as one says so."""
        return min((frame.frame.captured_at for frame in self.frames if frame.frame.captured_at), default=None)


def _ignore(_: int) -> None:
    """Tell nobody."""


def find_bursts(
    catalog: Catalog, scoring: Scoring, scope: Scope, *, on_headers: Callable[[int], None] = _ignore
) -> list[Burst]:
    """Find the groups among the photos of ``scope`` that have a score by ``scoring``, in the order of time.

    Photos of one content are one frame. Headers of photos that were scored by an earlier rali are read where they can
    matter, and stored.

    Args:
        on_headers: told how many headers are about to be read, if any.
    """
    beside = _Beside()
    return [Burst(kind, _best_first(frames, beside)) for kind, frames in _grouped(catalog, scoring, scope, on_headers)]


def in_order(catalog: Catalog, scoring: Scoring, files: Sequence[str]) -> tuple[BurstFrame, ...]:
    """Return the frames of one group, whose files are known, best first as the user's marks and stars are now."""
    frames = scored_frames(catalog, scoring, Scope(files))
    return _best_first(frames, _Beside()) if frames else ()


def sets_kept_whole(catalog: Catalog, scoring: Scoring, scope: Scope) -> list[Whole]:
    """Return the brackets, stacks and panoramas alone, each with the files of its frames; no sidecar is read for it."""
    groups = _grouped(catalog, scoring, scope, _ignore)
    return [(kind, [frame.files for frame in frames]) for kind, frames in groups if kind in KEPT_WHOLE]


def _grouped(
    catalog: Catalog, scoring: Scoring, scope: Scope, on_headers: Callable[[int], None]
) -> list[tuple[Kind, list[ScoredFrame]]]:
    """Return each group with its frames, in the order of time."""
    frames = with_exposures(catalog, scored_frames(catalog, scoring, scope), on_start=on_headers)
    by_id = {frame.content_id: frame for frame in frames}
    groups = group_frames(map(plain, frames), vectors=frame_vectors(catalog, scoring, by_id), splits=splits(catalog))
    return [(group.kind, [by_id[key] for key in group.keys]) for group in groups]


def lesser_photos(bursts: Iterable[Burst]) -> set[int]:
    """Return the ids of all photos that a list of only the best of each group leaves out."""
    return {
        file.photo_id
        for burst in bursts
        for place, frame in enumerate(burst.frames)
        for number, file in enumerate(frame.frame.files)
        if place or number
    }


def beyond_the_best(bursts: Iterable[Burst], keep: int, *, across: bool) -> set[int]:
    """Return the ids of photos in bursts that are not among the best ``keep`` frames of their burst.

    Brackets, stacks and panoramas are left whole.

    Args:
        keep: how many frames stay, 1 or more.
        across: of the burst as a whole; otherwise of what lies of it in each folder, so that a folder of copies or
            exports loses none of its frames to another.
    """
    found: set[int] = set()
    for burst in bursts:
        if burst.kept_whole:
            continue
        by_folder: dict[str, list[list[FrameFile]]] = {}  # of each folder the frames in it, best first
        for frame in burst.frames:
            own: dict[str, list[FrameFile]] = {}
            for file in frame.frame.files:
                own.setdefault("" if across else os.path.dirname(file.path), []).append(file)
            for folder, files in own.items():
                by_folder.setdefault(folder, []).append(files)
        for frames in by_folder.values():
            found.update(file.photo_id for files in frames[keep:] for file in files)
    return found


class _Beside:
    """Which files belong to a photo now: stars given since it was scored may lie in a new sidecar."""

    def __init__(self) -> None:
        self._shots: dict[str, Mapping[str, tuple[str, ...]]] = {}

    def of(self, file: FrameFile) -> tuple[str, ...]:
        """Return names, as the catalog has them where the folder cannot be listed or the photo is not in it."""
        folder, name = os.path.split(file.path)
        if folder not in self._shots:
            try:
                self._shots[folder] = shots_in(folder)
            except OSError:
                self._shots[folder] = {}
        return self._shots[folder].get(name, file.companions)


def _best_first(frames: Sequence[ScoredFrame], beside: _Beside) -> tuple[BurstFrame, ...]:
    most = max(frame.width * frame.height for frame in frames)
    found = [
        BurstFrame(frame, _chosen_by(frame, beside), frame.width * frame.height < _FULL_SIZE * most) for frame in frames
    ]
    return tuple(
        sorted(
            found,
            key=lambda one: (
                one.frame.mark == "reject",
                one.chosen_by is None,
                one.reduced,
                one.frame.format is not Format.RAW,
                -one.frame.score,
                one.path,
            ),
        )
    )


def _chosen_by(frame: ScoredFrame, beside: _Beside) -> str | None:
    """Say how the user chose a frame: by a mark, or by work on it in another program, in the file or beside it."""
    if frame.mark == "keep":
        return "marked keep"
    work = _noted(frame.user_work)
    if not work:
        work = next((found for file in frame.files if (found := _work_beside(file, beside))), {})
    return next((detail for rule, detail in work.items() if rule != "unreadable"), None)


def _noted(user_work: str | None) -> dict[str, str]:
    try:
        found = json.loads(user_work or "{}")
    except ValueError:
        return {}
    return {str(rule): str(detail) for rule, detail in found.items()} if isinstance(found, dict) else {}


def _work_beside(file: FrameFile, beside: _Beside) -> dict[str, str]:
    """Return the user's work in the sidecars of a photo; what cannot be read says nothing of a choice."""
    folder = os.path.dirname(file.path)
    for name in beside.of(file):
        if os.path.splitext(name)[1].lower() in (".xmp", ".pp3", ".dop", ".cos", ".on1", ".vrd"):
            try:
                work = dict(file_work(os.path.join(folder, name)))
            except OSError:
                continue
            if work:
                return work
    return {}

"""What a rating would write, and into which sidecars. Nothing is written."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from rali.catalog.catalog import Catalog
from rali.catalog.rating_journal import content_hash
from rali.catalog.records import Candidate, Scope, Scoring
from rali.culling.protect import FolderOnDisk
from rali.listing import rank_photos
from rali.photos.photo import RAW_SUFFIXES, display_path
from rali.photos.shots import group_shots
from rali.photos.stars import DECISIONS
from rali.photos.xmp import MAX_XMP_BYTES
from rali.photos.xmp_document import Property, XmpDocument
from rali.photos.xmp_meaning import UnmergeableError
from rali.rating.grading import GRADES, Wishes
from rali.starred import by_full_name, is_xmp

Style = Literal["stem", "full"]
# A sidecar in which nobody has said anything; what it is to say is merged into it, as into any other.
_NOTHING_SAID = b"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="rali">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description
   rdf:about=""/>
 </rdf:RDF>
</x:xmpmeta>
"""


class SidecarNow(NamedTuple):
    """A sidecar as it lies on disk: what it holds, or None if there is none, its time of change, its permissions."""

    content: bytes | None
    mtime_ns: int = 0
    permissions: int = 0


@dataclass(frozen=True)
class PlannedSidecar:
    """A sidecar that is to be written.

    Attributes:
        photo: absolute path of the photo that was scored.
        path: of the sidecar.
        grade: 1 to 5.
        properties: what it is to say.
        old_hash: of what it holds now; None if there is none.
    """

    photo: str
    path: str
    score: float
    percentile: float
    grade: int
    properties: Mapping[Property, str | None]
    old_hash: bytes | None


class Kept(NamedTuple):
    """A photo of which something stays as the user decided, or that cannot be rated, with the rule and the detail.

    Attributes:
        whole: nothing is written for it at all.
    """

    path: str
    rule: str
    detail: str
    whole: bool


@dataclass(frozen=True)
class RatingPlan:
    """What a rating would write, and what it would not.

    Attributes:
        roots: the folders and files asked for, resolved.
        sidecars: to be written, in the order of paths.
        unchanged: how many photos say already what they would.
        kept: what stays, and why.
        grades: how many photos each grade has, whatever is written.
        considered: how many scored photos there were.
    """

    roots: tuple[str, ...]
    wishes: Wishes
    scoring: Scoring
    sidecars: tuple[PlannedSidecar, ...]
    unchanged: int
    kept: tuple[Kept, ...]
    grades: Counter[int]
    considered: int

    @property
    def new(self) -> int:
        """How many of the sidecars are not there yet."""
        return sum(sidecar.old_hash is None for sidecar in self.sidecars)

    @property
    def left_out(self) -> int:
        """How many photos nothing is written for, because of a rule."""
        return len({kept.path for kept in self.kept if kept.whole})

    def confirmed_by(self, later: RatingPlan) -> RatingPlan:
        """Return the plan with those sidecars alone that a later plan would write as well, into the same content."""
        still = {(one.photo, one.path, one.old_hash) for one in later.sidecars}
        sidecars = tuple(one for one in self.sidecars if (one.photo, one.path, one.old_hash) in still)
        return replace(self, sidecars=sidecars, kept=later.kept)


@dataclass
class _Gathered:
    sidecars: list[PlannedSidecar] = field(default_factory=list)
    unchanged: int = 0
    kept: list[Kept] = field(default_factory=list)


def plan_rating(
    catalog: Catalog,
    scoring: Scoring,
    scope: Scope,
    wishes: Wishes,
    *,
    style: Style | None = None,
    overwrite_mine: bool = False,
) -> RatingPlan:
    """Plan to rate the scored photos of ``scope``.

    Stars, labels and flags that the user has given, in any file of the shot, stay, each for itself; so does what rali
    wrote once and the user has changed since, or taken away.

    Args:
        style: of a sidecar that is not there yet: ``stem`` (``IMG.xmp``) or ``full`` (``IMG.CR3.xmp``); None: ``stem``
            for a shot with a RAW, ``full`` for any other.
        overwrite_mine: change what the user has given all the same, in the sidecar that is written.

    Raises:
        PathError: the catalog knows no photo in the scope.
    """
    ranking = rank_photos(catalog, scoring, scope)
    percentiles = dict(zip(ranking.ids.tolist(), ranking.percentiles.tolist(), strict=True))
    by_folder: dict[str, list[Candidate]] = {}
    grades: Counter[int] = Counter(dict.fromkeys(GRADES, 0))
    for photo in catalog.candidates(scoring, scope):
        if photo.score is not None and math.isfinite(photo.score) and photo.photo_id in percentiles:
            by_folder.setdefault(photo.folder, []).append(photo)
            grades[wishes.grading.grade(photo.score, percentiles[photo.photo_id])] += 1
    gathered = _Gathered()
    for folder, photos in sorted(by_folder.items()):
        disk = FolderOnDisk(folder, also={photo.name for photo in photos})
        for photo in sorted(photos, key=lambda one: one.name):
            _plan_one(gathered, disk, photo, percentiles[photo.photo_id], scoring, wishes, style, overwrite_mine)
    return RatingPlan(
        tuple(scope.roots),
        wishes,
        scoring,
        tuple(gathered.sidecars),
        gathered.unchanged,
        tuple(gathered.kept),
        grades,
        sum(grades.values()),
    )


def _plan_one(
    gathered: _Gathered,
    disk: FolderOnDisk,
    photo: Candidate,
    percentile: float,
    scoring: Scoring,
    wishes: Wishes,
    style: Style | None,
    overwrite_mine: bool,
) -> None:
    """Look at one photo and its sidecars, and note what is to be written, or why not."""

    def leave(rule: str, detail: str, *, whole: bool = True) -> None:
        gathered.kept.append(Kept(photo.path, rule, detail, whole))

    if reason := _why_not(disk, photo):
        leave(*reason)
        return
    companions = disk.shots[photo.name]
    try:
        found = {name: look_at_sidecar(disk.file(name)) for name in companions if is_xmp(name)}
        documents = {name: read_document(disk.file(name), now.content) for name, now in found.items()}
        work = disk.work((photo.name, *companions), {photo.name: photo.user_work})
        if "unreadable" in work:
            leave("unreadable", work["unreadable"])
            return
        users = {} if overwrite_mine else _users(documents, work)
        kept = {rule: detail for rule, detail in users.items() if rule in wishes.rules}
        for rule, detail in kept.items():
            leave(rule, detail, whole=kept.keys() == wishes.rules)
        if kept.keys() == wishes.rules:
            return
        name = _sidecar_for(disk, photo.name, documents, style)
        score = photo.score if photo.score is not None else math.nan
        grade = wishes.grading.grade(score, percentile)
        properties = wishes.properties(grade, score, percentile, scoring, kept)
        now = found.get(name) or look_at_sidecar(disk.file(name))
        document = documents.get(name) or read_document(disk.file(name), now.content)
        with naming(disk.file(name)):
            changes = document.edits(properties)
    except UnmergeableError as error:
        leave("unreadable", str(error))
        return
    except OSError as error:
        leave("unreadable", error.strerror or str(error))
        return
    if not changes:
        gathered.unchanged += 1
        return
    path, old = disk.file(name), content_hash(now.content)
    gathered.sidecars.append(PlannedSidecar(photo.path, path, score, percentile, grade, properties, old))


def _why_not(disk: FolderOnDisk, photo: Candidate) -> tuple[str, str] | None:
    """Return the rule, and the detail, that keeps a photo from being rated at all."""
    if photo.name not in disk.shots:
        if photo.name in disk.leader_of:
            return "shot", f"it belongs to {display_path(disk.leader_of[photo.name])}, which is rated"
        return "gone", disk.why_gone(photo.name)
    info = disk.state(photo.name)
    read = (photo.inode, photo.size_bytes, photo.mtime_ns)
    if info is None or (info.st_ino, info.st_size, info.st_mtime_ns) != read:
        return "changed", "it has changed since it was scored; run: rali score"
    return None


def _users(documents: Mapping[str, XmpDocument], work: Mapping[str, str]) -> dict[str, str]:
    """Return the rules of all that the user has decided about a shot, with details."""
    found = {decision.rule: work[decision.rule] for decision in DECISIONS if decision.rule in work}
    for name, document in documents.items():
        for decision in DECISIONS:
            if decision.is_users(document):
                now = document.value(decision.value) or "nothing"
                found.setdefault(decision.rule, f"{decision.rule} {display_path(now)} in {display_path(name)}")
    return found


def _sidecar_for(disk: FolderOnDisk, leader: str, documents: Mapping[str, XmpDocument], style: Style | None) -> str:
    """Return the name of the sidecar to write: of those that are there, the one that has a rating already.

    Else the one that bears a file's full name, which is darktable's and digiKam's, who would look at no other.
    """
    present = sorted(documents, key=by_full_name)
    rated = [name for name in present if any(documents[name].value(one.value) for one in DECISIONS)]
    if present:
        return (rated or present)[0]
    raws = [name for name in (leader, *disk.shots[leader]) if os.path.splitext(name)[1].lower() in RAW_SUFFIXES]
    owner = (raws or [leader])[0]
    chosen: Style = style or ("stem" if raws else "full")
    short, full = f"{os.path.splitext(owner)[0]}.xmp", f"{owner}.xmp"
    return short if chosen == "stem" and _would_own(disk, leader, short) else full


def _would_own(disk: FolderOnDisk, leader: str, sidecar: str) -> bool:
    """Tell if a sidecar would belong to a shot: of a JPEG and a PNG of one name, only one can have ``IMG.xmp``."""
    stem = os.path.splitext(sidecar)[0]
    files = [name for first, others in disk.shots.items() for name in (first, *others) if disk.is_photo(name)]
    same = [name for name in files if os.path.splitext(name)[0] == stem]
    return sidecar in group_shots(same, [sidecar]).get(leader, ())


def look_at_sidecar(path: str) -> SidecarNow:
    """Read a sidecar as it is now.

    Raises:
        OSError: it is there and cannot be read.
        UnmergeableError: it is write-protected, or a symbolic link.
    """
    name = display_path(os.path.basename(path))
    if os.path.islink(path):
        raise UnmergeableError(f"{name} is a symbolic link")
    try:
        with open(path, "rb") as file:
            info = os.fstat(file.fileno())
            if not info.st_mode & 0o222:
                raise UnmergeableError(f"{name} is write-protected")
            return SidecarNow(file.read(MAX_XMP_BYTES + 1), info.st_mtime_ns, info.st_mode & 0o777)
    except FileNotFoundError:
        return SidecarNow(None)


def read_document(path: str, content: bytes | None) -> XmpDocument:
    """Read what the sidecar at ``path`` holds; of one that is not there yet, what every new one begins with.

    Raises:
        UnmergeableError: it is no XMP that can be read.
    """
    with naming(path):
        return XmpDocument.read(_NOTHING_SAID if content is None else content)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put a file's name before what is wrong with it."""
    try:
        yield
    except UnmergeableError as error:
        raise UnmergeableError(f"{display_path(os.path.basename(path))} {error}") from None

"""The values that go into the catalog and come out of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from rali.errors import FailureKind
from rali.photos.photo import Photo
from rali.prepare import Failure, Prepared

Mark = Literal["keep", "reject"]


@dataclass(frozen=True)
class Scoring:
    """What a score was made by: one model with one recipe.

    Attributes:
        id: the catalog's number for it.
        model_id: hash of what the model computes.
        recipe: see :func:`rali.prepare.recipe_id`.
        score_low, score_high: ends of the model's scale.
    """

    id: int
    model_id: str
    recipe: str
    model_name: str
    score_low: float
    score_high: float

    def share(self, score: float) -> float:
        """Return where on the scale a score lies: 0 at its low end, 1 at its high one; it may lie outside."""
        # A plan file's scale may have no length.
        return (score - self.score_low) / ((self.score_high - self.score_low) or 1)

    def level(self, score: float) -> int:
        """Return 0, 1 or 2: below 0.4 of the scale, below 0.6, or above; each has its colour (in photos.js as well)."""
        share = self.share(score)
        return 0 if share < 0.4 else 1 if share < 0.6 else 2

    def text(self, score: float) -> str:
        """Show a score with as many digits as mean something on the scale."""
        return f"{score:.1f}" if self._wide else f"{score:.3f}"

    def edge_text(self, edge: float) -> str:
        """Show an end of the scale, or of a histogram's bar, with one digit fewer than :meth:`text`."""
        return f"{edge:.0f}" if self._wide else f"{edge:.2f}"

    @property
    def _wide(self) -> bool:
        return self.score_high - self.score_low >= 50


class KnownPhoto(NamedTuple):
    """What the catalog remembers of one file name (a tuple, because a rescan makes one for every file).

    Attributes:
        photo_id: the catalog's number for it.
        listed: False if it was gone at the last scan, or not the one of its shot that is scored.
        scored: it has a score by the scoring that was asked about.
        failed: it failed, and would fail again.
    """

    photo_id: int
    inode: int
    size_bytes: int
    mtime_ns: int
    companions: tuple[str, ...]
    listed: bool
    scored: bool
    failed: bool


class Candidate(NamedTuple):
    """A listed photo that a cull may choose (a tuple, because a cull looks at every one of its scope).

    Attributes:
        folder: absolute; ``name``: in it.
        inode, size_bytes, mtime_ns: of the file when it was last read; an mtime of -1 is equal to no file's.
        companions: names in the same folder, see :func:`rali.catalog.rows.split_names`.
        user_work: JSON of :mod:`rali.photos.user_work`; None if nobody has looked for it.
        score: by the scoring that was asked about; None if there is none.
        failure: why not, if it failed.
        mark: what the user decided about this content.
    """

    photo_id: int
    folder: str
    name: str
    inode: int
    size_bytes: int
    mtime_ns: int
    companions: bytes
    user_work: str | None
    score: float | None
    failure: str | None
    mark: Mark | None

    @property
    def path(self) -> str:
        """Absolute path."""
        return os.path.join(self.folder, self.name)


class HeldContent(NamedTuple):
    """A file name, the state of its file when it was last read, and what it held then.

    Attributes:
        hash: None if the file could not be decoded.
        listed: see :class:`KnownPhoto`.
    """

    inode: int
    size_bytes: int
    mtime_ns: int
    companions: tuple[str, ...]
    listed: bool
    hash: bytes | None


@dataclass(frozen=True)
class Outcome:
    """What became of one photo in a run; exactly one of the two ends.

    Attributes:
        photo: as the scan found it.
        prepared: what was decoded, or None if nothing could be.
        score: by the run's model; None if it failed, or if the catalog has the score of this content already.
        embedding: little-endian float16, with the score.
        failure: why there is no score.
    """

    photo: Photo
    prepared: Prepared | None = None
    score: float | None = None
    embedding: bytes | None = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Scope:
    """Which photos a question is about.

    Attributes:
        roots: folders and files, resolved; empty means the whole catalog.
        deep: with the folders below; otherwise what lies in the roots themselves.
        include, exclude: globs, as in :class:`rali.photos.scan.Scan`.
        since, until: bounds of the capture time, ISO 8601 (a prefix such as ``2026-05`` will do); ``until`` includes
            all that begins with it.
    """

    roots: Sequence[str] = ()
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    deep: bool = True


@dataclass(frozen=True)
class PhotoRecord:
    """One photo with all that the catalog knows about it.

    Attributes:
        score: None if it failed.
        failure_kind, failure_message: None if it has a score.
        companions: names in the same folder.
    """

    photo_id: int
    path: Path
    score: float | None
    size_bytes: int
    companions: tuple[str, ...]
    format: str | None = None
    width: int | None = None
    height: int | None = None
    captured_at: str | None = None
    camera: str | None = None
    notes: str = ""
    scored_at: str | None = None
    failure_kind: FailureKind | None = None
    failure_message: str | None = None

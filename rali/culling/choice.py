"""Which photos a cull is to choose, by what the catalog knows of them; the disk is not looked at."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rali import rank
from rali.catalog.records import Candidate
from rali.catalog.rows import split_names
from rali.errors import UsageError

# Why a photo goes that the user marked, rather than one that a score chose.
REJECTED = "marked reject"


@dataclass(frozen=True)
class Choice:
    """What to choose, in one of six ways; in none of them, only what is marked reject.

    Attributes:
        below: scores below it, exclusive.
        bottom_percent: at most this share of the worst, above 0 to 100.
        bottom_count: the worst, at most so many.
        keep: all but the best, of which so many stay.
        paths: a list of files; a companion stands for its shot.
        across: count all but scores and lists over all folders together, not in each.
        per_burst: all but the best of each burst, of which so many stay; see :mod:`rali.grouping.bursts`.

    Raises:
        UsageError: more than one is given, or a number makes no sense.
    """

    below: float | None = None
    bottom_percent: float | None = None
    bottom_count: int | None = None
    keep: int | None = None
    paths: tuple[str, ...] | None = None
    across: bool = False
    per_burst: int | None = None

    def __post_init__(self) -> None:
        given = [self.below, self.bottom_percent, self.bottom_count, self.keep, self.paths, self.per_burst]
        if sum(value is not None for value in given) > 1:
            raise UsageError("choose photos in one way: --below, --bottom, --keep, --per-burst or --from")
        if self.below is not None and not math.isfinite(self.below):
            raise UsageError(f"--below {self.below}: give a score")
        if self.bottom_percent is not None and not 0 < self.bottom_percent <= 100:
            raise UsageError(f"--bottom {self.bottom_percent:g}%: give more than 0% and at most 100%")
        if self.bottom_count is not None and self.bottom_count < 1:
            raise UsageError(f"--bottom {self.bottom_count}: give 1 or more")
        if self.keep is not None and self.keep < 1:
            raise UsageError(f"--keep {self.keep}: give 1 or more")
        if self.per_burst is not None and self.per_burst < 1:
            raise UsageError(f"--per-burst {self.per_burst}: give 1 or more")
        counts = (self.bottom_percent, self.bottom_count, self.keep, self.per_burst)
        if self.across and all(count is None for count in counts):
            raise UsageError("--across goes with --bottom, --keep or --per-burst")

    def __str__(self) -> str:
        """Say what is chosen: ``bottom 10 % of each folder``."""
        of_all = " of all" if self.across else " of each folder"
        if self.below is not None:
            return f"score below {self.below:g}"
        if self.bottom_percent is not None:
            return f"bottom {self.bottom_percent:g} %{of_all}"
        if self.bottom_count is not None:
            return f"bottom {self.bottom_count:,}{of_all}"
        if self.keep is not None:
            return f"all but the best {self.keep:,}{'' if self.across else of_all}"
        if self.per_burst is not None:
            return f"all but the best{_several(self.per_burst)} of each burst{'' if self.across else ' in each folder'}"
        return "the list given" if self.paths is not None else "what is marked reject"

    @property
    def is_by_score(self) -> bool:
        """Tell if each photo's own score chooses it, rather than its burst, a list or a mark."""
        return any(value is not None for value in (self.below, self.bottom_percent, self.bottom_count, self.keep))

    @property
    def why(self) -> str:
        """Say of one photo why it is chosen: ``bottom 10 % of its folder``."""
        if self.paths is not None:
            return "on the list"
        if self.keep is not None:
            return f"not among the best {self.keep:,}{'' if self.across else ' of its folder'}"
        if self.per_burst is not None:
            several = self.per_burst > 1
            return f"not {'among ' if several else ''}the best{_several(self.per_burst)} of its burst"
        return str(self).replace("each folder", "its folder")


def _several(count: int) -> str:
    return f" {count:,}" if count > 1 else ""


def parse_bottom(text: str) -> tuple[float | None, int | None]:
    """Read the value of ``--bottom``, ``10%``, ``10.5 %`` or ``25``: return a percent or a count, the other None.

    Raises:
        UsageError: it is neither.
    """
    percent = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9}) ?%", text.strip(), re.ASCII)
    if percent and 0 < float(percent[1]) <= 100:
        return float(percent[1]), None
    if re.fullmatch(r"\d{1,12}", text.strip(), re.ASCII) and int(text) >= 1:
        return None, int(text)
    raise UsageError(f"--bottom {text!r}: give a share such as 10%, up to 100%, or a number of photos such as 25")


def choose(
    choice: Choice, ids: NDArray[np.int64], scores: NDArray[np.float64], folders: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell of each photo if ``choice``, by score, share or count, takes it; never more than was asked for.

    Equal scores are told apart by id, as a ranking does, so that a photo shown as the third worst is the third to go.

    Args:
        ids, scores: of the photos [N]; scores are finite.
        folders: a number for the folder each lies in [N].

    Returns:
        [N]
    """
    if choice.below is not None:
        return scores < choice.below
    if choice.across:
        folders = np.zeros_like(folders)
    order = np.lexsort((ids, scores, folders))  # [N], folder by folder, worst first
    ordered = folders[order]
    _, first, sizes = np.unique(ordered, return_index=True, return_counts=True)
    takes = np.array([_how_many(choice, int(size)) for size in sizes], dtype=np.int64)  # [folders]
    place = np.arange(len(order)) - np.repeat(first, sizes)  # [N], 0 for the worst of its folder
    taken = np.zeros(len(order), dtype=np.bool_)
    taken[order] = place < np.repeat(takes, sizes)
    return taken


def _how_many(choice: Choice, photos: int) -> int:
    if choice.bottom_percent is not None:
        # As the decimal that people wrote: 29 % of 100 is 29, where the float 0.29 * 100 is a little less.
        return math.floor(Fraction(str(choice.bottom_percent)) * photos / 100)
    if choice.bottom_count is not None:
        return min(choice.bottom_count, photos)
    return max(0, photos - choice.keep) if choice.keep is not None else 0


class Pick(NamedTuple):
    """A photo that is chosen, with its percentile among all scored photos, and why it is chosen."""

    photo: Candidate
    percentile: float | None
    why: str


class Picked(NamedTuple):
    """What a choice comes to.

    Attributes:
        unknown: paths of a list that the catalog does not know.
        considered: how many photos have a finite score, and so a percentile.
    """

    picks: list[Pick]
    unknown: list[str]
    considered: int


def pick(photos: Sequence[Candidate], choice: Choice, *, lesser: Container[int] = ()) -> Picked:
    """Choose among ``photos`` by their scores, or by a list; and, from all of them or the list, what is marked reject.

    Photos without a finite score are chosen by a list or a mark alone, and disturb nobody's percentile.

    Args:
        lesser: ids of photos that are not among the best of their burst, for a choice per burst.
    """
    scores = np.array([math.nan if photo.score is None else photo.score for photo in photos], dtype=np.float64)  # [P]
    finite = np.flatnonzero(np.isfinite(scores))  # [N]
    scores = scores[finite]
    order = np.argsort(scores)
    percentiles = np.empty_like(scores)  # [N]
    percentiles[order] = rank.percentiles(scores[order])
    unknown: list[str] = []
    why: dict[int, str] = {}  # place in photos -> words
    if choice.paths is not None:
        for path, at in _look_up(photos, choice.paths):
            if at is None:
                unknown.append(path)
            else:
                why[at] = REJECTED if photos[at].mark == "reject" else choice.why
    elif choice.per_burst is not None:
        why = {at: choice.why for at in finite.tolist() if photos[at].photo_id in lesser}
        why |= {at: REJECTED for at, photo in enumerate(photos) if photo.mark == "reject"}
    else:
        scored = [photos[at] for at in finite.tolist()]
        ids = np.array([photo.photo_id for photo in scored], dtype=np.int64)
        numbers: dict[str, int] = {}
        folders = np.array([numbers.setdefault(photo.folder, len(numbers)) for photo in scored], dtype=np.int64)
        why = dict.fromkeys(finite[choose(choice, ids, scores, folders)].tolist(), choice.why)
        why |= {at: REJECTED for at, photo in enumerate(photos) if photo.mark == "reject"}
    percentile_of = dict(zip(finite.tolist(), percentiles.tolist(), strict=True))
    picks = [Pick(photos[at], percentile_of.get(at), reason) for at, reason in why.items()]
    return Picked(picks, unknown, len(finite))


def _look_up(photos: Sequence[Candidate], paths: Iterable[str]) -> Iterator[tuple[str, int | None]]:
    """Yield each path of a list with the photo that it is, or is a companion of."""
    places: dict[str, dict[str, int]] = {}
    for at, photo in enumerate(photos):
        places.setdefault(photo.folder, {})[photo.name] = at
    companions: dict[str, dict[str, int]] = {}
    folders: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        # A name is taken as it stands: if it is a link, the photo it points to is not what was listed.
        given, name = os.path.split(path)
        if given not in folders:
            folders[given] = os.path.realpath(given)
        folder = folders[given]
        known = places.get(folder, {})
        if name not in known and folder not in companions:
            companions[folder] = {own: at for at in known.values() for own in split_names(photos[at].companions)}
        yield os.path.join(folder, name), known[name] if name in known else companions[folder].get(name)

"""Which photos of a ranking are on the page: both ends, whole groups, and what has no score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rali.grouping.bursts import Burst
from rali.listing import RankedPhoto, Ranking

AT_EACH_END = 8
GROUPS = 30
FRAMES_OF_A_GROUP = 12
FAILURES = 200


@dataclass(frozen=True)
class Group:
    """Photos that belong together, as whoever groups them says.

    Attributes:
        kind: in a word, for people: ``burst``, ``bracket``.
        photo_ids: the catalog's, in the order in which they were taken.
        best_id: the frame that is marked as the best one; None if none is.
        chosen_by: what the user did to that one, if it is no matter of scores; else nothing.
    """

    kind: str
    photo_ids: tuple[int, ...]
    best_id: int | None
    chosen_by: str = ""


def as_group(burst: Burst) -> Group:
    """Take over what grouping found; where the frames belong together, none is marked as better than the others."""
    in_order = sorted(burst.frames, key=lambda each: (each.frame.captured_at or "~", each.path))  # "~" is after digits
    ids = tuple(each.frame.files[0].photo_id for each in in_order)
    if burst.kept_whole:
        return Group(burst.kind, ids, None)
    return Group(burst.kind, ids, burst.best.frame.files[0].photo_id, burst.best.chosen_by or "")


@dataclass(frozen=True)
class GroupChoice:
    """A group with those of its frames that are on the page.

    Attributes:
        group: all of it.
        shown: ids in the order of the group, the best frame among them.
    """

    group: Group
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """What is on the page.

    Attributes:
        photos: every scored photo on it, worst first.
        worst, best: ids of both ends, the most extreme first, of each group one; they share no photo.
        groups: the largest.
        groups_in_all: how many there were to choose from.
        failures: the first of the photos without a score.
    """

    photos: Sequence[RankedPhoto]
    worst: tuple[int, ...]
    best: tuple[int, ...]
    groups: tuple[GroupChoice, ...]
    groups_in_all: int
    failures: Sequence[RankedPhoto]


def choose(ranking: Ranking, groups: Iterable[Group], *, count: int) -> Choice:
    """Choose ``count`` scored photos at most: both ends first, then groups, then on from both ends inwards."""
    ids = [int(photo_id) for photo_id in ranking.ids]
    at_an_end = min(AT_EACH_END, len(ids) // 2, count // 2)
    groups = list(groups)
    half = len(ids) // 2
    # Four frames of one burst in a row of eight say as much as one.
    worst, best = (_one_of_each(part, groups)[:at_an_end] for part in (ids[:half], ids[::-1][:half]))
    known = set(ids)
    # The largest are most work to go through by hand.
    several = sorted((group for group in groups if len(known & set(group.photo_ids)) > 1), key=_largest_first)
    taken = set(worst + best)
    shown: list[GroupChoice] = []
    for group in several[:GROUPS]:
        frames = _frames(group, known)
        if len(taken | set(frames)) <= count:
            taken |= set(frames)
            shown.append(GroupChoice(group, frames))
    for photo_id in inwards(ids):
        if len(taken) >= count:
            break
        taken.add(photo_id)
    photos = _ranked(ranking, np.flatnonzero(np.isin(ranking.ids, list(taken))))
    return Choice(photos, tuple(worst), tuple(best), tuple(shown), len(several), ranking.failures(FAILURES))


def _one_of_each(ids: Sequence[int], groups: Iterable[Group]) -> list[int]:
    """Leave out what is of a group of which one has come before."""
    group_of = {photo_id: number for number, group in enumerate(groups) for photo_id in group.photo_ids}
    first: dict[tuple[str, int], int] = {}
    for photo_id in ids:
        number = group_of.get(photo_id)
        first.setdefault(("photo", photo_id) if number is None else ("group", number), photo_id)
    return list(first.values())


def _largest_first(group: Group) -> tuple[int, tuple[int, ...]]:
    return -len(group.photo_ids), group.photo_ids


def _frames(group: Group, known: set[int]) -> tuple[int, ...]:
    """Choose the first frames of a group that have scores, and the best one wherever it stands."""
    scored = [photo_id for photo_id in group.photo_ids if photo_id in known]
    first = scored[:FRAMES_OF_A_GROUP]
    if group.best_id in known and group.best_id not in first and group.best_id is not None:
        first[-1] = group.best_id
    return tuple(first)


def inwards(ids: Sequence[int]) -> Iterator[int]:
    """Yield the first, the last, the second, the last but one ...; the middle one twice if there is one."""
    for at in range((len(ids) + 1) // 2):
        yield ids[at]
        yield ids[-1 - at]


def _ranked(ranking: Ranking, chosen: NDArray[np.intp]) -> list[RankedPhoto]:
    """Look up photos by their places in the ranking."""
    records = {record.photo_id: record for record in ranking.catalog.records(ranking.ids[chosen], ranking.scoring)}
    return [
        RankedPhoto(records[photo_id], float(ranking.percentiles[at]))
        for at in chosen
        if (photo_id := int(ranking.ids[at])) in records
    ]

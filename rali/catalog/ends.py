"""The ends of a ranking and its spread, told without ranking everything between."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope, Scoring
from rali.catalog.scope import in_scope, whole_folders
from rali.catalog.unchanged import COUNTS, scores_seen

# One photo in so many has to lie in the scope for the walk along all scores to meet enough of them soon.
_WALKED_PER_PHOTO = 20


class Spread(NamedTuple):
    """How many photos a scope holds.

    Attributes:
        listed: with a score or without.
        scored: by the scoring that was asked about.
        below: of the scored, how many lie below each of the bounds.
    """

    listed: int
    scored: int
    below: Sequence[int]


class End(NamedTuple):
    """A photo at an end of a ranking; its percentile is that of :func:`rali.rank.percentiles`."""

    photo_id: int
    percentile: float


def spread(catalog: Catalog, scoring: Scoring, scope: Scope, bounds: Sequence[float] = ()) -> Spread:
    """Count the photos of a scope, whose globs are left aside.

    Raises:
        CatalogError: see :class:`~rali.catalog.catalog.Catalog`.
    """
    source, conditions, values = in_scope(scope)
    folders = whole_folders(scope)
    seen, seen_below = 0, [0] * len(bounds)
    below = "".join(", coalesce(sum(s.score < ?), 0)" for _ in bounds)
    with catalog.reading():  # a folder whose note came or went between the two questions would count twice, or not
        if folders is not None:
            for scores in scores_seen(catalog, scoring, *folders):
                seen += len(scores)
                counts_below = (bisect_left(scores, bound) for bound in bounds)
                seen_below = [a + b for a, b in zip(seen_below, counts_below, strict=True)]
            # What is left is counted photo by photo, in the other folders alone: they have to come first.
            source = "folders f CROSS JOIN photos p ON p.folder_id = f.id"
            conditions = f"{folders[0]} AND NOT EXISTS (SELECT 1 FROM looks l WHERE {COUNTS})"
            values = [*folders[1], scoring.id]
        ((listed, scored, *counts),) = catalog.rows(
            f"""
            SELECT count(*), count(s.content_id){below}
            FROM {source} LEFT JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
            WHERE p.listed AND {conditions}
            """,
            [*bounds, scoring.id, *values],
        )
    return Spread(seen + listed, seen + scored, [a + b for a, b in zip(seen_below, counts, strict=True)])


def end(catalog: Catalog, scoring: Scoring, scope: Scope, *, worst: bool, limit: int, scored: int) -> list[End]:
    """Return the few worst photos of a scope, worst first, or the few best, best first.

    Args:
        scope: without globs.
        limit: at least 1.
        scored: how many photos of the scope have a score, see :func:`spread`.

    Raises:
        CatalogError: see :class:`~rali.catalog.catalog.Catalog`.
    """
    source, conditions, values = in_scope(scope)
    along_scores = f"scores s CROSS JOIN {source.replace(' JOIN ', ' CROSS JOIN ')}"
    ((contents,),) = catalog.rows("SELECT coalesce(max(id), 0) FROM contents")
    chosen = along_scores if scored * _WALKED_PER_PHOTO >= contents else f"{source} CROSS JOIN scores s"
    matching = f"p.listed AND s.scoring_id = ? AND s.content_id = p.content_id AND {conditions}"
    down = "" if worst else "DESC"
    found = catalog.rows(
        f"SELECT p.id, s.score FROM {chosen} WHERE {matching} ORDER BY s.score {down}, p.id {down} LIMIT ?",
        [scoring.id, *values, limit],
    )
    ends: list[End] = []
    for score, group in groupby(found, key=lambda row: float(row[1])):
        ids = [photo_id for photo_id, _ in group]
        beyond, equal = len(ends), len(ids)
        if beyond + equal == limit:  # there may be more of them than were asked for
            ((equal,),) = catalog.rows(
                f"SELECT count(*) FROM {along_scores} WHERE {matching} AND s.score = ?", [scoring.id, *values, score]
            )
        percentile = 50.0 * (2 * beyond + equal) / max(scored, 1)
        ends += [End(photo_id, percentile if worst else 100.0 - percentile) for photo_id in ids]
    return ends

"""Answers about scored photos: which to show, in what order, with what percentile."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rali import rank
from rali.catalog.catalog import Catalog
from rali.catalog.records import PhotoRecord, Scope, Scoring
from rali.config import Recipe
from rali.errors import CatalogError, PathError
from rali.photos.photo import display_path

Order = Literal["worst", "best"]


@dataclass(frozen=True)
class RankedPhoto:
    """A photo and its place among all scored photos of the scope; a failure has no percentile."""

    record: PhotoRecord
    percentile: float | None


@dataclass(frozen=True)
class Wanted:
    """Which photos of a scope to show.

    Attributes:
        order: worst first or best first.
        limit: at most so many; None for all.
        below, above: bounds of the score, exclusive.
        below_percentile, above_percentile: bounds of the percentile, exclusive.
    """

    order: Order = "worst"
    limit: int | None = None
    below: float | None = None
    above: float | None = None
    below_percentile: float | None = None
    above_percentile: float | None = None


@dataclass(frozen=True)
class Listing:
    """Photos of one scoring; scores of different models or recipes are never mixed.

    Attributes:
        scoring: what the scores were made by.
        photos: those asked for, in order.
        scores: of all photos in the scope, ascending [N].
        failed: how many photos in the scope have no score because they failed.
        unscored: how many photos in the scope have no score by this scoring, failures not counted.
    """

    scoring: Scoring
    photos: Sequence[RankedPhoto]
    scores: NDArray[np.float64]
    failed: int
    unscored: int


def choose_scoring(catalog: Catalog, *, model: str | None, recipe: Recipe | None) -> Scoring:
    """Return the scoring to show: the latest used, of the model and recipe asked for.

    Raises:
        CatalogError: nothing was scored that way yet.
    """
    scorings = catalog.scorings(model=model, recipe=recipe)
    if scorings:
        return scorings[0]
    asked = " ".join(part for part in (model and f"by model {model}", recipe and f"with recipe {recipe}") if part)
    raise CatalogError(f"the catalog has no scores{' ' + asked if asked else ''} yet; run: rali score FOLDER")


def list_photos(catalog: Catalog, scoring: Scoring, scope: Scope, wanted: Wanted) -> Listing:
    """Rank the photos of ``scope`` and pick those wanted.

    Raises:
        PathError: the catalog knows no photo in the scope.
    """
    ids, scores = catalog.ranking(scoring, scope)
    failed = catalog.failed(scope)
    listed = catalog.count_listed(scope)
    if not listed:
        where = " in " + ", ".join(map(display_path, scope.roots)) if scope.roots else ""
        raise PathError(f"the catalog knows no photos{where}; run: rali score FOLDER")
    percentiles = rank.percentiles(scores)
    chosen = np.flatnonzero(_mask(scores, percentiles, wanted))
    if wanted.order == "best":
        chosen = chosen[::-1]
    chosen = chosen[: wanted.limit]
    records = catalog.records(ids[chosen], scoring)
    photos = [RankedPhoto(record, float(percentiles[at])) for at, record in zip(chosen, records, strict=True)]
    unscored = max(0, listed - len(ids) - len(failed)) if not (scope.include or scope.exclude) else 0
    return Listing(scoring, photos, scores, len(failed), unscored)


def failed_photos(catalog: Catalog, scoring: Scoring, scope: Scope) -> list[RankedPhoto]:
    """Return the photos of ``scope`` that have no score, with the reasons."""
    return [RankedPhoto(record, None) for record in catalog.records(catalog.failed(scope), scoring)]


def _mask(
    scores: NDArray[np.float64], percentiles: NDArray[np.float64], wanted: Wanted
) -> NDArray[np.bool_]:
    mask = np.ones(len(scores), dtype=np.bool_)
    for values, below, above in (
        (scores, wanted.below, wanted.above),
        (percentiles, wanted.below_percentile, wanted.above_percentile),
    ):
        if below is not None:
            mask &= values < below
        if above is not None:
            mask &= values > above
    return mask


@dataclass(frozen=True)
class Shown:
    """All that is known about one photo.

    Attributes:
        in_catalog: the photo with its percentile among all scored photos.
        folder_percentile: among the scored photos of its own folder.
        past_scores: when earlier contents of the file were replaced, and what they had scored.
    """

    in_catalog: RankedPhoto
    folder_percentile: float | None
    past_scores: Sequence[tuple[str, float]]

    @property
    def status(self) -> str:
        """``cached`` with a score, ``failed`` with a reason, ``unscored`` with neither."""
        if self.in_catalog.record.failure_kind is not None:
            return "failed"
        return "unscored" if self.in_catalog.record.score is None else "cached"


def show_photo(catalog: Catalog, scoring: Scoring, photo: str | os.PathLike[str]) -> Shown:
    """Look one photo up.

    Raises:
        PathError: the catalog does not know it, or knows it as a part of another photo's shot.
    """
    (file,) = scope_of([photo]).roots
    photo_id = catalog.find(file)
    if photo_id is None:
        raise PathError(f"the catalog does not know {display_path(photo)}; run: rali score on its folder")
    (record,) = catalog.records([photo_id], scoring)
    percentile = folder_percentile = None
    if record.score is not None:
        percentile = rank.percentile_of(record.score, catalog.ranking(scoring, Scope())[1])
        own_folder = catalog.ranking(scoring, Scope([os.path.dirname(file)], deep=False))[1]
        folder_percentile = rank.percentile_of(record.score, own_folder)
    return Shown(RankedPhoto(record, percentile), folder_percentile, catalog.past_scores(photo_id, scoring))


def scope_of(
    paths: Iterable[str | os.PathLike[str]],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
) -> Scope:
    """Make a scope of paths as people write them; the photos need not be there any more."""
    roots = [os.path.realpath(os.path.expanduser(os.fspath(path))) for path in paths]
    return Scope(roots, include, exclude, since, until)

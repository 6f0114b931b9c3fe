"""Answers about scored photos: which to show, in what order, with what percentile."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rali import rank
from rali.catalog.catalog import Catalog
from rali.catalog.ends import end, spread
from rali.catalog.records import PhotoRecord, Scope, Scoring
from rali.config import Settings
from rali.errors import CatalogError, PathError, UsageError
from rali.model.registry import find_model
from rali.model.words import Description
from rali.photos.photo import display_path, shell_word
from rali.photos.stars import StarsWanted
from rali.starred import with_stars

Order = Literal["worst", "best"]


@dataclass(frozen=True)
class RankedPhoto:
    """A photo and its place among all scored photos of the scope; a failure has no percentile.

    Attributes:
        why: what its model says is wrong with it, once :func:`rali.explain.explain` was asked.
    """

    record: PhotoRecord
    percentile: float | None
    why: Description | None = None


@dataclass(frozen=True)
class Wanted:
    """Which photos of a scope to show.

    Attributes:
        order: worst first or best first.
        limit: at most so many; None for all.
        below, above: bounds of the score, exclusive.
        below_percentile, above_percentile: bounds of the percentile, exclusive.
        starred: the stars and the label, see :mod:`rali.starred`; None: whatever they are.
    """

    order: Order = "worst"
    limit: int | None = None
    below: float | None = None
    above: float | None = None
    below_percentile: float | None = None
    above_percentile: float | None = None
    starred: StarsWanted | None = None


@dataclass(frozen=True)
class Ranking:
    """The photos of a scope by one scoring; scores of different models or recipes are never mixed.

    What is asked of it is read from the catalog then, so the catalog has to be open.

    Attributes:
        scoring: what the scores were made by.
        scored: how many photos have a score.
        failed: ids of photos that have no score because they failed.
        unscored: how many photos have no score by this scoring, failures not counted.
        bars: a histogram of the scores, if one was asked for.
    """

    catalog: Catalog
    scoring: Scoring
    scope: Scope
    scored: int
    failed: Sequence[int]
    unscored: int
    bars: Sequence[rank.Bin] = ()

    @cached_property
    def _ranked(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self.catalog.ranking(self.scoring, self.scope)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of all scored photos in the scope, worst first [N]."""
        return self._ranked[0]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Their scores [N]."""
        return self._ranked[1]

    @cached_property
    def percentiles(self) -> NDArray[np.float64]:
        """Their percentiles [N]; not asked for where a few are picked by rank or score."""
        return rank.percentiles(self.scores)

    def pick(self, wanted: Wanted, *, without: Collection[int] = ()) -> list[RankedPhoto]:
        """Return the photos wanted, in the order wanted; those whose ids are in ``without`` are left out."""
        return list(self.each(wanted, without=without))

    def each(self, wanted: Wanted, *, without: Collection[int] = ()) -> Iterator[RankedPhoto]:
        """Yield what :meth:`pick` returns, and keep none: a million of them would take 1.5 GB."""
        bounded = (wanted.below, wanted.above, wanted.below_percentile, wanted.above_percentile) != (None,) * 4
        chosen = bounded or wanted.starred is not None or bool(without) or _has_globs(self.scope)
        if wanted.limit is None or chosen:
            return self._each_of_all(wanted, without)
        return self._each_of_end(wanted.limit, worst=wanted.order == "worst")

    def _each_of_end(self, limit: int, *, worst: bool) -> Iterator[RankedPhoto]:
        ends = end(self.catalog, self.scoring, self.scope, worst=worst, limit=limit, scored=self.scored)
        records = self.catalog.records((one.photo_id for one in ends), self.scoring)
        for record, one in zip(records, ends, strict=True):
            yield RankedPhoto(record, one.percentile)

    def _each_of_all(self, wanted: Wanted, without: Collection[int]) -> Iterator[RankedPhoto]:
        mask = ~np.isin(self.ids, np.fromiter(without, dtype=np.int64, count=len(without)))
        if wanted.below is not None:
            mask &= self.scores < wanted.below
        if wanted.above is not None:
            mask &= self.scores > wanted.above
        if wanted.below_percentile is not None:
            mask &= self.percentiles < wanted.below_percentile
        if wanted.above_percentile is not None:
            mask &= self.percentiles > wanted.above_percentile
        chosen = np.flatnonzero(mask)[:: 1 if wanted.order == "worst" else -1]
        if wanted.starred is not None:
            place_of = dict(zip(self.ids[chosen].tolist(), chosen.tolist(), strict=True))
            starred = islice(with_stars(self.catalog, place_of, wanted.starred), wanted.limit)
            chosen = np.array([place_of[photo_id] for photo_id in starred], dtype=np.intp)
        chosen = chosen[: wanted.limit]
        records = self.catalog.records(self.ids[chosen], self.scoring)
        percentiles = rank.percentiles_among(self.scores[chosen], self.scores)
        for record, percentile in zip(records, percentiles, strict=True):
            yield RankedPhoto(record, float(percentile))

    def failures(self, limit: int | None = None, *, starred: StarsWanted | None = None) -> list[RankedPhoto]:
        """Return the photos that have no score, with the reasons."""
        failed = self.failed if starred is None else with_stars(self.catalog, self.failed, starred)
        records = self.catalog.records(islice(failed, limit), self.scoring)
        return [RankedPhoto(record, None) for record in records]


def choose_scoring(catalog: Catalog, settings: Settings, *, insist_on: Container[str] = ()) -> Scoring:
    """Return the scoring to show: by the model (name, id, bundle or folder) and the recipe of ``settings``.

    Args:
        insist_on: names of settings, ``model`` or ``recipe``, that somebody chose. Where one is only the default and
            nothing was scored that way, the scoring used last will do.

    Raises:
        CatalogError: nothing was scored that way yet.
        ModelError: nor is there such a model.
        DamagedModelError: the model is the path of a file that is no bundle.
    """
    models = [settings.model] if "model" in insist_on else [settings.model, None]
    recipes = [settings.recipe] if "recipe" in insist_on else [settings.recipe, None]
    for model in models:
        for recipe in recipes if model is not None else recipes[-1:]:
            scorings = catalog.scorings(model=model, recipe=recipe)
            if not scorings and model is not None and os.path.exists(os.path.expanduser(model)):
                scorings = catalog.scorings(model=find_model(model).model_id, recipe=recipe)
            if scorings:
                return scorings[0]
    asked, command = [], ["rali score FOLDER"]
    if "model" in insist_on:
        if not catalog.scorings(model=settings.model):
            find_model(settings.model)  # a name that is misspelled is no matter of scoring
        asked.append(f"by model {display_path(settings.model)}")
        command.append(f"--model {shell_word(settings.model)}")
    if "recipe" in insist_on:
        asked.append(f"with recipe {settings.recipe}")
        command.append(f"--recipe {settings.recipe}")
    raise CatalogError(f"the catalog has no scores {' '.join([*asked, 'yet'])}; run: {' '.join(command)}")


def rank_photos(catalog: Catalog, scoring: Scoring, scope: Scope, *, bars: int = 0) -> Ranking:
    """Rank the photos of ``scope``.

    Args:
        bars: count a histogram of so many bars along the way; 0 for none.

    Raises:
        PathError: the catalog knows no photo in the scope.
    """
    edges = rank.bar_edges(scoring.score_low, scoring.score_high, bars) if bars else []
    with catalog.reading():  # else what a running score stores meanwhile is in some of the numbers alone
        listed, scored, below = spread(catalog, scoring, scope, edges[1:-1])
        if not listed and not catalog.count_listed(Scope(scope.roots)):
            where = " in " + ", ".join(map(display_path, scope.roots)) if scope.roots else ""
            raise PathError(f"the catalog knows no such photos{where}; run: rali score FOLDER")
        failed = catalog.failed(scoring, scope)
    if not _has_globs(scope):
        bins = rank.bars_between(edges, [0, *below, scored]) if bars else []
        return Ranking(catalog, scoring, scope, scored, failed, max(0, listed - scored - len(failed)), bins)
    # Globs are not counted by the catalog, so with them nothing can be said of what has no score.
    _, scores = catalog.ranking(scoring, scope)
    bins = rank.histogram(scores, low=scoring.score_low, high=scoring.score_high, bins=bars) if bars else []
    return Ranking(catalog, scoring, scope, len(scores), failed, 0, bins)


def _has_globs(scope: Scope) -> bool:
    return bool(scope.include or scope.exclude)


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
    """Look one photo up; a RAW, say, that is scored by its JPEG, by that.

    Raises:
        PathError: the catalog does not know it.
    """
    (file,) = scope_of([photo]).roots
    photo_id = catalog.find(file)
    if photo_id is None:
        photo_id = catalog.find_leader(file)
    if photo_id is None:
        raise PathError(_why_unknown(file))
    (record,) = catalog.records([photo_id], scoring)
    percentile = folder_percentile = None
    if record.score is not None:
        percentile = rank.percentile_of(record.score, catalog.ranking(scoring, Scope())[1])
        own_folder = catalog.ranking(scoring, Scope([os.path.dirname(file)], deep=False))[1]
        folder_percentile = rank.percentile_of(record.score, own_folder)
    return Shown(RankedPhoto(record, percentile), folder_percentile, catalog.past_scores(photo_id, scoring))


def _why_unknown(file: str) -> str:
    """Say of a path that the catalog has no photo of what to do about it."""
    if not os.path.lexists(file):
        return f"there is no {display_path(file)}, and the catalog remembers none"
    if os.path.isdir(file):
        return f"{display_path(file)} is a folder; run: rali list {shell_word(file)}"
    folder = shell_word(os.path.dirname(file))
    return f"the catalog does not know {display_path(file)}; if it is a photo, run: rali score {folder}"


def scope_of(
    paths: Iterable[str | os.PathLike[str]],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
) -> Scope:
    """Make a scope of paths as people write them; the photos need not be there any more.

    Raises:
        UsageError: a bound is no time.
    """
    for name, bound in (("--since", since), ("--until", until)):
        if bound is not None and not _is_time(bound):
            raise UsageError(f"{name}: {bound!r} is no time; write 2026, 2026-05, 2026-05-01 or 2026-05-01T12:00")
    since, until = (bound and bound.replace(" ", "T") for bound in (since, until))
    roots = [os.path.realpath(os.path.expanduser(os.fspath(path))) for path in paths]
    return Scope(roots, include, exclude, since, until)


def _is_time(text: str) -> bool:
    """Tell if a text is a moment in ISO 8601, or the beginning of one: a year, a month, a day, a minute."""
    match = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d))?)?)?)?)?", text)
    if not match:
        return False
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups())
    try:
        datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
    except ValueError:
        return False
    return month != 0 and day != 0

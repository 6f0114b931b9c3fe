"""Stars that the user gives one photo by hand: written as ``rali rate`` writes them, but the user's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope, Scoring
from rali.errors import UnsafeError
from rali.photos.photo import display_path
from rali.photos.stars import DECISIONS, MOST_STARS
from rali.photos.xmp_document import Property
from rali.rating.grading import PERCENTILES, Grading, Wishes
from rali.rating.plan import plan_rating
from rali.rating.runs import apply_rating

_RATING = DECISIONS[0]


@dataclass(frozen=True)
class GivenStars(Wishes):
    """A number of stars, whatever the score; 0 takes them away.

    rali's note beside them goes, so that they count as the user's: no ``rali rate`` changes them, and no cull takes the
    photo.
    """

    grading: Grading = field(default=Grading("percentile", PERCENTILES))
    given: int = 0

    def properties(
        self,
        grade: int,  # noqa: ARG002 (as of any other wishes)
        score: float,  # noqa: ARG002
        percentile: float,  # noqa: ARG002
        scoring: Scoring,  # noqa: ARG002
        kept: Iterable[str],  # noqa: ARG002
    ) -> dict[Property, str | None]:
        """Return what a sidecar is to say; see :meth:`Wishes.properties`."""
        if not self.given:  # rali's note stays: it tells the next rali rate that they were taken away
            return {_RATING.value: None}
        return {_RATING.value: str(self.given), _RATING.record: None}

    def __str__(self) -> str:
        """Say it in words, for the list of runs."""
        return f"{self.given} stars by hand"


def give_stars(catalog: Catalog, scoring: Scoring, photo: str, stars: int) -> str | None:
    """Give one photo stars, 0 to 5, in a sidecar beside it; return the run's name, None if it has them already.

    Args:
        photo: absolute path.

    Raises:
        UnsafeError: nothing was written, for the reason given.
        CatalogError: the journal cannot be written, or another process is moving files.
    """
    if not 0 <= stars <= MOST_STARS:
        raise UnsafeError(f"{stars} stars: give 0 to {MOST_STARS}")
    plan = plan_rating(catalog, scoring, Scope([photo]), GivenStars(given=stars), overwrite_mine=True)
    if plan.kept:
        raise UnsafeError(f"no stars were written: {display_path(plan.kept[0].detail)}")
    if not plan.sidecars:
        return None
    done = apply_rating(catalog, plan)
    if done.carried.refused:
        raise UnsafeError(f"no stars were written: {display_path(done.carried.refused[0][1])}")
    if done.run is None or done.carried.ended_by is not None:
        raise UnsafeError(f"no stars were written: {display_path(done.carried.ended_by or 'rali review ends')}")
    return done.run.name

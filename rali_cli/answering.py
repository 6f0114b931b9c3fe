"""What commands share that use the catalog: opening it, with repairs, and choosing whose scores to show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rali.config import Settings, given_settings

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Scoring
    from rali.listing import RankedPhoto


@contextmanager
def open_catalog(db: Path, *, create: bool = False) -> Iterator[Catalog]:
    """Open the catalog, repair what a killed command left half moved, and say on stderr what was repaired."""
    from rali.catalog.catalog import Catalog
    from rali.errors import CatalogError
    from rali.moving.recovery import recover
    from rali.photos.photo import display_path
    from rali.rating.recovery import recover_ratings
    from rali_cli.render import notice

    with Catalog(db, create=create) as catalog:
        if catalog.set_aside is not None:
            aside = display_path(catalog.set_aside)
            notice(f"The catalog was damaged: it was set aside as {aside}, and a new one begun.")
            notice("Culled photos can still be brought back, from the journal beside them: rali undo --journal FILE")
        try:
            for line in (*recover(catalog), *recover_ratings(catalog)):
                notice(line)
        except (CatalogError, OSError) as error:  # a question can be answered all the same; the next move repairs again
            notice(f"An interrupted run cannot be repaired now ({' '.join(str(error).split())})")
        yield catalog


@contextmanager
def answering(db: Path | None, model: str | None, recipe: str | None) -> Iterator[tuple[Catalog, Scoring]]:
    """Open the catalog that is there; find the scores asked for, else the default model's, else the last."""
    from rali.listing import choose_scoring

    given = given_settings({"db": db, "model": model, "recipe": recipe})
    settings = Settings(**given)
    with open_catalog(settings.db) as catalog:
        yield catalog, choose_scoring(catalog, settings, insist_on=given.keys())


def explained(
    catalog: Catalog, scoring: Scoring, photos: Iterable[RankedPhoto], *, model: str | None
) -> Iterator[RankedPhoto]:
    """Yield the photos with what their model says of each; what keeps it from saying anything is said on stderr.

    Args:
        model: as the user chose it, if so: a bundle that lies somewhere is found by its path alone.
    """
    from rali.config import load_settings
    from rali.errors import DamagedModelError
    from rali.explain import explain
    from rali_cli.render import notice

    try:
        return explain(catalog, scoring, photos, model=load_settings({"model": model}).model)
    except DamagedModelError as error:  # the scores are no worse for it
        notice(f"Nothing can be said of why: {error}")
        return iter(photos)

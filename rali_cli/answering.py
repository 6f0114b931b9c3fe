"""What commands share that only ask the catalog: opening it, and choosing whose scores to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rali.config import Settings, given_settings

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Scoring


@contextmanager
def answering(db: Path | None, model: str | None, recipe: str | None) -> Iterator[tuple[Catalog, Scoring]]:
    """Open the catalog that is there; find the scores asked for, else the default model's, else the last."""
    from rali.catalog.catalog import Catalog
    from rali.listing import choose_scoring

    given = given_settings({"db": db, "model": model, "recipe": recipe})
    settings = Settings(**given)
    with Catalog(settings.db, create=False) as catalog:
        yield catalog, choose_scoring(catalog, settings, insist_on=given.keys())

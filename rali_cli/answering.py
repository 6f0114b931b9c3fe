"""What commands share that only ask the catalog: opening it, and choosing whose scores to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rali.config import load_settings

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Scoring


@contextmanager
def answering(db: Path | None, model: str | None, recipe: str | None) -> Iterator[tuple[Catalog, Scoring]]:
    """Open the catalog that is there, and find the scores that were asked for, or those made last."""
    from rali.catalog.catalog import Catalog
    from rali.listing import choose_scoring

    # The options go through the settings to be checked; what a variable or config.toml says is for scoring.
    settings = load_settings({"db": db, "recipe": recipe})
    with Catalog(settings.db, create=False) as catalog:
        yield catalog, choose_scoring(catalog, model=model, recipe=settings.recipe if recipe else None)

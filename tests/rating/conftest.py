"""What the tests of rating share: scored photos on a real disk, and their catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import photo_at, prepared, write_jpeg

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scope, Scoring
from rali.model.bundle import read_info
from rali.rating.grading import Grading, Wishes
from rali.rating.plan import RatingPlan, plan_rating

FIFTHS = Grading("threshold", (20.0, 40.0, 60.0, 80.0))
STARS = Wishes(FIFTHS)


@pytest.fixture
def catalog(own_world: Path) -> Iterator[Catalog]:
    """Open an empty catalog."""
    with Catalog(own_world / "catalog.db") as catalog:
        yield catalog


@pytest.fixture
def scoring(catalog: Catalog, tiny_bundle: Path) -> Scoring:
    """Return what the scores were made by."""
    return catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")


@pytest.fixture
def photo(tmp_path: Path, catalog: Catalog, scoring: Scoring) -> Callable[..., Path]:
    """Return a function that makes a photo with a score; what else its shot has is put beside it first."""

    def make(name: str, score: float) -> Path:
        path = tmp_path / "photos" / name
        if not path.exists():
            write_jpeg(path, int(score))
        taken = photo_at(path)
        vector = np.array([score, 1.0], dtype="<f2").tobytes()
        catalog.store([Outcome(taken, prepared(taken, f"{taken.inode:x}"), score, vector)], scoring)
        return path

    return make


@pytest.fixture
def plan(tmp_path: Path, catalog: Catalog, scoring: Scoring) -> Callable[..., RatingPlan]:
    """Return a function that plans to rate all photos."""

    def make(wishes: Wishes = STARS, **more: object) -> RatingPlan:
        return plan_rating(catalog, scoring, Scope([str(tmp_path / "photos")]), wishes, **more)  # type: ignore[arg-type]

    return make

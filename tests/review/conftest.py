"""What the tests of the review share: a folder of scored photos, a server in this process, and a visitor to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from fakes import photo_at, prepared, write_jpeg
from visiting import Visitor

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scope, Scoring
from rali.config import load_settings
from rali.model.bundle import read_info
from rali.photos.fingerprint import content_hash
from rali.review.pictures import Pictures
from rali.review.server import Server
from rali.review.session import Review
from rali.thumbnails.cache import ThumbnailCache

SHOTS = 12


@pytest.fixture
def remember(own_world: Path, tiny_bundle: Path) -> Callable[[dict[Path, float]], Scoring]:
    """Return a function that puts files that are there into the catalog, with scores."""

    def store(scores: dict[Path, float]) -> Scoring:
        with Catalog(own_world / "catalog.db") as catalog:
            scoring = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
            outcomes = []
            for path, score in scores.items():
                taken = photo_at(path)
                known = prepared(taken, f"{taken.inode:x}", difference_hash=taken.inode * 0x9E3779B97F4A7C15 % 2**64)
                content = content_hash([memoryview(path.read_bytes())])
                known = known.__class__(known.state, known.content.__class__(**vars(known.content) | {"hash": content}))
                vector = np.array([score, 1.0], dtype="<f2").tobytes()
                outcomes.append(Outcome(taken, known, score, vector))
            catalog.store(outcomes, scoring)
        return scoring

    return store


@pytest.fixture
def wedding(tmp_path: Path, remember: Callable[..., Scoring]) -> Path:
    """Make twelve photos that score 5, 15 ... 115."""
    folder = tmp_path / "wedding"
    remember({write_jpeg(folder / f"IMG_{n:02}.jpg", n): 10.0 * n - 5 for n in range(1, SHOTS + 1)})
    return folder


@pytest.fixture
def serve(own_world: Path) -> Iterator[Callable[..., Visitor]]:
    """Return a function that starts a server for a scope."""
    with ExitStack() as stack:

        def start(scoring: Scoring, *roots: Path) -> Visitor:
            settings = load_settings({"workers": 1})
            review = stack.enter_context(Review(own_world / "catalog.db", scoring, Scope([str(r) for r in roots])))
            cache = stack.enter_context(ThumbnailCache(own_world / "cache" / "thumbnails"))
            pictures = stack.enter_context(Pictures(settings, cache))
            server = Server(review, pictures)
            thread = threading.Thread(target=server.serve_until_stopped)
            thread.start()

            def end() -> None:
                server.should_exit = True
                thread.join()

            stack.callback(end)
            return Visitor(int(server.url.split(":")[2].partition("/")[0]), server.url, review, server)

        yield start


@pytest.fixture
def scoring_of(own_world: Path) -> Callable[[], Scoring]:
    """Return a function that looks up what the scores were made by."""

    def find() -> Scoring:
        with Catalog(own_world / "catalog.db") as catalog:
            return catalog.scorings()[0]

    return find


@pytest.fixture
def visitor(wedding: Path, serve: Callable[..., Visitor], scoring_of: Callable[[], Scoring]) -> Visitor:
    """Return somebody who has opened the link to a review of the wedding."""
    found = serve(scoring_of(), wedding)
    found.enter()
    return found

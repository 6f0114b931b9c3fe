"""What the benchmarks share: files that look like photos, a catalog that knows them, a clock."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scoring
from rali.model.registry import find_model
from rali.photos.decode import FileState
from rali.photos.exif import Shot
from rali.photos.photo import Photo
from rali.photos.sniff import Format
from rali.prepare import Content, Prepared, recipe_id

RALI = [sys.executable, "-m", "rali_cli"]
FOLDER_PHOTOS = 1000
REPEATS = 5


def make_files(root: Path, photos: int, *, size_bytes: int = 8) -> None:
    """Make files that are called like photos, each with another content; nothing decodes them."""
    for number in range(photos):
        folder = root / f"{number // FOLDER_PHOTOS:04}"
        if number % FOLDER_PHOTOS == 0:
            folder.mkdir(parents=True)
        (folder / f"IMG_{number:06}.jpg").write_bytes(number.to_bytes(8, "big") * (size_bytes // 8))


def fill_catalog(db: Path, photos: list[Photo]) -> Scoring:
    """Store photos with random scores, through the same door as a real run."""
    info = find_model("mini")
    rng = np.random.default_rng(0)
    embedding = bytes(256)
    with Catalog(db) as catalog:
        scoring = catalog.scoring(info, recipe_id("fast"))
        for at in range(0, len(photos), 20_000):
            outcomes = []
            for photo in photos[at : at + 20_000]:
                content = Content(photo.inode.to_bytes(16, "big"), Format.JPEG, 6000, 4000, Shot(), 0)
                state = FileState(photo.device, photo.inode, photo.size_bytes, photo.mtime_ns)
                outcomes.append(Outcome(photo, Prepared(state, content), float(rng.uniform(0, 100)), embedding))
            catalog.store(outcomes, scoring)
    return scoring


def run(command: list[str]) -> None:
    """Run a command whose output does not matter."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def median_s(action: Callable[[], object]) -> float:
    """Return the median of several timings, in seconds."""
    return statistics.median(seconds(action) for _ in range(REPEATS))

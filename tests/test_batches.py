"""Decoded photos through the model: one batch is in it while the next one fills."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import BrightnessScorer, write_tiny_bundle

from rali.batches import outcomes
from rali.catalog.catalog import Catalog
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo
from rali.model.scorer import Scores
from rali.photos.decode import FileState
from rali.photos.exif import Shot
from rali.photos.photo import Photo
from rali.photos.sniff import Format
from rali.prepare import Content, Prepared

Result = tuple[str, Prepared, memoryview]


@pytest.fixture
def info(tmp_path: Path) -> BundleInfo:
    return write_tiny_bundle(tmp_path / "tiny.safetensors")


def photos(count: int) -> dict[str, Photo]:
    return {f"/photos/{number}.jpg": Photo(f"/photos/{number}.jpg", 1, number, 1, 1) for number in range(count)}


def result(info: BundleInfo, number: int) -> Result:
    """Make a photo that is as bright as its number."""
    content = Content(number.to_bytes(16, "big"), Format.JPEG, 600, 400, Shot(), 0)
    pixels = np.full(info.preprocessing.input_shape, number, np.uint8)
    return f"/photos/{number}.jpg", Prepared(FileState(1, number, 1, 1), content), memoryview(pixels.tobytes())


def scored(results: Iterator[Result], scorer: BrightnessScorer, tmp_path: Path, count: int) -> dict[str, float]:
    with Catalog(tmp_path / "catalog.db") as catalog:
        scoring = catalog.scoring(scorer.info, "fast-3.1-half")
        found = list(outcomes(results, photos(count), scorer, catalog, scoring))  # type: ignore[arg-type]
    assert all(outcome.failure is None for outcome in found)
    return {outcome.photo.file: outcome.score or 0.0 for outcome in found}


def test_results_are_taken_while_a_batch_is_in_the_model(info: BundleInfo, tmp_path: Path) -> None:
    later = threading.Event()

    class Waiting(BrightnessScorer):
        def score(self, pixels: np.ndarray) -> Scores:
            assert later.wait(10), "no result was taken while the model worked"
            return super().score(pixels)

    def results() -> Iterator[Result]:
        yield result(info, 0)
        yield result(info, 1)  # the first batch is whole
        later.set()
        yield result(info, 2)

    assert len(scored(results(), Waiting(info), tmp_path, 3)) == 3


def test_each_photo_gets_its_own_score_though_the_next_batch_fills_meanwhile(info: BundleInfo, tmp_path: Path) -> None:
    found = scored((result(info, number) for number in range(101)), BrightnessScorer(info), tmp_path, 101)

    assert found == {f"/photos/{number}.jpg": pytest.approx(number / 2.55) for number in range(101)}


def test_what_the_device_says_reaches_who_asked(info: BundleInfo, tmp_path: Path) -> None:
    class Broken(BrightnessScorer):
        def score(self, pixels: np.ndarray) -> Scores:
            raise DeviceError("it is gone")

    with pytest.raises(DeviceError, match="it is gone"):
        scored((result(info, number) for number in range(9)), Broken(info), tmp_path, 9)


def test_who_asks_no_further_leaves_no_thread_behind(info: BundleInfo, tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        scoring = catalog.scoring(info, "fast-3.1-half")
        given = (result(info, number) for number in range(9))
        going = outcomes(given, photos(9), BrightnessScorer(info), catalog, scoring)  # type: ignore[arg-type]
        next(going)
        going.close()  # type: ignore[attr-defined]

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rali-score")]

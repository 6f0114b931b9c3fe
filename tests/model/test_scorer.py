"""A picture's score depends on the picture alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import TINY_COMPONENTS, write_tiny_bundle
from numpy.typing import NDArray

from rali.errors import DeviceError
from rali.model.golden import golden_pixels
from rali.model.registry import find_model
from rali.model.scorer import Scorer
from rali.model.ways import available_device, precision_for

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def mini() -> Scorer:
    return Scorer(find_model("mini"), device="cpu")


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return golden_pixels(384)[:8]


@pytest.fixture(scope="module")
def solo(mini: Scorer, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the score of each picture by itself."""
    return np.concatenate([mini.score(pixels[at : at + 1]).scores for at in range(len(pixels))])


@pytest.mark.parametrize("batch_size", [2, 3, 5, 8])
def test_a_score_does_not_depend_on_the_size_of_the_batch(
    mini: Scorer, pixels: NDArray[np.uint8], solo: NDArray[np.float64], batch_size: int
) -> None:
    found = [mini.score(pixels[at : at + batch_size]).scores for at in range(0, len(pixels), batch_size)]

    assert np.concatenate(found) == pytest.approx(solo, abs=TOLERANCE)


def test_a_score_does_not_depend_on_the_order(
    mini: Scorer, pixels: NDArray[np.uint8], solo: NDArray[np.float64]
) -> None:
    assert mini.score(pixels[::-1].copy()).scores[::-1] == pytest.approx(solo, abs=TOLERANCE)


def test_a_score_does_not_depend_on_the_neighbours(
    mini: Scorer, pixels: NDArray[np.uint8], solo: NDArray[np.float64]
) -> None:
    black, white = np.zeros_like(pixels[:1]), np.full_like(pixels[:1], 255)

    found = mini.score(np.concatenate([black, pixels[3:4], white])).scores[1]

    assert found == pytest.approx(solo[3], abs=TOLERANCE)


def test_scoring_leaves_the_callers_pixels_as_they_were(mini: Scorer, pixels: NDArray[np.uint8]) -> None:
    before = pixels.copy()

    mini.score(pixels[:2])

    assert (pixels == before).all()


def test_scores_are_float64_and_embeddings_float16_of_the_pcas_size(tiny_bundle: Path) -> None:
    scorer = Scorer(find_model(str(tiny_bundle)), device="cpu")

    found = scorer.score(np.zeros((3, 32, 32, 3), dtype=np.uint8))

    assert (found.scores.dtype, found.scores.shape) == (np.float64, (3,))
    assert (found.embeddings.dtype, found.embeddings.shape) == (np.float16, (3, TINY_COMPONENTS))


def test_a_model_that_computes_nothing_finite_says_so_in_its_scores(tmp_path: Path) -> None:
    info = write_tiny_bundle(tmp_path / "nan.safetensors", score=float("nan"))

    assert np.isnan(Scorer(info, device="cpu").score(np.zeros((2, 32, 32, 3), dtype=np.uint8)).scores).all()


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device: str) -> None:
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has one")

    with pytest.raises(DeviceError, match=rf"no {device} device .* use --device cpu"):
        available_device(device)  # type: ignore[arg-type]


def test_the_cpu_always_computes_in_float32() -> None:
    assert precision_for("fast", "cpu") == "float32"
    assert precision_for("exact", "cpu") == "float32"


@pytest.mark.gpu
def test_the_exact_recipe_gives_the_same_scores_on_the_gpu(
    pixels: NDArray[np.uint8], solo: NDArray[np.float64]
) -> None:
    scorer = Scorer(find_model("mini"), device="cuda", precision=precision_for("exact", "cuda"))

    assert scorer.score(pixels).scores == pytest.approx(solo, abs=1e-3)


@pytest.mark.gpu
def test_the_fast_recipe_keeps_within_a_point_on_the_gpu(pixels: NDArray[np.uint8], solo: NDArray[np.float64]) -> None:
    scorer = Scorer(find_model("mini"), device="cuda", precision=precision_for("fast", "cuda"))

    assert scorer.score(pixels).scores == pytest.approx(solo, abs=1.0)


class CrampedEngine:
    """An engine with memory for so many pictures at once; a picture's score is its mean brightness."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batch_size = 2
        self.batches: list[int] = []

    def run(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.batches.append(len(pixels))
        if len(pixels) > self.room:
            raise MemoryError("out of memory")
        return pixels.mean(axis=(1, 2, 3)), np.zeros((len(pixels), 4), np.float32)


def cramped_scorer(**room: int) -> tuple[Scorer, dict[str, CrampedEngine], list[str]]:
    engines = {device: CrampedEngine(size) for device, size in room.items()}
    notices: list[str] = []
    info = find_model("mini")
    scorer = Scorer(info, device="cpu", on_notice=notices.append, load_engine=lambda device, _: engines[device])
    return scorer, engines, notices


def test_too_little_memory_halves_the_batch_and_changes_no_score() -> None:
    scorer, engines, notices = cramped_scorer(cpu=3)
    scorer.batch_size = 16
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    found = scorer.score(pixels)
    np.testing.assert_array_equal(found.scores, pixels.mean(axis=(1, 2, 3)))
    assert found.embeddings.shape == (16, 4)
    assert scorer.batch_size == 2
    assert [line for line in notices if "2 photos at once" in line]
    scorer.score(pixels)
    assert engines["cpu"].batches[-8:] == [2] * 8  # what fits is remembered


def test_a_device_without_memory_for_one_photo_gives_way_to_the_cpu_aloud() -> None:
    scorer, _, notices = cramped_scorer(cpu=64, cuda=0)
    scorer.device, scorer._engine, scorer.batch_size = "cuda", CrampedEngine(0), 4
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(scorer.score(pixels).scores, pixels.mean(axis=(1, 2, 3)))
    assert scorer.device == "cpu"
    assert "CPU" in notices[-1]


def test_a_cpu_without_memory_for_one_photo_is_an_error() -> None:
    scorer, _, _ = cramped_scorer(cpu=0)
    with pytest.raises(DeviceError, match="too little memory"):
        scorer.score(np.zeros((2, 8, 8, 3), np.uint8))

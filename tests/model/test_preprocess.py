"""A picture becomes the square that CLIP's image processor would cut, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_images import picture
from PIL import Image

from rali.errors import FailureKind, PhotoError
from rali.model.preprocess import MAX_ASPECT, Preprocessing

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
CLIP = Preprocessing(224, 224, MEAN, STD)
CROPPING = Preprocessing(256, 224, MEAN, STD)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((6016, 4016), (335, 224)),
        ((4016, 6016), (224, 335)),
        ((224, 224), (224, 224)),
        ((100, 50), (448, 224)),
        ((1, 1), (224, 224)),
        ((1000, 999), (224, 224)),
        ((50, 1), (11200, 224)),
    ],
)
def test_the_short_edge_is_scaled_and_the_long_one_truncated(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert CLIP.resize(Image.new("RGB", size)).size == expected


def test_the_authors_example_comes_out_as_theirs() -> None:
    assert Preprocessing(384, 384, MEAN, STD).resize(Image.new("RGB", (6016, 4016))).size == (575, 384)


def test_a_picture_of_the_right_size_is_not_resampled() -> None:
    image = picture(300, 224)
    assert CLIP.resize(image) is image


@pytest.mark.parametrize("size", [(1, 51), (51, 1), (1, 5000), (65535, 1), (101, 2)])
def test_a_line_of_pixels_is_refused_before_it_is_blown_up(size: tuple[int, int]) -> None:
    with pytest.raises(PhotoError, match=f"{size[0]} x {size[1]} is too narrow") as caught:
        CLIP.resize(Image.new("RGB", size))
    assert caught.value.kind is FailureKind.UNSUPPORTED


def test_the_centre_is_cut_out() -> None:
    image = picture(301, 256)
    square = CROPPING.crop(image)
    assert square.dtype == np.uint8
    assert square.shape == CROPPING.input_shape == (224, 224, 3)
    assert (square == np.asarray(image)[16:240, 38:262]).all()


def test_bicubic_resizing_is_pillows() -> None:
    image = picture(640, 480)
    expected = image.resize((298, 224), Image.Resampling.BICUBIC)
    assert CLIP.resize(image).tobytes() == expected.tobytes()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400))
def test_any_picture_that_is_not_too_narrow_fills_the_square(width: int, height: int) -> None:
    preprocessing = Preprocessing(16, 14, MEAN, STD)
    image = Image.new("RGB", (width, height), (255, 255, 255))
    if max(width, height) > MAX_ASPECT * min(width, height):
        with pytest.raises(PhotoError):
            preprocessing.resize(image)
        return
    resized = preprocessing.resize(image)
    assert min(resized.size) == 16
    square = preprocessing.crop(resized)
    assert square.shape == (14, 14, 3)
    assert (square == 255).all(), "nothing from outside the picture came in"


def test_the_numbers_survive_the_header_of_a_bundle() -> None:
    assert Preprocessing.from_json(CROPPING.to_json()) == CROPPING


@pytest.mark.parametrize(
    "change",
    [
        {"resize_px": 0},
        {"crop_px": 300},
        {"crop_px": -1},
        {"resize_px": 5000},
        {"mean": [0.5, 0.5]},
        {"std": [0.5, 0.5, 0]},
        {"std": ["a", 1, 1]},
        {"mean": None},
    ],
)
def test_numbers_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Preprocessing.from_json({**CROPPING.to_json(), **change})


def test_a_missing_number_is_refused() -> None:
    with pytest.raises(KeyError):
        Preprocessing.from_json({"resize_px": 224})

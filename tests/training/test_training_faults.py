from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import scene

from rali.training.colour import Pixels, from_lab, to_lab, to_linear, to_srgb
from rali.training.faults import FAULTS, Fault, add_noise, blur, compress, expose, moved, shrunk, worsened

PICTURE = scene()
STEPS: dict[str, tuple[Callable[[float], Pixels], tuple[float, ...]]] = {
    "longer": (lambda stops: expose(PICTURE, stops), (0.3, 1, 2, 4)),
    "shorter": (lambda stops: expose(PICTURE, stops), (-0.3, -1, -2, -4)),
    "blur": (lambda sigma: blur(PICTURE, sigma), (0.5, 1, 2, 4, 8)),
    "noise": (lambda sigma: add_noise(PICTURE, sigma, np.random.default_rng(5)), (2, 5, 10, 20)),
    "compression": (lambda quality: compress(PICTURE, int(quality)), (90, 60, 30, 10, 3)),
}


@pytest.mark.parametrize("fault", STEPS)
def test_each_step_is_further_from_the_picture(fault: str) -> None:
    ruin, strengths = STEPS[fault]
    pictures = [ruin(strength) for strength in strengths]
    distances = [float(np.abs(picture.astype(float) - PICTURE).mean()) for picture in pictures]

    assert all((picture.shape, picture.dtype) == (PICTURE.shape, np.uint8) for picture in pictures)
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_no_fault_is_the_picture_itself() -> None:
    for same in (expose(PICTURE, 0), blur(PICTURE, 0), add_noise(PICTURE, 0, np.random.default_rng(0))):
        assert (same == PICTURE).all()


def test_a_stop_doubles_the_light_and_white_is_the_end() -> None:
    grey = np.full((2, 2, 3), 100, np.uint8)

    assert to_linear(expose(grey, 1)) == pytest.approx(2 * to_linear(grey), rel=0.01)
    assert (expose(grey, 9) == 255).all()
    assert (expose(grey, -16) == 0).all()


def test_noise_deviates_at_mid_grey_as_asked_and_keeps_the_mean() -> None:
    noisy = add_noise(np.full((200, 200, 3), 128, np.uint8), 6, np.random.default_rng(0))

    assert noisy.std() == pytest.approx(6, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=0.5)


def test_blur_keeps_the_mean_and_a_flat_picture() -> None:
    flat = np.full((20, 31, 3), (10, 120, 250), np.uint8)

    assert (blur(flat, 5) == flat).all()
    assert blur(PICTURE, 5).mean() == pytest.approx(PICTURE.mean(), abs=0.2)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_linear_light_and_lab_lead_back_to_the_same_colour(colour: tuple[int, int, int]) -> None:
    pixel = np.array([[colour]], np.uint8)

    assert (to_srgb(to_linear(pixel)) == pixel).all()
    assert np.abs(from_lab(*to_lab(pixel)).astype(int) - pixel).max() <= 2


def test_lab_of_known_colours() -> None:
    # Values of B. Lindbloom's calculator for sRGB under D65.
    pixels = np.array([[(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)]], np.uint8)
    lab = np.stack(to_lab(pixels), axis=-1)[0]

    expected = [(100, 0, 0), (0, 0, 0), (53.24, 80.09, 67.20), (32.30, 79.19, -107.86)]
    assert lab == pytest.approx(np.array(expected), abs=0.15)


@given(st.integers(0, 500), st.none() | st.sampled_from(FAULTS))
def test_of_two_worsened_copies_the_second_is_further_from_the_picture(seed: int, fault: Fault | None) -> None:
    copies = worsened(PICTURE, np.random.default_rng(seed), fault)
    distances = [float(np.abs(copy.astype(float) - PICTURE).mean()) for copy in copies]

    assert 0 < distances[0] < distances[1]


@given(st.integers(0, 500))
def test_a_named_fault_is_the_one_that_is_made(seed: int) -> None:
    light = {fault: [copy.mean() for copy in worsened(PICTURE, np.random.default_rng(seed), fault)] for fault in FAULTS}

    assert light["overexposure"][1] > light["overexposure"][0] > PICTURE.mean()
    assert light["underexposure"][1] < light["underexposure"][0] < PICTURE.mean()
    assert worsened(PICTURE, np.random.default_rng(seed), "blur")[1].std() < PICTURE.std()


def test_moving_there_and_back_changes_next_to_nothing() -> None:
    smooth = blur(PICTURE, 2)

    assert (moved(PICTURE, 0) == PICTURE).all()
    assert np.abs(moved(smooth, 1)[:-1, :-1].astype(int) - smooth[1:, 1:])[4:-4, 4:-4].max() <= 2
    assert np.abs(moved(moved(smooth, 0.5), -0.5).astype(int) - smooth)[4:-4, 4:-4].max() <= 2


@given(st.floats(0.5, 1))
def test_a_shrunk_picture_lies_amid_its_mirror_image(share: float) -> None:
    square = PICTURE[: min(PICTURE.shape[:2]), : min(PICTURE.shape[:2])]
    size = len(square)
    inner = round(size * share)
    first = (size - inner) // 2
    last = first + inner - 1

    small = shrunk(square, share)

    assert (small.shape, small.dtype) == (square.shape, np.uint8)
    assert small[first : last + 1, first : last + 1].mean() == pytest.approx(square.mean(), abs=1)
    assert first == 0 or (small[first - 1] == small[first]).all()
    assert last + 1 == size or (small[:, last + 1] == small[:, last]).all()
    assert (shrunk(square, 1.0) == square).all()

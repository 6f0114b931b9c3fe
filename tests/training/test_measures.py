from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from pictures import scene

from rali.training.distortions import distort
from rali.training.faults import blur, expose
from rali.training.measures import WORDS, Measures, describe, measure

PICTURE = scene()
ORDINARY = Measures(
    sharpness=0.7, brightness=45, crushed=0.0, blown=0.0, noise=0.7, contrast=0.22, colourfulness=37
)  # medians of LIVE In the Wild


def grey(level: int) -> Measures:
    return measure(np.full((40, 40, 3), level, np.uint8))


def test_empty_pictures_measure_nothing() -> None:
    assert grey(0) == Measures(0, pytest.approx(0, abs=1e-3), 1, 0, 0, 0, 0)
    assert grey(255) == Measures(0, pytest.approx(100, abs=1e-3), 0, 1, 0, pytest.approx(0, abs=1e-6), 0)
    assert grey(119).brightness == pytest.approx(50, abs=0.1)


def test_measures_follow_the_fault_they_are_named_for() -> None:
    rng, as_it_is = np.random.default_rng(0), measure(PICTURE)

    sharpness = [measure(blur(PICTURE, sigma)).sharpness for sigma in (0, 1, 2, 4)]
    assert sharpness == sorted(sharpness, reverse=True)
    assert measure(expose(PICTURE, 2)).brightness > as_it_is.brightness > measure(expose(PICTURE, -2)).brightness
    assert measure(expose(PICTURE, 3)).blown > 0.1 > as_it_is.blown
    assert measure(expose(PICTURE, -12)).crushed > 0.9 > as_it_is.crushed
    assert measure(distort(PICTURE, "contrast change", 5, rng)).contrast < as_it_is.contrast
    assert measure(distort(PICTURE, "saturation (HSV)", 4, rng)).colourfulness < 1 < as_it_is.colourfulness
    assert measure(distort(PICTURE, "saturation (Lab)", 3, rng)).colourfulness > as_it_is.colourfulness


@pytest.mark.parametrize("sigma", [2, 5, 12])
def test_noise_is_measured_in_grey_levels(sigma: float) -> None:
    noise = np.random.default_rng(1).normal(0, sigma, (200, 200, 1)).repeat(3, axis=2)
    slope = np.linspace(60, 180, 200)[:, None, None]

    assert measure((slope + noise).round().astype(np.uint8)).noise == pytest.approx(sigma, rel=0.1)


def test_measures_are_finite_numbers_within_their_range() -> None:
    limits = {"sharpness": 1, "brightness": 100.001, "crushed": 1, "blown": 1, "noise": 255, "contrast": 0.5}
    for kind in ("white noise", "high sharpen", "color block"):
        for name, value in asdict(measure(distort(PICTURE, kind, 5, np.random.default_rng(0)))).items():
            assert isinstance(value, float)
            assert 0 <= value <= limits.get(name, 250)


def test_words_say_what_stands_out_and_nothing_of_an_ordinary_picture() -> None:
    assert describe(ORDINARY) == ()
    assert describe(replace(ORDINARY, sharpness=0.3, blown=0.2)) == ("blurry", "with blown highlights")
    assert "dark" in describe(replace(ORDINARY, brightness=20))
    assert "very noisy" in describe(replace(ORDINARY, noise=20))
    assert {name for name, *_ in WORDS} == set(asdict(ORDINARY))

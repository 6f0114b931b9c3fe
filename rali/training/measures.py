"""What can be measured on a picture without a model: sharpness, exposure, noise, contrast, colourfulness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rali.training.colour import LUMA, Floats, Pixels, as_floats, to_lab

DARKEST, LIGHTEST = 4, 251  # tones beyond which a pixel holds no detail: 1.5 % of the range at either end


@dataclass(frozen=True)
class Measures:
    """Measured attributes of one picture; ranges are in the functions that measure them."""

    sharpness: float
    brightness: float
    crushed: float
    blown: float
    noise: float
    contrast: float
    colourfulness: float


INFINITY = float("inf")
# A measure, from where to where, and the word for it. Bounds are quantiles, mostly 5, 10, 90 and 95 %, of photos of
# LIVE In the Wild seen at 384 x 384. Noise is another matter, since fine texture counts as noise: KADID-10k's raters
# begin to see it at a deviation of 6. For colourfulness the low bounds are those of its authors.
WORDS: tuple[tuple[str, float, float, str], ...] = (
    ("sharpness", 0, 0.49, "blurry"),
    ("sharpness", 0.49, 0.56, "soft"),
    ("sharpness", 0.77, INFINITY, "crisp"),
    ("brightness", 0, 17, "very dark"),
    ("brightness", 17, 23, "dark"),
    ("brightness", 57, 70, "bright"),
    ("brightness", 70, INFINITY, "very bright"),
    ("crushed", 0.03, INFINITY, "with crushed shadows"),
    ("blown", 0.045, INFINITY, "with blown highlights"),
    ("noise", 6, 12, "grainy"),
    ("noise", 12, INFINITY, "very noisy"),
    ("contrast", 0, 0.13, "flat"),
    ("contrast", 0.3, INFINITY, "contrasty"),
    ("colourfulness", 0, 3, "colourless"),
    ("colourfulness", 3, 15, "muted in colour"),
    ("colourfulness", 75, INFINITY, "vivid in colour"),
)


def describe(measures: Measures) -> tuple[str, ...]:
    """Say what stands out among ``measures``; nothing where all of them are ordinary."""
    return tuple(word for name, low, high, word in WORDS if low <= getattr(measures, name) < high)


def measure(picture: Pixels) -> Measures:
    """Measure ``picture`` [H, W, 3]; figures depend on its size, so compare pictures of one size."""
    luma = as_floats(picture) @ LUMA  # [H, W], 0 to 1
    crushed, blown = clipped_shares(picture)
    return Measures(
        sharpness=sharpness(luma),
        brightness=brightness(picture),
        crushed=crushed,
        blown=blown,
        noise=noise(luma),
        contrast=contrast(luma),
        colourfulness=colourfulness(picture),
    )


def sharpness(luma: Floats) -> float:
    """Return 1 minus the blur effect: near 0 for a blurred or an empty picture, up to 1 for fine sharp detail.

    How much of the differences between neighbours is lost when the picture is blurred once more, on the blurrier axis.
    Source: F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur
    metric", SPIE 6492, 2007.
    """
    kept = []
    for axis in (0, 1):
        before = np.abs(np.diff(luma, axis=axis))
        after = np.abs(np.diff(ndimage.uniform_filter1d(luma, 9, axis=axis), axis=axis))
        total = float(before.sum())
        kept.append(float((before - after).clip(0).sum()) / total if total > 0 else 0.0)
    return min(kept)


def brightness(picture: Pixels) -> float:
    """Return the mean lightness: CIE L*, from 0 black by 50 mid-grey to 100 white."""
    lightness, _, _ = to_lab(picture)
    return float(lightness.mean())


def clipped_shares(picture: Pixels) -> tuple[float, float]:
    """Return the shares, 0 to 1, of crushed pixels (all channels at most 4) and of blown ones (all at least 251)."""
    return float((picture.max(axis=-1) <= DARKEST).mean()), float((picture.min(axis=-1) >= LIGHTEST).mean())


def noise(luma: Floats) -> float:
    """Return the noise's standard deviation in grey levels, 0 to 255; fine texture counts as noise.

    J. Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996: a mask that answers neither to slopes nor to
    straight edges, and multiplies noise by 6. Here the median in place of the mean, so that edges count less.
    """
    second = np.array([1, -2, 1], np.float32)
    answer = ndimage.convolve1d(ndimage.convolve1d(luma, second, axis=0), second, axis=1)
    return float(255 * np.median(np.abs(answer)) / (6 * 0.6745))  # of a Gaussian, the median is 0.6745 deviations


def contrast(luma: Floats) -> float:
    """Return the RMS contrast: the standard deviation of the tones, 0 to 0.5. Source: E. Peli, JOSA A 7(10), 1990."""
    return float(luma.std())


def colourfulness(picture: Pixels) -> float:
    """Return M3 of D. Hasler and S. Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003.

    0 is grey, 15 slightly, 33 moderately, 59 quite, 109 extremely colourful; the most is about 240.
    """
    red, green, blue = (picture[..., channel].astype(np.float32) for channel in range(3))
    opponents = np.stack([red - green, 0.5 * (red + green) - blue])  # [2, H, W]
    spread, centre = opponents.std(axis=(1, 2)), opponents.mean(axis=(1, 2))
    return float(np.hypot(*spread) + 0.3 * np.hypot(*centre))

"""KADID-10k's 25 distortions at their 5 levels, and what a photographer would call each of them.

Levels are those of the published data set (H. Lin, V. Hosu and D. Saupe, "KADID-10k: A Large-scale Artificially
Distorted IQA Database", QoMEX 2019), whose pictures are 512 x 384: a blur of so many pixels means the same on ours of
384 or 448 px, and counts of patches are scaled by the area. Where a few lines can only come near, the function says so.
How much people mind each one at each level is in ``kadid_means.csv``; ``Kind.visible`` sums it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from rali.training.colour import LUMA, Floats, Pixels, as_floats, as_pixels, from_lab, to_lab
from rali.training.faults import blur, compress, reopened, soften

Rng = np.random.Generator
Apply = Callable[[Pixels, float, Rng], Pixels]

LEVELS = range(1, 6)
KADID_AREA = 512 * 384


class Family(StrEnum):
    """A fault as photographers name it: what can be told apart by eye, and acted upon."""

    BLUR = "blur"
    MOTION_BLUR = "motion blur"
    NOISE = "noise"
    COMPRESSION = "compression"
    UNDEREXPOSED = "underexposed"
    OVEREXPOSED = "overexposed"
    COLOUR = "colour"
    LOW_CONTRAST = "low contrast"
    OVERSHARPENED = "oversharpened"
    PIXELATED = "pixelated"


@dataclass(frozen=True)
class Kind:
    """One of KADID-10k's distortions; tuples have one entry for each level.

    ``visible``: how much people mind, from the mean score: 0 not seen (4.4 and up), 1 slight (3.4), 2 clear (2.2),
    3 strong. ``families``: None where no photographer's word fits, which serves training alone.
    """

    apply: Apply
    settings: tuple[float, ...]
    visible: tuple[int, ...]
    families: tuple[Family | None, ...]


def distort(picture: Pixels, kind: str, level: int, rng: Rng) -> Pixels:
    """Ruin ``picture`` [H, W, 3] as KADID-10k's ``kind`` does at ``level`` 1 to 5; the same ``rng`` gives the same."""
    if level not in LEVELS:
        raise ValueError(f"level {level} is not in 1 to 5")
    return KINDS[kind].apply(picture, KINDS[kind].settings[level - 1], rng)


def mixture(picture: Pixels, faults: Iterable[tuple[str, int]], rng: Rng) -> Pixels:
    """Ruin ``picture`` by several kinds with their levels, one after the other."""
    for kind, level in faults:
        picture = distort(picture, kind, level, rng)
    return picture


def family_of(kind: str, level: int) -> Family | None:
    """Name the fault that ``kind`` at ``level`` shows; None where people see none, or have no word for it."""
    entry = KINDS[kind]
    return entry.families[level - 1] if entry.visible[level - 1] else None


# --- blurs ------------------------------------------------------------------------------------------------------------


def _gaussian_blur(picture: Pixels, sigma: float, _: Rng) -> Pixels:
    return blur(picture, sigma)


def _lens_blur(picture: Pixels, radius: float, _: Rng) -> Pixels:
    reach = int(radius) + 1
    offsets = np.arange(-reach, reach + 1)
    distance = np.hypot(*np.meshgrid(offsets, offsets))
    return _convolved(picture, (radius + 0.5 - distance).clip(0, 1))  # a disc with a soft rim one pixel wide


def _motion_blur(picture: Pixels, length: float, rng: Rng) -> Pixels:
    """Smear along a line of ``length`` pixels in any direction; 1 is the picture itself."""
    angle, reach = rng.uniform(0, np.pi), int(length / 2) + 1
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 8 * int(length))
    offsets = np.arange(-reach, reach + 1)
    rows, columns = (  # how much of each point of the line a row or column of the kernel gets: [2 * reach + 1, points]
        (1 - np.abs(offsets[:, None] - along * toward)).clip(0) for toward in (np.sin(angle), np.cos(angle))
    )
    return _convolved(picture, rows @ columns.T)


def _convolved(picture: Pixels, kernel: NDArray[np.float64]) -> Pixels:
    """Convolve each channel with ``kernel`` [2 r + 1, 2 r + 1] (its sum is made 1), edges repeated."""
    reach, (height, width) = len(kernel) // 2, picture.shape[:2]
    planes = np.pad(as_floats(picture).transpose(2, 0, 1), ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    shape = [fft.next_fast_len(length, real=True) for length in planes.shape[1:]]
    gain = fft.rfft2((kernel / kernel.sum()).astype(np.float32), shape)
    blurred = fft.irfft2(fft.rfft2(planes, shape) * gain, shape)
    inner = blurred[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]
    return as_pixels(inner.transpose(1, 2, 0))


# --- colour -----------------------------------------------------------------------------------------------------------


def _color_diffusion(picture: Pixels, amount: float, _: Rng) -> Pixels:
    """Let colours run: a and b of Lab softened and made ``amount`` times as strong."""
    lightness, a, b = to_lab(picture)
    a, b = (soften(plane, 1.5 * amount + 2) * amount for plane in (a, b))
    return from_lab(lightness, a, b)


def _color_shift(picture: Pixels, pixels: float, rng: Rng) -> Pixels:
    """Move green by so many ``pixels`` in any direction, where there are edges nearby."""
    grey = as_floats(picture) @ LUMA
    edges = soften(np.hypot(*np.gradient(grey)), 4)
    low, high = np.percentile(edges, (1, 99)).astype(np.float32)
    share = ((edges - low) / max(high - low, 1e-6)).clip(0, 1)  # [H, W]
    angle, (height, width) = rng.uniform(0, 2 * np.pi), grey.shape
    rows = (np.arange(height) + round(pixels * np.sin(angle))).clip(0, height - 1)
    columns = (np.arange(width) + round(pixels * np.cos(angle))).clip(0, width - 1)
    green = picture[..., 1].astype(np.float32)
    shifted = picture.copy()
    shifted[..., 1] = np.rint(green + share * (green[rows[:, None], columns] - green))
    return shifted


def _color_quantization(picture: Pixels, colours: float, _: Rng) -> Pixels:
    """Keep so many ``colours`` and dither between them, as a GIF does."""
    image = Image.fromarray(picture)
    thumbnail = image.resize((96, 96), Image.Resampling.BILINEAR)  # the whole picture's palette takes 30 times as long
    palette = thumbnail.quantize(int(colours), Image.Quantize.MEDIANCUT)
    return np.asarray(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))


def _saturation_hsv(picture: Pixels, factor: float, _: Rng) -> Pixels:
    """Scale saturation in HSV: each channel's distance from the largest of the three. Below 0 colours are opposite."""
    x = as_floats(picture)
    value = x.max(axis=-1, keepdims=True)
    return as_pixels(value - np.float32(factor) * (value - x))


def _saturation_lab(picture: Pixels, factor: float, _: Rng) -> Pixels:
    lightness, a, b = to_lab(picture)
    return from_lab(lightness, factor * a, factor * b)


# --- compression ------------------------------------------------------------------------------------------------------


def _jpeg_2000(picture: Pixels, ratio: float, _: Rng) -> Pixels:
    return reopened(picture, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True)


def _jpeg(picture: Pixels, quality: float, _: Rng) -> Pixels:
    return compress(picture, int(quality))


# --- noise ------------------------------------------------------------------------------------------------------------


def _gaussian(picture: Pixels, variance: float, rng: Rng) -> Floats:
    return rng.standard_normal(picture.shape, np.float32) * np.float32(variance**0.5)


def _white_noise(picture: Pixels, variance: float, rng: Rng) -> Pixels:
    return as_pixels(as_floats(picture) + _gaussian(picture, variance, rng))


YCBCR_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)  # ITU-R BT.601


def _white_noise_ycbcr(picture: Pixels, variance: float, rng: Rng) -> Pixels:
    return as_pixels(as_floats(picture) + _gaussian(picture, variance, rng) @ YCBCR_TO_RGB.T)


def _impulse_noise(picture: Pixels, share: float, rng: Rng) -> Pixels:
    draw = rng.random(picture.shape, np.float32)
    return np.where(draw < share / 2, np.uint8(0), np.where(draw < share, np.uint8(255), picture))


def _multiplicative_noise(picture: Pixels, variance: float, rng: Rng) -> Pixels:
    return as_pixels(as_floats(picture) * (1 + _gaussian(picture, variance, rng)))


def _denoise(picture: Pixels, variance: float, rng: Rng) -> Pixels:
    """Add noise and take it out again, and the fine detail with it. KADID-10k uses a network, this a Wiener filter."""
    noisy = as_floats(_white_noise(picture, variance, rng))
    window = 2 * round(3 + 10 * variance**0.5) - 1
    clean = np.empty_like(noisy)
    for channel in range(3):
        plane = noisy[..., channel]
        mean = ndimage.uniform_filter(plane, window)
        spread = np.maximum(ndimage.uniform_filter(plane * plane, window) - mean * mean, 1e-6)
        clean[..., channel] = mean + (1 - np.float32(1.5 * variance) / spread).clip(0) * (plane - mean)
    return as_pixels(clean)


# --- tones ------------------------------------------------------------------------------------------------------------


def _curve(picture: Pixels, bend: Callable[[Floats], Floats]) -> Pixels:
    """Send every value, 0 to 1, through ``bend``."""
    return as_pixels(bend(np.linspace(0, 1, 256, dtype=np.float32)))[picture]


def _brighten(picture: Pixels, amount: float, _: Rng) -> Pixels:
    """Raise mid-grey by half of ``amount`` (negative: lower it), black and white stay."""
    return _curve(picture, lambda x: x + 2 * amount * x * (1 - x))


def _mean_shift(picture: Pixels, amount: float, _: Rng) -> Pixels:
    return _curve(picture, lambda x: x + amount)


def _contrast_change(picture: Pixels, moved: float, _: Rng) -> Pixels:
    """Move tone 0.3 by ``moved`` and tone 0.7 as far the other way; black, mid-grey and white stay."""
    return _curve(picture, lambda x: x + moved / 0.084 * x * (1 - x) * (1 - 2 * x))


def _quantization(picture: Pixels, tones: float, _: Rng) -> Pixels:
    return _curve(picture, lambda x: np.minimum(np.floor(x * tones), tones - 1) / np.float32(tones - 1))


def _high_sharpen(picture: Pixels, amount: float, _: Rng) -> Pixels:
    """Unsharp mask of 3 pixels on brightness alone."""
    x = as_floats(picture)
    luma = x @ LUMA  # [H, W]
    return as_pixels(x + np.float32(amount) * (luma - soften(luma, 3))[..., None])


# --- what no photographer does ----------------------------------------------------------------------------------------


def _jitter(picture: Pixels, amount: float, rng: Rng) -> Pixels:
    """Take each pixel from nearby: KADID-10k's five random steps of ``amount`` pixels, made as one as long."""
    height, width = picture.shape[:2]
    steps = rng.standard_normal((2, height, width), np.float32) * np.float32(5**0.5 * amount)
    rows, columns = np.arange(height)[:, None] + steps[0], np.arange(width) + steps[1]
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    planes = [ndimage.map_coordinates(picture[..., channel], (rows, columns), order=1) for channel in range(3)]
    return np.stack(planes, axis=-1)


def _patches(picture: Pixels, count: float, side: int, rng: Rng) -> Iterable[tuple[int, int]]:
    """Yield the top left corners of as many places for patches as ``count`` on a picture of KADID-10k's size."""
    height, width = picture.shape[:2]
    for _ in range(max(1, round(count * height * width / KADID_AREA))):
        yield int(rng.integers(0, max(1, height - side + 1))), int(rng.integers(0, max(1, width - side + 1)))


def _non_eccentricity_patch(picture: Pixels, count: float, rng: Rng) -> Pixels:
    """Copy patches of 16 x 16 to places up to 8 pixels away."""
    side, reach, ruined = 16, 8, picture.copy()
    for top, left in _patches(picture, count, side, rng):
        patch = ruined[top : top + side, left : left + side].copy()
        down, right = rng.integers(-reach, reach + 1, 2)
        top, left = max(0, min(top + down, ruined.shape[0] - side)), max(0, min(left + right, ruined.shape[1] - side))
        ruined[top : top + side, left : left + side] = patch
    return ruined


def _pixelate(picture: Pixels, strength: float, _: Rng) -> Pixels:
    image = Image.fromarray(picture)
    width, height = (max(1, int(length * (0.95 - strength**0.6))) for length in image.size)
    small = (width, height)
    return np.asarray(image.resize(small, Image.Resampling.NEAREST).resize(image.size, Image.Resampling.NEAREST))


def _color_block(picture: Pixels, count: float, rng: Rng) -> Pixels:
    side, ruined = 32, picture.copy()
    for top, left in _patches(picture, count, side, rng):
        ruined[top : top + side, left : left + side] = rng.integers(0, 256, 3)
    return ruined


def _all(family: Family | None) -> tuple[Family | None, ...]:
    return (family,) * len(LEVELS)


# Where a photographer's word is missing or would mislead:
# - saturation (HSV) turns a photo grey, which many do on purpose; only its last level, opposite colours, is a fault;
# - contrast change is too harsh up to level 3, for which exposure has words (crushed, blown), and too flat from 4;
# - mean shift is brighter up to level 2, the picture itself at 3, darker from 4;
# - "denoise" is what a phone's noise reduction does to fine detail: it looks soft, so it is told as blur;
# - quantised tones, jitter, and patches are no faults of taking a photo.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "gaussian blur": Kind(_gaussian_blur, (0.1, 0.5, 1, 2, 5), (0, 1, 2, 3, 3), _all(Family.BLUR)),
        "lens blur": Kind(_lens_blur, (1, 2, 4, 6, 8), (1, 2, 3, 3, 3), _all(Family.BLUR)),
        "motion blur": Kind(_motion_blur, (1, 2, 4, 6, 10), (0, 1, 2, 3, 3), _all(Family.MOTION_BLUR)),
        "color diffusion": Kind(_color_diffusion, (1, 3, 6, 8, 12), (0, 2, 3, 3, 3), _all(Family.COLOUR)),
        "color shift": Kind(_color_shift, (1, 3, 6, 8, 12), (1, 2, 3, 3, 3), _all(Family.COLOUR)),
        "color quantization": Kind(_color_quantization, (64, 48, 32, 16, 8), (1, 1, 1, 2, 2), _all(None)),
        "saturation (HSV)": Kind(
            _saturation_hsv, (0.4, 0.2, 0.1, 0, -0.4), (2, 2, 2, 2, 3), (*(None,) * 4, Family.COLOUR)
        ),
        "saturation (Lab)": Kind(_saturation_lab, (1, 2, 3, 6, 9), (0, 2, 2, 3, 3), _all(Family.COLOUR)),
        "JPEG 2000": Kind(_jpeg_2000, (16, 32, 45, 120, 400), (0, 1, 1, 2, 3), _all(Family.COMPRESSION)),
        "JPEG": Kind(_jpeg, (43, 36, 24, 7, 4), (1, 1, 1, 3, 3), _all(Family.COMPRESSION)),
        "white noise": Kind(_white_noise, (0.001, 0.002, 0.003, 0.005, 0.01), (1, 2, 2, 2, 2), _all(Family.NOISE)),
        "white noise (YCbCr)": Kind(
            _white_noise_ycbcr, (0.0001, 0.0005, 0.001, 0.002, 0.003), (0, 1, 2, 2, 2), _all(Family.NOISE)
        ),
        "impulse noise": Kind(_impulse_noise, (0.001, 0.005, 0.01, 0.02, 0.03), (1, 2, 2, 2, 3), _all(Family.NOISE)),
        "multiplicative noise": Kind(
            _multiplicative_noise, (0.001, 0.005, 0.01, 0.02, 0.05), (0, 1, 2, 2, 3), _all(Family.NOISE)
        ),
        "denoise": Kind(_denoise, (0.01, 0.03, 0.05, 0.1, 0.15), (1, 2, 2, 3, 3), _all(Family.BLUR)),
        "brighten": Kind(_brighten, (0.1, 0.2, 0.4, 0.7, 1.1), (0, 1, 1, 2, 3), _all(Family.OVEREXPOSED)),
        "darken": Kind(_brighten, (-0.05, -0.1, -0.2, -0.4, -0.8), (0, 0, 1, 1, 2), _all(Family.UNDEREXPOSED)),
        "mean shift": Kind(
            _mean_shift,
            (0.15, 0.08, 0, -0.08, -0.15),
            (1, 0, 0, 1, 1),
            (Family.OVEREXPOSED, Family.OVEREXPOSED, None, Family.UNDEREXPOSED, Family.UNDEREXPOSED),
        ),
        "jitter": Kind(_jitter, (0.05, 0.1, 0.2, 0.5, 1), (0, 1, 2, 3, 3), _all(None)),
        "non-eccentricity patch": Kind(_non_eccentricity_patch, (20, 40, 60, 80, 100), (1, 1, 1, 1, 2), _all(None)),
        "pixelate": Kind(_pixelate, (0.01, 0.05, 0.1, 0.2, 0.5), (1, 2, 2, 2, 3), _all(Family.PIXELATED)),
        "quantization": Kind(_quantization, (20, 16, 13, 10, 7), (1, 1, 1, 2, 2), _all(None)),
        "color block": Kind(_color_block, (2, 4, 6, 8, 10), (2, 2, 2, 3, 3), _all(None)),
        "high sharpen": Kind(_high_sharpen, (1, 2, 3, 6, 12), (1, 2, 3, 3, 3), _all(Family.OVERSHARPENED)),
        "contrast change": Kind(
            _contrast_change,
            (-0.125, -0.0875, -0.05, 0.05, 0.1),
            (1, 1, 1, 1, 2),
            (None, None, None, Family.LOW_CONTRAST, Family.LOW_CONTRAST),
        ),
    }
)

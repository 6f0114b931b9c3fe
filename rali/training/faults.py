"""Photographers' own faults, as strong as one likes, which a check of "worse scores lower" turns up step by step.

And what is no fault: a picture that was moved by part of a pixel, or shrunk, is as good as it was.
"""

from __future__ import annotations

import io
from typing import Literal, get_args

import numpy as np
from PIL import Image
from scipy import fft

from rali.training.colour import Floats, Pixels, as_floats, as_pixels, to_linear, to_srgb

Fault = Literal["compression", "noise", "blur", "overexposure", "underexposure"]
FAULTS: tuple[Fault, ...] = get_args(Fault)


def expose(picture: Pixels, stops: float) -> Pixels:
    """Expose longer (``stops`` above 0) or shorter: linear light times 2**stops, and the sensor clips at white."""
    return to_srgb(to_linear(picture) * np.float32(2.0**stops))


def blur(picture: Pixels, sigma: float) -> Pixels:
    """Blur by a Gaussian of ``sigma`` pixels."""
    return as_pixels(soften(as_floats(picture), sigma))


def soften(x: Floats, sigma: float) -> Floats:
    """Blur ``x`` [H, W, ...] by a Gaussian of ``sigma`` pixels, mirrored at the edges; as quick for a wide one.

    The discrete cosine transform is that of the mirrored picture; there a Gaussian is a factor exp(-(sigma w)^2 / 2).
    """
    spectrum = fft.dctn(x, axes=(0, 1))
    for axis in (0, 1):
        frequencies = np.pi * np.arange(x.shape[axis]) / x.shape[axis]
        gain = np.exp(-0.5 * (sigma * frequencies) ** 2).astype(np.float32)
        spectrum *= np.expand_dims(gain, [other for other in range(x.ndim) if other != axis])
    softened: Floats = fft.idctn(spectrum, axes=(0, 1))
    return softened


def add_noise(picture: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Add shot and read noise, in linear light, so strong that mid-grey (128) deviates by ``sigma`` grey levels.

    Shot noise has a variance in proportion to the light, read noise the same variance everywhere: a sensor's own
    model (EMVA 1288). Half of mid-grey's variance is read noise, as at a high ISO.
    """
    light = to_linear(picture)
    grey, above = to_linear(np.array([128, 129], np.uint8))
    half = 0.5 * (sigma * (above - grey)) ** 2
    deviation = np.sqrt(half * (light / grey) + half)
    return to_srgb(light + deviation * rng.standard_normal(light.shape, np.float32))


def compress(picture: Pixels, quality: int) -> Pixels:
    """Save as JPEG of ``quality`` 1 to 95 and open again."""
    return reopened(picture, "JPEG", quality=quality)


def worsened(picture: Pixels, rng: np.random.Generator, fault: Fault | None = None) -> tuple[Pixels, Pixels]:
    """Ruin a picture by one fault, a little and then more: what must score lower each time.

    Args:
        fault: which one; None draws it. How strong it is is always drawn.

    Returns:
        The weaker copy, then the stronger: uint8 [H, W, 3] each.
    """
    first, factor = rng.uniform(), rng.uniform(1.4, 3.0)  # how strong the weaker one is, and how much more the other
    match fault or FAULTS[int(rng.integers(len(FAULTS)))]:
        case "compression":
            quality = 10 + 65 * first
            return compress(picture, round(quality)), compress(picture, max(2, round(quality / factor)))
        case "noise":
            sigma = 4 + 16 * first
            return add_noise(picture, sigma, rng), add_noise(picture, sigma * factor, rng)
        case "blur":
            sigma = 0.5 + 2 * first
            return blur(picture, sigma), blur(picture, sigma * factor)
        case "overexposure" | "underexposure" as exposure:
            stops = (0.5 + 1.5 * first) * (1 if exposure == "overexposure" else -1)
            return expose(picture, stops), expose(picture, stops * factor)


def moved(picture: Pixels, by_px: float) -> Pixels:
    """Move a picture up and left by part of a pixel without blurring it, as any interpolation would.

    Its cosine transform is that of the mirrored picture: cos(w (n + d)) = cos(w n) cos(w d) - sin(w n) sin(w d).
    """
    x = as_floats(picture)
    for axis in (0, 1):
        length = x.shape[axis]
        turn = np.expand_dims(np.pi * by_px / length * np.arange(length, dtype=np.float32), [2, 1 - axis])
        waves = fft.dct(x, axis=axis, norm="ortho")
        sines = np.roll(waves * np.sin(turn), -1, axis)  # a sine transform starts with the first wave, not with none
        x = fft.idct(waves * np.cos(turn), axis=axis, norm="ortho") - fft.idst(sines, axis=axis, norm="ortho")
    return as_pixels(x)


def shrunk(picture: Pixels, share: float) -> Pixels:
    """Shrink a square picture to ``share`` of its side, 0.5 to 1, and fill up around it with its mirror image."""
    size, inner = picture.shape[0], round(picture.shape[0] * share)
    smaller = np.asarray(Image.fromarray(picture).resize((inner, inner), Image.Resampling.BICUBIC))
    before = (size - inner) // 2
    around = (before, size - inner - before)
    return np.pad(smaller, (around, around, (0, 0)), mode="symmetric")


def reopened(picture: Pixels, form: str, **options: object) -> Pixels:
    """Save in memory as ``form`` with Pillow's ``options`` and open again."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form, **options)
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))

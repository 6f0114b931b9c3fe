"""Make samples/: small real photos in good and in bad condition.

    pip install scikit-image && python scripts/make_samples.py samples

The pictures are scikit-image's copies of photos in the public domain or under CC0; samples/CREDITS.md names them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageEnhance, ImageFilter

ORIENTATION_TAG = 0x0112
Degrade = Callable[[Image.Image], Image.Image]


def main() -> None:
    """Write every sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(exist_ok=True)
    photos = {
        name: Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")
    }
    photos["hubble"] = Image.fromarray(skimage.data.hubble_deep_field())
    for name, photo in photos.items():
        photo.save(folder / f"{name}.jpg", quality=92)
    for name, photo, degrade, quality in (
        ("astronaut_shaken", photos["astronaut"], shaken, 90),
        ("chelsea_dark", photos["chelsea"], lambda p: ImageEnhance.Brightness(p).enhance(0.18), 90),
        ("chelsea_noisy", photos["chelsea"], noisy, 90),
        ("coffee_out_of_focus", photos["coffee"], lambda p: p.filter(ImageFilter.GaussianBlur(6)), 90),
        ("coffee_overexposed", photos["coffee"], lambda p: ImageEnhance.Brightness(p).enhance(2.6), 90),
        ("rocket_blocky", photos["rocket"], lambda p: p, 6),
    ):
        degrade(photo).save(folder / f"{name}.jpg", quality=quality)
    # As a phone writes it: lying on its side, with a tag that says so.
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    photos["chelsea"].transpose(Image.Transpose.ROTATE_90).save(folder / "chelsea_phone.jpg", quality=92, exif=exif)


def shaken(photo: Image.Image) -> Image.Image:
    """Blur along a line, as a hand does."""
    pixels = np.asarray(photo, dtype=np.float64)
    return Image.fromarray(
        np.mean([np.roll(pixels, shift, axis=1) for shift in range(-9, 10)], axis=0).astype(np.uint8)
    )


def noisy(photo: Image.Image) -> Image.Image:
    """Add what a small sensor adds at night."""
    pixels = np.asarray(photo, dtype=np.float64)
    grain = np.random.default_rng(0).normal(0, 45, pixels.shape)
    return Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()

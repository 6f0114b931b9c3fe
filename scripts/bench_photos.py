"""Photos to measure with: JPEGs as large as cameras make them, put together from real ones, and small ones."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from rali.photos.scan import Scan

# Long and short edge: 4:3 as phones, 3:2 as cameras; 12 to 24 megapixels.
CAMERA_SIZES_PX = ((4032, 3024), (4608, 3072), (4896, 3672), (5472, 3648), (6000, 4000))
_QUALITY = 92
_SMALL_PX = 500
_ORIENTATION, _MODEL, _DATE_TIME = 0x0112, 0x0110, 0x0132


def photos_to_measure(source: Path, folder: Path, *, count: int, kind: str) -> list[str]:
    """Fill ``folder`` with JPEGs made from the photos below ``source``, each with a content of its own.

    Args:
        kind: ``camera`` makes photos of 12 to 24 megapixels, mosaics of the real ones at their own size, so that a
            pixel holds as much detail as it does there; ``small`` makes 500 x 500 ones; ``as-is`` copies.

    Returns:
        The files' paths.
    """
    folder.mkdir(parents=True)
    if kind == "as-is":
        found = [photo.path for photo in Scan([str(source.resolve())])][:count]
        return [shutil.copyfile(path, str(folder / f"{number:05}{path.suffix}")) for number, path in enumerate(found)]
    pictures = _pictures(source)
    files = [str(folder / f"{number:05}.jpg") for number in range(count)]
    for number, file in enumerate(files):
        if kind == "camera":
            _save_as_camera(_mosaic(pictures, CAMERA_SIZES_PX[number % len(CAMERA_SIZES_PX)]), file, number)
        else:
            _square(next(pictures), number).save(file, quality=_QUALITY)
    return files


def _pictures(source: Path) -> Iterator[Image.Image]:
    """Yield the photos below a folder in a random but fixed order, again and again."""
    files = [photo.file for photo in Scan([str(source.resolve())])]
    random.Random(0).shuffle(files)
    held: list[Image.Image] = []
    for file in files[:200]:
        try:
            with Image.open(file, formats=("JPEG", "PNG")) as image:
                held.append(image.convert("RGB"))
        except (UnidentifiedImageError, OSError):
            continue
    if not held:
        raise SystemExit(f"no JPEG or PNG below {source}: give a folder of real photos with --photos")
    yield from cycle(held)


def _mosaic(pictures: Iterator[Image.Image], size: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size)
    top = 0
    while top < size[1]:
        left, height = 0, 0
        while left < size[0]:
            tile = next(pictures)
            canvas.paste(tile, (left, top))
            left += tile.width
            height = max(height, tile.height) if height == 0 else min(height, tile.height)
        top += height
    return canvas


def _save_as_camera(image: Image.Image, file: str, number: int) -> None:
    """Save with EXIF; every fourth one lies on its side, as held cameras have it."""
    exif = Image.Exif()
    exif[_MODEL], exif[_DATE_TIME] = "Benchmark", f"2026:05:01 12:{number // 60 % 60:02}:{number % 60:02}"
    exif[_ORIENTATION] = 6 if number % 4 == 3 else 1
    image.save(file, quality=_QUALITY, exif=exif)


def _square(image: Image.Image, number: int) -> Image.Image:
    """Cut a square, a little elsewhere each time, and scale it to 500 pixels."""
    side = min(image.size) - number % 7
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((_SMALL_PX, _SMALL_PX), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))

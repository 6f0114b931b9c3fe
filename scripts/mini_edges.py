"""Pictures with hard edges, each beside itself moved by part of a pixel: what the embedded model must score alike.

The twins of photos in ``mini_views`` do not teach that: at a hard edge, of a drawing or of a JPEG's block, a move by
part of a pixel changes far more than in a photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mini_views import PREPROCESSING, SEED, Pixels, seen
from rali.training.faults import compress, moved, shrunk

DRAWINGS, PHOTOS = 200, 250


def hard_edged(scored: list[tuple[Path, float]]) -> Iterator[Pixels]:
    """Yield a picture that the model sees, then the same moved, and so on: drawings, and compressed photos."""
    rng = np.random.default_rng(SEED)
    for _ in range(DRAWINGS):
        drawn = _drawing(PREPROCESSING.resize_px, rng)
        yield seen(Image.fromarray(drawn))
        yield seen(Image.fromarray(moved(drawn, _part_of_a_pixel(rng))))
    for number in rng.choice(len(scored), min(PHOTOS, len(scored)), replace=False):
        path, _ = scored[int(number)]
        blocky = compress(seen(Image.open(path).convert("RGB")), round(rng.uniform(20, 80)))
        if rng.random() < 0.5:
            blocky = shrunk(blocky, rng.uniform(0.5, 1.0))
        yield blocky
        yield moved(blocky, _part_of_a_pixel(rng))


def _part_of_a_pixel(rng: np.random.Generator) -> float:
    return float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.75))


def _drawing(size_px: int, rng: np.random.Generator) -> Pixels:
    """Draw 2 to 11 plain shapes on a plain ground, their edges in steps or smoothed: uint8 [size_px, size_px, 3]."""
    scale = int(rng.integers(1, 3))  # 2: drawn twice as large, and smoothed
    size, thickest = size_px * scale, 12 * scale
    picture = Image.new("RGB", (size, size), _colour(rng))
    canvas = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(2, 12))):
        left, top = (int(place) for place in rng.integers(0, size, 2))
        width, height = (int(length) for length in rng.integers(8 * scale, size // 2, 2))
        box = (left, top, left + width, top + height)
        match int(rng.integers(4)):
            case 0:
                canvas.rectangle(box, fill=_colour(rng))
            case 1:
                canvas.ellipse(box, fill=_colour(rng))
            case 2:
                canvas.line(box, fill=_colour(rng), width=int(rng.integers(1, thickest)))
            case _:
                corners = [(int(x), int(y)) for x, y in rng.integers(0, size, (3, 2))]
                canvas.polygon(corners, fill=_colour(rng))
    return np.asarray(picture.resize((size_px, size_px), Image.Resampling.BOX))


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue

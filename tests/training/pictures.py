"""A picture made in code that has what photos have: edges, texture, flat parts, colour, lights and shadows."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from rali.training.colour import Pixels


def scene(width: int = 160, height: int = 120, seed: int = 3) -> Pixels:
    """Return uint8 [H, W, 3]: a sky, textured ground, discs and stripes of several colours; no tone is clipped."""
    rng = np.random.default_rng(seed)
    sky = np.linspace((90, 130, 190), (170, 190, 215), height)[:, None].repeat(width, axis=1)  # [H, W, 3]
    image = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height * 0.6, width, height), fill=(105, 95, 60))
    for _ in range(12):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 16)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(rng.integers(30, 225, 3).tolist()))
    for x in range(10, width // 2, 5):
        draw.line((x, height * 0.5, x + 8, height * 0.95), fill=(35, 40, 35))
    smooth = np.asarray(image.filter(ImageFilter.GaussianBlur(0.5))).astype(float)
    smooth[round(height * 0.6) :] += rng.normal(0, 6, (height - round(height * 0.6), width, 1))  # texture, not colour
    return smooth.clip(8, 245).astype(np.uint8)

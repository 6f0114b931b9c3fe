"""Sixteen pictures made in code, whose scores a bundle carries: the proof that a model still computes what it did.

They are integer arithmetic on arrays, so every machine makes the same bytes; no decoder, no resize, no random
generator whose stream could change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GOLDEN_COUNT = 16


def golden_pixels(side_px: int) -> NDArray[np.uint8]:
    """Make the golden pictures: uint8 [16, side_px, side_px, 3].

    Four textures (gradient, checkerboard, rings, hashed noise), each at four strengths of contrast and grain.
    """
    row = np.arange(side_px, dtype=np.int64)[:, None]
    column = np.arange(side_px, dtype=np.int64)[None, :]
    # A multiplicative hash of the position stands for noise.
    noise = ((row * 7919 + column * 104729 + row * column * 31) * 2654435761 >> 7) % 256
    centre = side_px // 2
    textures = [
        (row + column) * 255 // max(1, 2 * side_px - 2),
        (row // 16 + column // 16) % 2 * 255,
        ((row - centre) ** 2 + (column - centre) ** 2) // 97 % 256,
        noise,
    ]
    pictures = []
    for texture in textures:
        for strength in range(1, 5):
            base = texture * strength // 4 + noise * (4 - strength) // 16
            channels = [base, base * (strength + 4) // 8, 255 - base]
            pictures.append(np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8))
    return np.stack(pictures)

"""Prove that a model computes here what it computed where it was made, in every way that this machine can run it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rali.errors import ModelError
from rali.model.bundle import BundleInfo
from rali.model.choice import keeping_int8, remember
from rali.model.gate import SLOWER, Measured, measure
from rali.model.golden import golden_pixels
from rali.model.scorer import Scorer
from rali.model.ways import possible_ways

# What float32 may be off by, in share of the score range: its last digits, on another processor.
FLOAT32_TOLERANCE = 1e-4
# A way that is so many times slower than another is not looked at to the end: torch's float16 on most processors.
HOPELESS = 10


def verify_model(info: BundleInfo, pixels: NDArray[np.uint8] | None = None) -> Iterator[Measured]:
    """Score pictures in every way that this machine can, and remember which is fast and good enough.

    Args:
        pixels: uint8 [N, H, W, 3], compared with what torch's float32 gives them here; without any, the golden
            pictures, compared with what the bundle says of them.

    Raises:
        ModelError: the model carries no golden scores (a release folder: import it first), or is damaged.
    """
    only_golden = pixels is None
    if pixels is None:
        if not info.golden_scores:
            raise ModelError(f"{info.path} carries no golden scores; import it first: rali model import {info.path}")
        pixels, reference = golden_pixels(info.preprocessing.crop_px), np.array(info.golden_scores)
    else:
        reference = Scorer(info, device="cpu").score(pixels).scores
    results: list[Measured] = []
    for way in possible_ways(info):
        fastest = max((result.photos_per_s for result in results), default=0.0)
        results.append(measure(info, way, pixels, reference, least_per_s=fastest / HOPELESS))
        yield results[-1]
    remember(info, keeping_int8(info, results) if only_golden else results)


def is_sound(result: Measured) -> bool:
    """Tell if a float32 result is what float32 gives; the other precisions are the gate's business.

    Of a way that was broken off, being slower than others, nothing bad is known.
    """
    if result.way.precision != "float32" or result.problem == SLOWER:
        return True
    return result.largest_share <= FLOAT32_TOLERANCE

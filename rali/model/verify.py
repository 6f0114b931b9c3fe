"""Prove that a model computes here what it computed where it was made, on each device and in each precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rali.config import Precision
from rali.errors import ModelError
from rali.model.bundle import BundleInfo
from rali.model.scorer import Scorer, devices_present

# What each precision may be off by, in share of the score range: float32 by its last digits, half by what it keeps.
TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-2}


@dataclass(frozen=True)
class Verification:
    """How one engine, device and precision does on the golden pictures.

    Attributes:
        largest_error: in score points.
        rank_changes: the most places that a picture moves among the sixteen.
        sound: within the tolerance of the precision, and every score finite.
    """

    engine: str
    device: str
    precision: Precision
    largest_error: float
    rank_changes: int
    sound: bool


def verify_model(info: BundleInfo) -> Iterator[Verification]:
    """Score the golden pictures in every way that this machine can.

    Raises:
        ModelError: the model carries no golden scores (a release folder: import it first), or is damaged.
    """
    if not info.golden_scores:
        raise ModelError(f"{info.path} carries no golden scores; import it first: rali model import {info.path}")
    golden = np.array(info.golden_scores)
    for device in devices_present():
        for precision in get_args(Precision):
            found = Scorer(info, device=device, precision=precision).golden_scores()
            error = float(np.abs(found - golden).max())
            allowed = TOLERANCE[precision] * (info.score_high - info.score_low)
            moved = int(np.abs(_ranks(found) - _ranks(golden)).max())
            yield Verification("torch", device, precision, error, moved, bool(error <= allowed))


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(scores, kind="stable")] = np.arange(len(scores))
    return ranks

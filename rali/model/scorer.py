"""A model that is ready to score: bundle, device, precision, engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rali.config import Device, Recipe
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo
from rali.model.golden import golden_pixels

Precision = Literal["float32", "float16", "bfloat16"]

# Pictures per step. On a CPU small steps stay in the cache: 28 photos/s in twos, 10 in 32s (mini, 2 cores, float32).
_BATCH_SIZE = {"cpu": 2, "cuda": 64, "mps": 16}


@dataclass(frozen=True)
class Scores:
    """What the model says of a batch.

    Attributes:
        scores: float64 [B], on the bundle's scale; higher is better.
        embeddings: float16 [B, D], after the PCA.
    """

    scores: NDArray[np.float64]
    embeddings: NDArray[np.float16]


class Scorer:
    """Scores pictures with one bundle on one device. Loading takes a second; keep it.

    A picture's score does not depend on the batch that it is in.

    Raises:
        DeviceError: the device is not on this machine.
        DamagedModelError: the bundle is altered, or not what it says.
    """

    def __init__(self, info: BundleInfo, *, device: Device = "auto", precision: Precision = "float32") -> None:
        from rali.model.engines.torch_engine import TorchEngine

        self.info = info
        self.device = available_device(device)
        self.precision = precision
        self.batch_size = _BATCH_SIZE[self.device]
        self._engine = TorchEngine(info, device=self.device, precision=precision)

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score a batch of any size: uint8 [B, H, W, 3], as :class:`Preprocessing` makes them."""
        scores, compressed = self._engine.run(pixels)
        with np.errstate(over="ignore"):  # an embedding too large for float16 becomes inf, and its score is not finite
            return Scores(scores, compressed.astype(np.float16))

    def golden_error(self) -> float:
        """Score the golden pictures; return how far the worst is from the bundle's own record, in score points."""
        pixels = golden_pixels(self.info.preprocessing.crop_px)
        found = np.concatenate([self.score(pixels[at : at + 2]).scores for at in range(0, len(pixels), 2)])
        return float(np.abs(found - np.array(self.info.golden_scores)).max())


def available_device(device: Device) -> str:
    """Resolve ``auto`` and check any other.

    Raises:
        DeviceError: the device is not on this machine.
    """
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if device == "auto":
        return present[0]
    if device not in present:
        raise DeviceError(f"there is no {device} device on this machine; use --device {' or '.join(present)}")
    return device


def precision_for(recipe: Recipe, device: Device) -> Precision:
    """Choose the encoder's precision: half where the device is fast at it and the recipe allows, else float32."""
    half = recipe == "fast" and available_device(device) in ("cuda", "mps")
    return "float16" if half else "float32"

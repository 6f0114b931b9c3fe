"""A model that is ready to score: bundle, device, precision, engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rali.config import Device, Recipe
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo, load_tensors
from rali.model.golden import golden_pixels

if TYPE_CHECKING:
    from torch import Tensor

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

    @classmethod
    def of(cls, scores: NDArray[np.float64], compressed: NDArray[np.float32]) -> Scores:
        """Make them of what an engine returns."""
        with np.errstate(over="ignore"):  # what is too large for float16 becomes inf; the score itself is not touched
            return cls(scores, compressed.astype(np.float16))


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
        self._engine = TorchEngine(info, load_tensors(info), device=self.device, precision=precision)

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score a batch of any size: uint8 [B, H, W, 3], as :class:`Preprocessing` makes them."""
        return Scores.of(*self._engine.run(pixels))

    def golden_scores(self) -> NDArray[np.float64]:
        """Score the golden pictures: float64 [16]; a sound model gives what ``info.golden_scores`` holds."""
        return _golden_scores(self.score, self.info)


def golden_scores(info: BundleInfo, tensors: Mapping[str, Tensor]) -> list[float]:
    """Score the golden pictures with weights that are not in a bundle yet, on the CPU in float32."""
    from rali.model.engines.torch_engine import TorchEngine

    engine = TorchEngine(info, tensors, device="cpu", precision="float32")
    return [float(score) for score in _golden_scores(lambda pixels: Scores.of(*engine.run(pixels)), info)]


def _golden_scores(score: Callable[[NDArray[np.uint8]], Scores], info: BundleInfo) -> NDArray[np.float64]:
    pixels = golden_pixels(info.preprocessing.crop_px)
    return np.concatenate([score(pixels[at : at + 2]).scores for at in range(0, len(pixels), 2)])


def available_device(device: Device) -> str:
    """Resolve ``auto`` and check any other.

    Raises:
        DeviceError: the device is not on this machine.
    """
    present = devices_present()
    if device == "auto":
        return present[0]
    if device not in present:
        raise DeviceError(f"there is no {device} device on this machine; use --device {' or '.join(present)}")
    return device


def devices_present() -> list[Device]:
    """Return the devices of this machine, the fastest first."""
    import torch

    present: list[Device] = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    return present


def precision_for(recipe: Recipe, device: Device) -> Precision:
    """Choose the encoder's precision: half where the device is fast at it and the recipe allows, else float32."""
    half = recipe == "fast" and available_device(device) in ("cuda", "mps")
    return "float16" if half else "float32"

"""The engine that is always there: PyTorch on CPU, CUDA or MPS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rali.errors import DamagedModelError, DeviceError
from rali.model.bundle import BundleInfo, load_tensors
from rali.model.network import RaliModel, build_model

# Pictures per step. On a CPU a convolution's small steps stay in the cache: 28 photos/s in twos, 10 in 32s (mini,
# float32, 2 cores); a transformer's matrices are read once a step: 0.5 photos/s in twos, 0.7 in eights (bfloat16).
BATCH_SIZES = {"cpu": 2, "cuda": 64, "mps": 16}
_TRANSFORMER_ON_CPU = 8
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchEngine:
    """A bundle's network on one device.

    Args:
        info: the bundle.
        tensors: its weights, of any float dtype; they are converted.
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: of the encoder; the head always runs in the best that the device has.

    Attributes:
        batch_size: pictures per step that suit the device.

    Raises:
        DamagedModelError: the bundle's tensors do not fit the network that its header describes.
        MemoryError: the device has too little memory for the weights.
    """

    def __init__(self, info: BundleInfo, tensors: Mapping[str, Tensor], *, device: str, precision: str) -> None:
        self.device = torch.device(device)
        self.batch_size = BATCH_SIZES[self.device.type]
        if device == "cpu" and info.architecture["encoder"]["kind"] == "clip-vision":
            self.batch_size = _TRANSFORMER_ON_CPU
        self._dtype = _DTYPES[precision]
        # A convolution in TF32 keeps 10 bits of mantissa; float32 must mean float32.
        torch.backends.cudnn.allow_tf32 = False
        model = _placed(info, tensors, self.device, self._dtype)
        # Channels last is twice as fast for convolutions on a CPU; torch's stubs do not know the argument.
        model.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.head.to(torch.float32 if device == "mps" else torch.float64)
        self._model = model
        self._mean = torch.tensor(info.preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(info.preprocessing.std, device=self.device).view(1, 3, 1, 1)

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Score a batch.

        Args:
            pixels: uint8 [B, H, W, 3], sRGB, of the size that the bundle's preprocessing makes.

        Returns:
            Scores float64 [B] and compressed embeddings float32 [B, D].

        Raises:
            MemoryError: the device has too little memory for the batch.
            DeviceError: the device failed for another reason.
        """
        try:
            with torch.inference_mode():
                batch = self._moved(pixels).permute(0, 3, 1, 2)  # [B, 3, H, W], channels last
                normalised = (batch.float() / 255 - self._mean) / self._std
                scores, compressed = self._model(normalised.to(self._dtype))
                return scores.cpu().double().numpy(), compressed.cpu().float().numpy()  # MPS has no double
        except RuntimeError as error:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()  # else what the failed batch took stays taken
            if not _is_out_of_memory(error):
                reason = " ".join(str(error).split())[:200]
                raise DeviceError(f"{self.device} failed ({reason}); try again, or use --device cpu") from error
            raise MemoryError(str(error)) from error

    def _moved(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Copy ``pixels`` to the device; to a GPU from pinned memory, so that the copy needs no processor."""
        batch = torch.from_numpy(pixels)
        if self.device.type == "cuda":
            return batch.pin_memory().to(self.device, non_blocking=True)
        return batch.to(self.device)


def load_network(info: BundleInfo) -> RaliModel:
    """Make a bundle's network on the CPU in float32, to be evaluated.

    Raises:
        DamagedModelError: the bundle is altered, or its tensors do not fit the network that its header describes.
    """
    return _placed(info, load_tensors(info), torch.device("cpu"), torch.float32)


def _placed(info: BundleInfo, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> RaliModel:
    """Make the network with its encoder in ``dtype`` on ``device``."""
    try:
        with torch.device("meta"):
            model = build_model(info.architecture)
        # Straight to where and what they will be: a large model must not be in memory twice.
        placed = {
            name: tensor.to(device, dtype if name.startswith("encoder.") else torch.float32)
            for name, tensor in tensors.items()
        }
        model.load_state_dict(placed, strict=True, assign=True)
    except (RuntimeError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedModelError(f"{info.path} does not hold the network it describes ({reason})") from error
    model.eval().requires_grad_(False)
    return model


def _is_out_of_memory(error: Exception) -> bool:
    """Tell if torch ran out of memory: only CUDA has an exception of its own for that."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in words or "can't allocate memory" in words

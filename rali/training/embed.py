"""Embeddings of views through an encoder, before the head compresses them, remembered from run to run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rali.model.bundle import BundleInfo, load_tensors
from rali.model.network import RaliModel, build_model
from rali.model.preprocess import Preprocessing
from rali.training.kept import EmbeddingCache, Stopped

Pixels = NDArray[np.uint8]  # [B, H, W, 3]
Embeddings = NDArray[np.float32]  # [B, E]


def load_model(info: BundleInfo, device: str = "cpu") -> RaliModel:
    """Load a bundle's network in float32, with gradients off; its head stays on the CPU.

    Raises:
        DamagedModelError: the file is not what its header says.
    """
    from rali.errors import DamagedModelError

    try:
        with torch.device("meta"):
            model = build_model(info.architecture)
        tensors = {name: tensor.float() for name, tensor in load_tensors(info).items()}
        model.load_state_dict(tensors, strict=True, assign=True)
    except (RuntimeError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedModelError(f"{info.path} does not hold the network it describes ({reason})") from error
    model.eval().requires_grad_(False)
    model.encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def normalised(pixels: Pixels, preprocessing: Preprocessing, device: str | torch.device = "cpu") -> Tensor:
    """Turn uint8 [B, H, W, 3] into an encoder's input, exactly as the engine does: float32 [B, 3, H, W]."""
    mean, std = (
        torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std)
    )
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)  # channels last
    return (batch.float() / 255 - mean) / std


def embed(encoder: nn.Module, pixels: Pixels, preprocessing: Preprocessing, *, device: str = "cpu") -> Embeddings:
    """Run views [B, H, W, 3] through ``encoder`` as one batch: float32 [B, E]."""
    with torch.inference_mode():
        return encoder(normalised(pixels, preprocessing, device)).float().cpu().numpy()  # type: ignore[no-any-return]


def weights_id(module: nn.Module) -> str:
    """Hash the names, shapes and values of a network's weights: what a cache of its embeddings is told apart by."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def embed_photos(
    encoder: nn.Module,
    preprocessing: Preprocessing,
    views: Iterable[tuple[bytes, Pixels]],
    cache: EmbeddingCache,
    *,
    device: str = "cpu",
    photos_at_once: int = 1,
    on_photo: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Embed photos' views, each photo's [V, H, W, 3] with the key of its content, and put them into ``cache``.

    A photo's views make one batch, so that what comes out depends on no other photo: a run that goes on where a killed
    one ended finds what that one would have found. On a GPU take more ``photos_at_once``; it is not so exact anyway.

    Raises:
        Stopped: ``stop()`` is true; what is done is in the cache.
    """
    for group in _grouped(views, photos_at_once):
        found = embed(encoder, np.concatenate([pixels for _, pixels in group]), preprocessing, device=device)
        for (key, _), embeddings in zip(group, np.split(found, len(group)), strict=True):
            cache.put(key, embeddings)
            on_photo()
        if stop():
            raise Stopped


def _grouped(views: Iterable[tuple[bytes, Pixels]], size: int) -> Iterator[list[tuple[bytes, Pixels]]]:
    group: list[tuple[bytes, Pixels]] = []
    for key, pixels in views:
        group.append((key, pixels.copy()))  # a worker's buffer is used again
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group

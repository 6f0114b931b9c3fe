"""The RALI head in NumPy, for engines that run without torch: :class:`rali.model.network.RaliHead`, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from rali.errors import DamagedModelError
from rali.model.bundle import BundleInfo, load_tensors

Array = NDArray[np.float64]


class NumpyHead:
    """PCA, then a softmax over cosines to prototypes, each of which carries a score.

    Args:
        tensors: the bundle's, by name; those of the head are taken.

    Raises:
        KeyError, ValueError: a tensor is missing, or has a shape that does not fit the others.
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.floating]]) -> None:
        part = {name: np.asarray(tensors[f"head.{name}"], dtype=np.float64) for name in _SHAPES}
        for name, rank in _SHAPES.items():
            if part[name].ndim != rank:
                raise ValueError(f"head.{name} has {part[name].ndim} dimensions, not {rank}")
        self._mean, self._scale = part["pca_mean"], np.abs(part["pca_scale"])  # [E]
        self._components = part["pca_components"].T  # [E, D]
        self._prototypes = _unit(part["prototypes"]).T  # [D, K]
        self._proto_scores = part["proto_scores"]  # [K]
        self._sharpness = max(float(part["logit_scale"]), 1e-6)
        self(np.zeros((1, len(self._mean))))  # sizes that do not fit are found out here, not at the first photo

    def __call__(self, embedding: NDArray[np.floating]) -> tuple[Array, NDArray[np.float32]]:
        """Score embeddings [B, E]: scores float64 [B] and compressed embeddings float32 [B, D]."""
        compressed = ((embedding - self._mean) / self._scale) @ self._components  # [B, D]
        logits = _unit(compressed) @ self._prototypes * self._sharpness  # [B, K]
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))  # [B, K]
        scores = (weights @ self._proto_scores) / weights.sum(axis=-1)  # [B]
        return scores, compressed.astype(np.float32)


# How many dimensions each tensor has.
_SHAPES = {
    "pca_mean": 1,
    "pca_scale": 1,
    "pca_components": 2,
    "prototypes": 2,
    "proto_scores": 1,
    "logit_scale": 0,
}


def read_head(info: BundleInfo) -> NumpyHead:
    """Read a bundle's head, without torch where the bundle is a file.

    Raises:
        DamagedModelError: a tensor of the head is missing or does not fit.
    """
    try:
        if info.path.is_dir():  # a release folder; what it holds is found with torch
            tensors = {name: tensor.float().numpy() for name, tensor in load_tensors(info).items() if _is_head(name)}
        else:
            with safe_open(info.path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in filter(_is_head, file.keys())}
        return NumpyHead(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedModelError(f"{info.path} does not hold the network it describes ({reason})") from error


def _is_head(name: str) -> bool:
    return name.startswith("head.")


def _unit(vectors: Array) -> Array:
    """Scale each row of ``vectors`` [N, D] to length 1, as torch's ``normalize`` does."""
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)

"""The RALI head in NumPy, for engines that run without torch: :class:`rali.model.network.RaliHead`, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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


def _unit(vectors: Array) -> Array:
    """Scale each row of ``vectors`` [N, D] to length 1, as torch's ``normalize`` does."""
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)

"""What a model says of a photo: a projection of its compressed embedding into the space of sentences.

After the head is trained its compressed embedding is projected anew onto the sentence vectors of the short
descriptions, on pictures whose fault is known because they were ruined on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Floats = NDArray[np.float32]

FIT_STEPS, FIT_RATE, SHARPNESS, WEIGHT_DECAY = 800, 3e-3, 12.0, 0.3


def description_vectors(sentences: Sequence[Floats]) -> Floats:
    """Make one vector of unit length for each description from those of its wordings, each [W, T]: float32 [M, M - 1].

    Sentence vectors hardly tell strengths apart (cosines of 0.97 to 0.99), so what all descriptions share is taken
    away, and the directions in which they differ are made half as unequal, in a logarithm, as they are.
    """
    means = np.stack([np.mean(wordings, axis=0, dtype=np.float64) for wordings in sentences])  # [M, T]
    left, widths, _ = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    vectors = left[:, : len(means) - 1] * np.sqrt(widths[: len(means) - 1])  # [M, M - 1]
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def fit_projection(z: Floats, said: NDArray[np.int64], vectors: Floats, *, seed: int) -> Floats:
    """Fit the projection of compressed embeddings [N, D] to the description ``said`` [N] of each: float32 [T, D].

    Cross-entropy over the cosines to ``vectors`` [M, T], descriptions that are rarer counting for more.
    """
    torch.manual_seed(seed)
    x, target, words = torch.from_numpy(z), torch.from_numpy(said), torch.from_numpy(vectors)
    counts = np.bincount(said, minlength=len(vectors))
    weight = torch.from_numpy(1 / np.sqrt(counts.clip(1))).float()
    scale = x.std(dim=0).clamp(min=1e-6)  # [D]; one step size then suits every component
    projection = nn.Parameter(torch.randn(vectors.shape[1], z.shape[1]) * 0.05)
    optimiser = torch.optim.AdamW([projection], lr=FIT_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(FIT_STEPS):
        loss = functional.cross_entropy(_cosines(x / scale, projection, words) * SHARPNESS, target, weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found: Floats = (projection.detach() / scale).numpy()
    return found


def _cosines(x: Tensor, projection: Tensor, vectors: Tensor) -> Tensor:
    return functional.normalize(x @ projection.T, dim=-1) @ vectors.T  # [N, M]

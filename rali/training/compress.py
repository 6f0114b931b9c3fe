"""Stage 2, compress: PCA of the embeddings, then k-means inside equal-width buckets of the score.

Source: Zhao, Zhang et al., arXiv 2510.11369, section 4 (768 to 512 components, 240 buckets, 250 centres). numpy and
scipy alone, and seeded: one machine makes the same head every time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rali.model.network import RaliHead

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIRST_LOGIT_SCALE = 8.0  # fine-tuning of mini ends at 8.3; from 4 or 16 it ends worse
# A direction with less variance than this share of the widest one's is rounding, not the photos.
_LEAST_VARIANCE = 1e-10
_LLOYD_STEPS = 100
UNNATURAL_BUCKETS = 10


@dataclass(frozen=True)
class Compression:
    """How to compress.

    Attributes:
        components: D, at most the length E of an embedding and the number of photos.
        prototypes: K centres in all; fewer come out where there are fewer different photos.
        buckets: of equal width, over the range of the scores; empty ones get no centre.
        pca: off, the embeddings are only standardised, and D is E.
        bucketed: off, k-means runs over all photos, and a centre's score is still its members' mean.
        whitening: 0 leaves components as wide as they are, 1 makes all equally wide. Half is best for mini: held-out
            SRCC 0.782 in a trial, 0.774 unwhitened, 0.773 fully whitened.
        logit_scale: one over the temperature that fine-tuning starts from.
        restarts: of k-means; the tightest clusters win.
        unnatural: more centres, for views that are not natural; their own, so that they displace none of the others.
    """

    components: int = 512
    prototypes: int = 250
    buckets: int = 240
    pca: bool = True
    bucketed: bool = True
    whitening: float = 0.5
    logit_scale: float = FIRST_LOGIT_SCALE
    restarts: int = 2
    unnatural: int = 0

    @classmethod
    def suited_to(cls, photos: int, embedding: int) -> Compression:
        """Choose sizes for so many rated ``photos``: from 750 on 128 components and 150 prototypes."""
        fifth = photos // 5
        return cls(
            components=max(2, min(128, fifth, embedding)),
            prototypes=max(4, min(150, fifth)),
            buckets=max(2, min(50, photos // 15)),
        )


def compress(
    embeddings: NDArray[np.floating],
    scores: Floats,
    compression: Compression,
    *,
    seed: int,
    natural: NDArray[np.bool_] | None = None,
) -> RaliHead:
    """Make a head from embeddings [N, E] and scores [N]: what stage 3 starts from.

    Args:
        natural: [N], the views that the PCA sees, and k-means for the ``prototypes``. All by default.

    Returns:
        The head, float32. Its prototypes' scores are means of ``scores``, on their scale.

    Raises:
        ValueError: there are fewer views than components, or the sizes make no sense.
    """
    import torch

    from rali.model.network import RaliHead

    seen = np.asarray(embeddings if natural is None else embeddings[natural], np.float64)  # [M, E]
    mean = seen.mean(axis=0)  # [E]
    scale = seen.std(axis=0)  # [E]
    scale[scale < 1e-10] = 1.0
    directions = _directions((seen - mean) / scale, compression)  # [D, E]
    z = ((np.asarray(embeddings, np.float64) - mean) / scale) @ directions.T  # [N, D]
    norms = np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12)  # [N, 1]
    # Divided by their mean length, so that noise and learning rates mean the same for every encoder.
    directions, z = directions / norms.mean(), z / norms

    rng = np.random.default_rng(seed)
    known = np.ones(len(z), bool) if natural is None else natural
    centres, centre_scores = prototypes_of(z[known], scores[known], compression, rng)
    if compression.unnatural and not known.all():
        more = replace(compression, prototypes=compression.unnatural, buckets=UNNATURAL_BUCKETS)
        found_too, their_scores = prototypes_of(z[~known], scores[~known], more, rng)
        centres, centre_scores = np.concatenate([centres, found_too]), np.concatenate([centre_scores, their_scores])
    head = RaliHead(embedding=embeddings.shape[1], components=len(directions), prototypes=len(centres))
    found = {
        "pca_mean": mean,
        "pca_scale": scale,
        "pca_components": directions,
        "prototypes": centres,
        "proto_scores": centre_scores,
        "logit_scale": np.array(compression.logit_scale),
    }
    head.load_state_dict({name: torch.from_numpy(value).float() for name, value in found.items()})
    return head


def _directions(scaled: Floats, compression: Compression) -> Floats:
    """Find the widest directions of standardised embeddings [M, E], whitened as asked for: [D, E]."""
    from scipy.linalg import eigh

    count, width = scaled.shape
    if not compression.pca:
        return np.eye(width)
    wanted = compression.components
    if not 1 <= wanted <= min(count, width):
        raise ValueError(f"{count} views of {width} numbers have no {wanted} components")
    variances, vectors = eigh(scaled.T @ scaled / count, subset_by_index=(width - wanted, width - 1))
    variances, vectors = variances[::-1], vectors.T[::-1]  # [D], [D, E], the widest first
    # An eigenvector's sign means nothing, and differs from one library to the next.
    signs = np.sign(vectors[np.arange(wanted), np.abs(vectors).argmax(axis=1)])
    kept = variances.clip(_LEAST_VARIANCE * variances[0])
    return np.asarray(vectors * signs[:, None] / kept[:, None] ** (compression.whitening / 2))


def prototypes_of(
    z: Floats, scores: Floats, compression: Compression, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Find centres [K, D] of compressed embeddings [N, D], and the mean score of each centre's members [K]."""
    groups = _buckets(scores, compression.buckets) if compression.bucketed else [np.arange(len(scores))]
    centres: list[Floats] = []
    centre_scores: list[float] = []
    for group, count in zip(groups, shared_out([len(group) for group in groups], compression.prototypes), strict=True):
        if not count:
            continue
        found, members = k_means(z[group], count, rng, restarts=compression.restarts)
        centres.append(found)
        centre_scores += [float(scores[group][members == centre].mean()) for centre in range(len(found))]
    return np.concatenate(centres), np.array(centre_scores)


def _buckets(scores: Floats, count: int) -> list[Ints]:
    """Tell which of ``scores`` [N] lie in each of ``count`` buckets of equal width."""
    edges = np.linspace(scores.min(), scores.max(), count + 1)[1:-1]
    bucket = np.digitize(scores, edges)  # [N]
    return [np.flatnonzero(bucket == number) for number in range(count)]


def shared_out(sizes: list[int], total: int) -> list[int]:
    """Share ``total`` centres out: one for each bucket that is not empty, then more where photos are many."""
    room = np.array(sizes)
    centres = np.minimum(room, 1)
    while centres.sum() < min(total, room.sum()):
        centres[np.argmax(np.where(centres < room, room / (centres + 1), 0))] += 1
    return [int(count) for count in centres]


def k_means(points: Floats, count: int, rng: np.random.Generator, *, restarts: int = 2) -> tuple[Floats, Ints]:
    """Find ``count`` centres of ``points`` [N, D] by Lloyd's steps from k-means++ starts.

    Returns:
        Centres [K, D], and the centre of each point [N]. K is less than ``count`` where points are equal; every centre
        has a point.
    """
    best: tuple[float, Floats, Ints] | None = None
    for _ in range(restarts):
        centres = _spread_out(points, count, rng)
        members = np.full(len(points), -1)
        for _ in range(_LLOYD_STEPS):
            distances = _distances(points, centres)  # [N, K]
            nearest = distances.argmin(axis=1)
            if (nearest == members).all():
                break
            members = nearest
            belongs = members == np.arange(len(centres))[:, None]  # [K, N]
            sums, counts = belongs.astype(np.float64) @ points, belongs.sum(axis=1)
            # A centre that lost its last point stays where it is.
            centres = np.where(counts[:, None] > 0, sums / counts.clip(1)[:, None], centres)
        spread = float(_distances(points, centres)[np.arange(len(points)), members].sum())
        if best is None or spread < best[0]:
            best = spread, centres, members
    if best is None:
        raise ValueError("k-means needs at least one start")
    _, centres, members = best
    used, members = np.unique(members, return_inverse=True)
    return centres[used], members


def _spread_out(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Choose ``count`` of ``points`` [N, D] that lie apart (Arthur and Vassilvitskii, SODA 2007)."""
    chosen = [int(rng.integers(len(points)))]
    nearest = _distances(points, points[chosen])[:, 0]  # [N]
    while len(chosen) < count and nearest.sum() > 0:
        chosen.append(int(rng.choice(len(points), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, _distances(points, points[chosen[-1:]])[:, 0])
    return points[chosen].copy()


def _distances(points: Floats, centres: Floats) -> Floats:
    """Return squared distances [N, K]."""
    squares = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    return np.asarray(squares.clip(0))

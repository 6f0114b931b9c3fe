from __future__ import annotations

import numpy as np
import pytest
import torch

from rali.training.compress import Compression, compress, k_means, shared_out
from rali.training.score import predictions

SMALL = Compression(components=5, prototypes=12, buckets=6)


def cloud(count: int = 120, width: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Make embeddings whose widest direction is the score."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 100, count)
    embeddings = rng.normal(0, 1, (count, width)) + np.outer(scores / 12, np.linspace(1, 2, width)) + 7
    return embeddings.astype(np.float32), scores


def test_a_compressed_head_ranks_what_it_was_made_of() -> None:
    embeddings, scores = cloud()

    head = compress(embeddings, scores, SMALL, seed=0)

    assert head.pca_components.shape == (5, 10)
    assert head.prototypes.shape == (12, 5)
    assert np.corrcoef(predictions(head, embeddings), scores)[0, 1] > 0.9


def test_the_same_seed_makes_the_same_head_and_another_another() -> None:
    one, again, other = (compress(*cloud(), SMALL, seed=seed).state_dict() for seed in (3, 3, 4))

    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["prototypes"], other["prototypes"])


def test_a_prototypes_score_is_the_mean_of_scores_in_its_bucket() -> None:
    embeddings, scores = cloud()
    edges = np.linspace(scores.min(), scores.max(), SMALL.buckets + 1)

    found = compress(embeddings, scores, SMALL, seed=0).proto_scores.detach().numpy()

    assert set(np.digitize(found, edges[1:-1])) == set(range(SMALL.buckets))


def test_without_buckets_every_prototype_may_mix_scores_and_without_pca_nothing_is_projected() -> None:
    embeddings, scores = cloud()

    plain = compress(embeddings, scores, Compression(5, 12, 6, bucketed=False), seed=0)
    unprojected = compress(embeddings, scores, Compression(5, 12, 6, pca=False), seed=0)

    assert plain.prototypes.shape == (12, 5)
    components = unprojected.pca_components.detach().numpy()
    np.testing.assert_allclose(components, np.eye(10) * components[0, 0], atol=1e-6)


def test_the_pca_sees_natural_views_alone() -> None:
    embeddings, scores = cloud()
    ruined = np.concatenate([embeddings, embeddings + 1000])
    natural = np.arange(len(ruined)) < len(embeddings)

    with_both = compress(ruined, np.tile(scores, 2), SMALL, seed=0, natural=natural)

    np.testing.assert_allclose(with_both.pca_mean.detach(), embeddings.mean(axis=0), rtol=1e-5)


def test_more_components_than_views_are_refused() -> None:
    with pytest.raises(ValueError, match="4 views of 10 numbers have no 5 components"):
        compress(*(part[:4] for part in cloud()), SMALL, seed=0)


def test_centres_are_shared_out_by_need_and_never_more_than_photos() -> None:
    assert shared_out([0, 1, 10, 30], 8) == [0, 1, 2, 5]
    assert shared_out([2, 1], 9) == [2, 1]


def test_k_means_finds_clusters_and_fewer_where_points_are_equal() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [9, 0], [0, 9]], float)
    points = np.concatenate([corner + rng.normal(0, 0.1, (20, 2)) for corner in corners])

    centres, members = k_means(points, 3, np.random.default_rng(1))
    few, all_one = k_means(np.ones((6, 2)), 3, np.random.default_rng(1))

    assert sorted(np.round(centres).tolist()) == sorted(corners.tolist())
    assert [len(set(members[at : at + 20])) for at in (0, 20, 40)] == [1, 1, 1]
    assert (len(few), set(all_one)) == (1, {0})

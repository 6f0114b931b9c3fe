"""Stage 1: an encoder learns which sentence goes with which picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import scene
from PIL import Image, ImageFilter
from torch.nn import functional

from rali.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig
from rali.model.preprocess import Preprocessing
from rali.training.align import Alignment, Sentences, align
from rali.training.distortions import KINDS, LEVELS

PREPROCESSING = Preprocessing(32, 32, mean=(0.5,) * 3, std=(0.5,) * 3)
STAGES = ((3, 1, 1, 8, 1), (3, 2, 2, 8, 1), (3, 2, 2, 12, 1))
TUNING = Alignment(epochs=2, rated=6, ruined=2, first_stage=1, alpha=1.0)
KEPT = {(kind, level): 1 - level / 6 for kind in KINDS for level in LEVELS}


@pytest.fixture
def encoder() -> EfficientNetLite:
    torch.manual_seed(0)
    return EfficientNetLite(EfficientNetLiteConfig(STAGES, 8)).eval()


@pytest.fixture(scope="module")
def rated() -> tuple[list[Image.Image], np.ndarray]:
    """Eighteen pictures, the more blurred the lower they score."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(10, 90, 18)
    photos = [
        Image.fromarray(scene(64, 64, seed)).filter(ImageFilter.GaussianBlur(float(100 - score) / 25))
        for seed, score in enumerate(scores)
    ]
    return photos, scores


def said_of(scores: np.ndarray) -> Sentences:
    generator = torch.Generator().manual_seed(1)
    good, bad = functional.normalize(torch.randn(2, 16, generator=generator), dim=-1)
    rated = torch.stack([(good if score > 50 else bad).expand(2, -1) for score in scores])
    return Sentences(
        rated, {fault: functional.normalize(torch.randn(2, 16, generator=generator), dim=-1) for fault in KEPT}
    )


def weights(encoder: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in encoder.state_dict().values()])


def test_losses_fall_and_what_is_frozen_stays(encoder: EfficientNetLite, rated: tuple[list[Image.Image], np.ndarray]):
    losses = []
    aligned = align(
        encoder, *rated, said_of(rated[1]), KEPT, PREPROCESSING, Alignment(epochs=6, rated=6, first_stage=1, alpha=1.0),
        seed=1, on_epoch=lambda _, found: losses.append(found["words"]),
    )  # fmt: skip
    assert losses[-1] < losses[0]
    assert torch.equal(weights(aligned.stem), weights(encoder.stem))
    assert torch.equal(weights(aligned.stages[0]), weights(encoder.stages[0]))
    assert not torch.equal(weights(aligned.stages[1]), weights(encoder.stages[1]))


def test_a_run_that_was_broken_off_ends_as_one_that_was_not(
    encoder: EfficientNetLite, rated: tuple[list[Image.Image], np.ndarray], tmp_path: Path
):
    whole = align(encoder, *rated, said_of(rated[1]), KEPT, PREPROCESSING, TUNING, seed=1)

    def break_off(epoch: int, _: object) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    arguments = (encoder, *rated, said_of(rated[1]), KEPT, PREPROCESSING, TUNING)
    with pytest.raises(KeyboardInterrupt):
        align(*arguments, seed=1, checkpoint=tmp_path / "align.pt", on_epoch=break_off)
    epochs: list[int] = []
    rest = align(*arguments, seed=1, checkpoint=tmp_path / "align.pt", on_epoch=lambda epoch, _: epochs.append(epoch))
    assert epochs == [2]
    assert torch.equal(weights(rest), weights(whole))


def test_alpha_tells_how_far_to_go(encoder: EfficientNetLite, rated: tuple[list[Image.Image], np.ndarray]):
    tuning = Alignment(epochs=1, rated=6, first_stage=1, alpha=0.0)
    assert torch.equal(
        weights(align(encoder, *rated, said_of(rated[1]), KEPT, PREPROCESSING, tuning, seed=1)), weights(encoder)
    )

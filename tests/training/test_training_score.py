from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from rali.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig
from rali.model.network import RaliHead
from rali.model.preprocess import Preprocessing
from rali.training.compress import Compression, compress
from rali.training.encoder import (
    EncoderTuning,
    averaged,
    between,
    choose_alpha,
    fine_tune_encoder,
    kept_tensors,
    later_stages,
    learning_rate_at,
    rounded,
    view_loader,
)
from rali.training.kept import Stopped
from rali.training.score import (
    PROTOTYPES_ALONE,
    HeadTuning,
    Pairs,
    Views,
    fine_tune_head,
    fitted_to,
    plcc,
    predictions,
    rescaled,
    try_out,
    tuned_head,
)

QUICK = HeadTuning(most_steps=50, batch=32, learning_rate=1e-2, averaging=0.1)


def views(count: int = 60, width: int = 8, seed: int = 0) -> Views:
    """Make two views of each photo, whose score a few of the numbers tell."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(0, 1, (count, width))
    scores = (50 + 20 * embeddings[:, 0] + 10 * embeddings[:, 1]).clip(0, 100)
    doubled = np.repeat(embeddings, 2, axis=0) + rng.normal(0, 0.05, (2 * count, width))
    return Views(
        doubled.astype(np.float32), np.repeat(scores, 2), np.tile([1, 0.5], count), np.repeat(np.arange(count), 2)
    )


def started(of: Views) -> RaliHead:
    return compress(of.embeddings, of.scores, Compression(4, 10, 5), seed=0)


def error(head: RaliHead, of: Views) -> float:
    return float(np.square(predictions(head, of.embeddings) - of.scores).mean())


def test_fine_tuning_a_head_helps_with_photos_that_it_has_not_seen() -> None:
    start = started(views())
    before = copy.deepcopy(start.state_dict())

    first, *_, last = fine_tune_head(start, views(), 50, QUICK, seed=0)

    assert error(last, views(seed=1)) < 0.9 * error(first, views(seed=1))
    assert all(torch.equal(before[name], value) for name, value in start.state_dict().items())
    np.testing.assert_allclose(
        predictions(first, views().embeddings), predictions(start, views().embeddings), rtol=1e-4
    )


def test_a_head_whose_pca_is_kept_keeps_it_to_the_last_digit() -> None:
    start = started(views())

    head = tuned_head(lambda _: start, views(), 50, HeadTuning(batch=32, rates=PROTOTYPES_ALONE), seed=0)

    for name in ("pca_mean", "pca_scale", "pca_components"):
        assert torch.equal(head.get_parameter(name), start.get_parameter(name))
    assert not torch.equal(head.prototypes, start.prototypes)


def test_cross_validation_finds_when_to_stop_and_holds_out_whole_photos() -> None:
    seen: list[set[int]] = []

    def start(part: Views) -> RaliHead:
        seen.append(set(part.photos))
        return started(part)

    trial = try_out(start, views(), QUICK, seed=0, folds=3)

    assert trial.steps == 25 * int(trial.errors.argmin())
    assert trial.steps > 0
    assert len(trial.guesses) == len(trial.scores) == 60
    assert sorted(photo for part in seen for photo in set(range(60)) - part) == list(range(60))


def test_a_head_of_another_scale_is_fitted_to_peoples() -> None:
    of = views()
    _, *_, good = fine_tune_head(started(of), of, 50, QUICK, seed=0)

    fitted = fitted_to(rescaled(good, 0.04, 1), of)

    assert error(fitted, of) < 1.1 * error(good, of)


def test_pairs_come_to_differ_by_as_much_as_they_should() -> None:
    of, rng = views(), np.random.default_rng(3)
    low, high = np.argsort(of.scores)[:20], np.argsort(of.scores)[-20:]
    same = of.embeddings[high] + rng.normal(0, 0.3, of.embeddings[high].shape)

    def gaps(head: RaliHead) -> tuple[float, float]:
        found = predictions(head, of.embeddings)
        twins = predictions(head, same)
        return float((found[high] - found[low]).mean()), float(np.abs(found[high] - twins).mean())

    wide = Pairs(of.embeddings[high], of.embeddings[low], np.full(20, 95.0), np.full(20, np.inf), 1.0)
    none = Pairs(of.embeddings[high], same, np.zeros(20), np.zeros(20), 30.0)
    *_, without = fine_tune_head(started(of), of, 50, QUICK, seed=0)
    *_, told = fine_tune_head(started(of), of, 50, QUICK, seed=0, pairs=[wide])
    *_, calmed = fine_tune_head(started(of), of, 50, QUICK, seed=0, pairs=[none])

    assert gaps(told)[0] > gaps(without)[0] + 1
    assert gaps(calmed)[1] < 0.9 * gaps(without)[1]


def test_correlation_within_a_batch() -> None:
    human = torch.tensor([1.0, 2, 3, 4])

    assert plcc(human * 2 + 1, human).item() == pytest.approx(1)
    assert plcc(torch.ones(4), human).item() == 0


# --- the encoder ------------------------------------------------------------------------------------------------------

PREPROCESSING = Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
ENCODER = EfficientNetLiteConfig(((3, 1, 1, 4, 1), (3, 2, 2, 6, 1), (3, 2, 2, 8, 1)), 4)
PHOTOS = 12
TUNING = EncoderTuning(epochs=3, batch=5, learning_rate=2e-3, first_stage=1)


class Small:
    """A small encoder, a head for it, and pictures of more or less contrast, two views each."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        self.encoder = EfficientNetLite(ENCODER).eval().requires_grad_(False)
        self.scores = np.linspace(5, 95, PHOTOS)
        noise = rng.normal(0, 1, (PHOTOS, 1, 32, 32, 3)) * self.scores[:, None, None, None, None]
        self.pixels = (128 + noise).clip(0, 255).astype(np.uint8)  # [P, S = 1, H, W, 3]
        self.photos = np.repeat(np.arange(PHOTOS), 2)
        squares, mirrored = np.zeros(2 * PHOTOS, np.int64), np.tile([False, True], PHOTOS)
        self.load = view_loader(lambda number: self.pixels[number], squares, mirrored, self.photos)
        embeddings = np.random.default_rng(1).normal(0, 1, (PHOTOS, ENCODER.embedding_size))
        self.head = compress(embeddings, self.scores, Compression(4, 6, 3), seed=0)

    def tuned(self, *, seed: int = 0, **options: object) -> tuple[torch.nn.Module, RaliHead]:
        scores, weights = np.repeat(self.scores, 2), np.ones(2 * PHOTOS)
        return fine_tune_encoder(
            *(self.encoder, self.head, PREPROCESSING, self.load, scores, weights, self.photos, TUNING),
            seed=seed,
            **options,  # type: ignore[arg-type]
        )


def weights(networks: tuple[torch.nn.Module, ...]) -> torch.Tensor:
    return torch.cat([weight.detach().ravel() for network in networks for weight in network.parameters()])


def test_only_the_later_stages_of_an_encoder_learn() -> None:
    small = Small()
    losses: list[float] = []

    encoder, _ = small.tuned(on_epoch=lambda _, loss: losses.append(loss))

    assert isinstance(encoder, EfficientNetLite)
    same = [
        torch.equal(weights((a,)), weights((b,))) for a, b in zip(encoder.stages, small.encoder.stages, strict=True)
    ]
    assert same == [True, False, False]
    assert torch.equal(weights((encoder.stem,)), weights((small.encoder.stem,)))
    assert len(losses) == TUNING.epochs
    assert losses[-1] < losses[0]


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = weights(Small().tuned())
    epochs: list[int] = []
    path = tmp_path / "checkpoint"

    with pytest.raises(Stopped):
        Small().tuned(
            checkpoint=path, key="a", on_epoch=lambda epoch, _: epochs.append(epoch), stop=lambda: len(epochs) == 2
        )
    resumed = weights(Small().tuned(checkpoint=path, key="a", on_epoch=lambda epoch, _: epochs.append(epoch)))

    assert epochs == [1, 2, 3]
    assert torch.equal(resumed, whole)


def test_a_checkpoint_of_another_run_is_not_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    Small().tuned(checkpoint=path, key="a", seed=1)
    epochs: list[int] = []

    other = weights(Small().tuned(checkpoint=path, key="b", on_epoch=lambda epoch, _: epochs.append(epoch)))

    assert epochs == [1, 2, 3]
    assert torch.equal(other, weights(Small().tuned()))


def test_an_encoder_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has no stages"):
        later_stages(torch.nn.Linear(2, 2), 0)


def test_the_learning_rate_climbs_and_falls() -> None:
    rates = [learning_rate_at(step, 100, 10) for step in range(100)]

    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


def test_the_best_mixture_of_two_networks_is_found() -> None:
    low, high = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    for network, value in ((low, 0.0), (high, 1.0)):
        network.weight.data.fill_(value)
    head = Small().head

    alpha, errors = choose_alpha(
        (low, head), (high, head), lambda encoder, _: abs(encoder.weight.item() - 0.65), (0.0, 0.5, 0.7, 1.0)
    )

    assert alpha == 0.7
    assert list(errors) == [0.0, 0.5, 0.7, 1.0]
    assert low.weight.item() == 0
    assert between(low, high, 0.25).weight.item() == pytest.approx(0.25)


def test_the_average_of_networks_is_that_of_their_weights_and_leaves_them_as_they_are() -> None:
    networks = [torch.nn.Linear(2, 1) for _ in range(3)]
    for number, network in enumerate(networks):
        torch.nn.init.constant_(network.weight, [1.0, 2.0, 6.0][number])

    found = averaged(networks)

    assert found.weight.tolist() == [[3.0, 3.0]]
    assert found.bias.item() == pytest.approx(np.mean([network.bias.item() for network in networks]))
    assert [network.weight[0, 0].item() for network in networks] == [1.0, 2.0, 6.0]


def test_what_a_bundle_keeps_of_an_encoder_is_the_same_in_bfloat16_and_however_often_it_is_rounded() -> None:
    encoder = Small().encoder
    with torch.no_grad():
        encoder.stem.conv.weight.mul_(torch.logspace(-9, 0, 4)[:, None, None, None])  # type: ignore[union-attr, operator]

    kept = kept_tensors(encoder)
    again = kept_tensors(rounded(encoder))

    for name, tensor in kept.items():
        assert tensor.dtype == torch.float16
        assert torch.equal(tensor.float(), tensor.bfloat16().float()), name
        assert torch.equal(tensor, again[name]), name
        assert torch.equal(tensor.float(), dict(encoder.named_parameters())[name.removeprefix("encoder.")])

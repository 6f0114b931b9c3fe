"""Stage 3, define the score: fine-tune a head end to end against human scores, for as long as new photos gain by it.

Everything here is on a scale from 0 to 100; ``rescaled`` brings a head from one scale to another. Seeded, on the CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rali.model.network import RaliHead

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Start = Callable[["Views"], RaliHead]


@dataclass(frozen=True)
class Views:
    """What a head learns from.

    Attributes:
        embeddings: [N, E], uncompressed.
        scores: [N], what people say of the photo.
        weights: [N], in the loss.
        photos: [N], which photo each is a view of. The first view of each photo with weight 1 is the photo as it is.
    """

    embeddings: NDArray[np.floating]
    scores: Floats
    weights: Floats
    photos: Ints

    def only(self, chosen: NDArray[np.bool_]) -> Views:
        """Keep the views where ``chosen`` [N] holds."""
        return Views(self.embeddings[chosen], self.scores[chosen], self.weights[chosen], self.photos[chosen])

    def plain(self) -> Ints:
        """Find the first view of each photo, where it has weight 1: the photos as they are."""
        first: Ints = np.sort(np.unique(self.photos, return_index=True)[1])
        return np.asarray(first[self.weights[first] == 1])


@dataclass(frozen=True)
class Pairs:
    """By how much views must differ: a ruined copy is worse than its photo, one that was saved again is not.

    Attributes:
        better, worse: uncompressed embeddings [R, E].
        least, most: how much better [R], on the scale of the scores; wide bounds are safer than made-up scores.
        weight: of the loss, beside the squared error.
    """

    better: NDArray[np.floating]
    worse: NDArray[np.floating]
    least: Floats
    most: Floats
    weight: float


# How much faster than the learning rate each parameter moves; what is not named stays as it is. The components move
# ten times slower than the prototypes: a few hundred photos do not pin down 200,000 numbers.
WHOLE_HEAD = {"pca_mean": 1.0, "pca_components": 0.1, "prototypes": 1.0, "proto_scores": 30.0, "logit_scale": 10.0}
PROTOTYPES_ALONE = {"prototypes": 1.0, "proto_scores": 30.0, "logit_scale": 10.0}


@dataclass(frozen=True)
class HeadTuning:
    """How to fine-tune a head; the numbers suit mini's 743 photos.

    Attributes:
        most_steps, report_every: heads are looked at after each ``report_every`` steps, up to ``most_steps``.
        batch: views in a step.
        learning_rate, rates: each parameter moves at the product.
        mixing: of pairs of views; Beta(mixing, mixing) shares. 0 mixes nothing.
        noise: deviation, where an embedding's entries have a deviation of 1.
        averaging: share of the newest weights in the average, each step.
    """

    most_steps: int = 600
    report_every: int = 25
    batch: int = 256
    learning_rate: float = 3e-4
    mixing: float = 0.1
    noise: float = 0.3
    averaging: float = 0.02
    rates: Mapping[str, float] = field(default_factory=lambda: WHOLE_HEAD)


@dataclass(frozen=True)
class Trial:
    """How a way to start did in cross-validation.

    Attributes:
        steps: after how many its error was least.
        errors: mean squared error on photos that were held out, for 0, ``report_every``, ... steps.
        guesses: what they were thought to score after ``steps`` [P], photo by photo.
        scores: what people say of them [P].
    """

    steps: int
    errors: Floats
    guesses: Floats
    scores: Floats


def fine_tune_head(
    head: RaliHead, views: Views, steps: int, tuning: HeadTuning, *, seed: int, pairs: Sequence[Pairs] = ()
) -> Iterator[RaliHead]:
    """Yield ``head`` before training and after every ``report_every`` of ``steps``; ``head`` itself stays as it is.

    What keeps it honest where photos are few: few steps, noise on the embeddings, mixed pairs of views, and an average
    over the steps.
    """
    rng = np.random.default_rng(seed)
    trained, mean, scale = standardised(head)
    x = (torch.from_numpy(np.asarray(views.embeddings, np.float32)) - mean) / scale  # [N, E]
    y, weights = (torch.from_numpy(values.astype(np.float32)) for values in (views.scores, views.weights))  # [N] each
    spread = float(y.var(correction=0).clamp(min=1e-6))
    optimiser = torch.optim.AdamW(parameter_groups(trained, tuning.rates, tuning.learning_rate), weight_decay=0.0)
    average = copy.deepcopy(trained)
    batch = min(tuning.batch, 2 * len(y))
    for step in range(steps + 1):
        if step % tuning.report_every == 0:
            yield as_it_runs(average, mean, scale)
        if step == steps:
            return
        chosen = torch.from_numpy(rng.integers(0, len(y), batch))
        other = chosen[torch.from_numpy(rng.permutation(batch))]
        share = rng.beta(tuning.mixing, tuning.mixing, batch) if tuning.mixing else np.ones(batch)
        mixed = torch.from_numpy(share.astype(np.float32))  # [B]
        noise = torch.from_numpy(rng.standard_normal((batch, x.shape[1]), np.float32))
        noisy = torch.lerp(x[other], x[chosen], mixed[:, None]) + tuning.noise * noise  # [B, E]
        human = torch.lerp(y[other], y[chosen], mixed)
        weight = torch.lerp(weights[other], weights[chosen], mixed)
        predicted = trained.score(trained.compress(noisy))
        loss = (weight * (predicted - human) ** 2).mean() / spread
        for each in pairs:
            loss = (
                loss + each.weight * _out_of_bounds(trained, each, mean, scale, batch // 2, tuning.noise, rng) / spread
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        move_average(average, trained, 1 - tuning.averaging)


def _out_of_bounds(
    head: RaliHead, pairs: Pairs, mean: Tensor, scale: Tensor, count: int, noise: float, rng: np.random.Generator
) -> Tensor:
    """Say by how much some ``pairs`` miss their bounds, squared."""
    chosen = rng.integers(0, len(pairs.least), count)
    # The same for both: else it would drown a small difference.
    added = noise * torch.from_numpy(rng.standard_normal((count, len(mean)), np.float32))  # [B, E]
    scores = []
    for embeddings in (pairs.better, pairs.worse):
        x = (torch.from_numpy(np.asarray(embeddings[chosen], np.float32)) - mean) / scale  # [B, E]
        scores.append(head.score(head.compress(x + added)))
    gap = scores[0] - scores[1]
    least, most = (torch.from_numpy(bound[chosen].astype(np.float32)) for bound in (pairs.least, pairs.most))
    return (nn.functional.relu(least - gap) ** 2 + nn.functional.relu(gap - most) ** 2).mean()


def standardised(head: RaliHead) -> tuple[RaliHead, Tensor, Tensor]:
    """Return a copy of ``head`` for embeddings with mean 0 and deviation 1, and the mean and deviation [E] it had.

    One step size then suits every entry. The scale stays fixed; :func:`as_it_runs` undoes this.
    """
    mean, scale = head.pca_mean.detach().clone(), head.pca_scale.detach().abs().clone()  # [E] each
    plain = copy.deepcopy(head).requires_grad_(True)
    plain.pca_mean.data.zero_()
    plain.pca_scale.data.fill_(1.0)
    plain.pca_scale.requires_grad_(False)
    return plain, mean, scale


def as_it_runs(head: RaliHead, mean: Tensor, scale: Tensor) -> RaliHead:
    """Return a copy of a :func:`standardised` head that takes embeddings as they are; its scores stay in 0 to 100."""
    running = copy.deepcopy(head).requires_grad_(False)
    running.pca_mean.data.mul_(scale).add_(mean)
    running.pca_scale.data.copy_(scale)
    running.proto_scores.data.clamp_(0, 100)
    return running


def parameter_groups(head: RaliHead, rates: Mapping[str, float], learning_rate: float) -> list[dict[str, object]]:
    """Make an optimiser's groups: each parameter of ``rates`` at its own rate; the others get no gradient."""
    for name, parameter in head.named_parameters():
        parameter.requires_grad_(name in rates)
    return [{"params": [head.get_parameter(name)], "lr": learning_rate * rate} for name, rate in rates.items()]


def move_average(average: nn.Module, newest: nn.Module, decay: float) -> None:
    """Move ``average`` towards ``newest``, keeping ``decay`` of it."""
    with torch.no_grad():
        for slow, fast in zip(average.parameters(), newest.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)


def plcc(a: Tensor, b: Tensor) -> Tensor:
    """Correlate two batches [B], so that a gradient flows; 0 where one is constant."""
    a, b = a - a.mean(), b - b.mean()
    correlation: Tensor = (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-6)
    return correlation


def predictions(head: RaliHead, embeddings: NDArray[np.floating]) -> Floats:
    """Score uncompressed embeddings [N, E] in float64, as rali runs a head: [N]."""
    exact = copy.deepcopy(head).double()
    with torch.inference_mode():
        return exact.score(exact.compress(torch.from_numpy(np.asarray(embeddings, np.float64)))).numpy()


def rescaled(head: RaliHead, factor: float, offset: float) -> RaliHead:
    """Return a copy of ``head`` whose scores are ``factor`` times what they were, and ``offset`` more."""
    moved = copy.deepcopy(head)
    moved.proto_scores.data.mul_(factor).add_(offset)
    return moved


def fitted_to(head: RaliHead, views: Views) -> RaliHead:
    """Return a copy of ``head`` whose scores are moved and stretched to lie nearest to people's, within 0 to 100."""
    plain = views.plain()
    predicted = predictions(head, views.embeddings[plain])
    spread = predicted.var()
    covariance = np.mean((predicted - predicted.mean()) * (views.scores[plain] - views.scores[plain].mean()))
    # A head that puts these photos in the wrong order is not turned upside down: that would hold for these few alone.
    factor = max(covariance / spread, 0.05) if spread > 0 else 1.0
    moved = rescaled(head, factor, float(views.scores[plain].mean() - factor * predicted.mean()))
    moved.proto_scores.data.clamp_(0, 100)
    return moved


def try_out(
    start: Start,
    views: Views,
    tuning: HeadTuning,
    *,
    seed: int,
    folds: int = 5,
    on_fold: Callable[[int], None] = lambda _: None,
) -> Trial:
    """Find out by cross-validation over photos how long to fine-tune what ``start`` makes of the views it is given.

    Args:
        on_fold: told how many of the folds are done.
    """
    numbers, photo = np.unique(views.photos, return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(len(numbers)) % folds)[photo]  # [N]
    guesses = np.zeros((tuning.most_steps // tuning.report_every + 1, len(views.scores)))
    for number in range(folds):
        train, held_out = views.only(fold != number), fold == number
        for row, head in enumerate(fine_tune_head(start(train), train, tuning.most_steps, tuning, seed=seed)):
            guesses[row, held_out] = predictions(head, views.embeddings[held_out])
        on_fold(number + 1)
    plain = views.plain()
    errors = ((guesses[:, plain] - views.scores[plain]) ** 2).mean(axis=1)
    best = int(errors.argmin())
    return Trial(best * tuning.report_every, errors, guesses[best, plain], views.scores[plain])


def tuned_head(start: Start, views: Views, steps: int, tuning: HeadTuning, *, seed: int) -> RaliHead:
    """Fine-tune what ``start`` makes of ``views`` for ``steps``, a multiple of ``report_every``."""
    *_, head = fine_tune_head(start(views), views, steps, tuning, seed=seed)
    return head

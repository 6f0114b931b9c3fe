"""Stage 1, align: pull each picture's embedding to the embedding of a sentence that describes its quality.

CLIP's contrastive loss (Radford et al., ICML 2021) against frozen sentence vectors, as in RALI (arXiv 2510.11369,
section 4), where a reasoning model wrote the sentences; here they are composed from what is known of a picture. With
some hundred photos that loss alone costs accuracy, so three more hold the encoder to its task: the human scores of the
rated photos; that a ruined copy is worse than its original by about as much as raters of KADID-10k say; and that the
same fault, when it is stronger, is worse. What is kept at the end lies between the encoder as it was and as it became
(Wortsman et al., WiSE-FT, CVPR 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from rali.model.preprocess import Preprocessing
from rali.training.distortions import KINDS, distort
from rali.training.embed import Pixels, embed, normalised
from rali.training.encoder import between, later_stages, learning_rate_at
from rali.training.faults import shrunk, worsened
from rali.training.kept import load_checkpoint, save_checkpoint
from rali.training.score import move_average, plcc

Fault = tuple[str, int]  # a kind of distortion and its level
TARGET_SHARPNESS = 15.0  # sentences that mean the same are no opposites: softmax of this times their cosine
LOSSES = ("score", "ranking", "order", "words")
WORST_SCORE = 5.0  # of 100: what is left of a photo that was ruined altogether


@dataclass(frozen=True)
class Sentences:
    """What can be said of each picture, as vectors of length 1 in several wordings.

    Attributes:
        rated: [P, V, T], of the rated photos.
        faults: [V', T] for each fault.
    """

    rated: Tensor
    faults: Mapping[Fault, Tensor]


@dataclass(frozen=True)
class Alignment:
    """How to align; the numbers suit 743 rated photos.

    Attributes:
        epochs: in each, every rated photo is seen once.
        rated, ruined, worsened: pictures in a batch; the ruined are copies of some of the rated, and so are the pairs
            of worsened ones.
        first_stage: stem and stages before it stay.
        learning_rate, score_rate, projection_rate: of the encoder, of the linear score and of the projection to words.
        words, ranking, order: weights of these losses, beside 1 for the score's.
        least_step: of the score, in points, from a photo to a worsened copy and on to the next.
        smallest_side: of a crop, as a share of the picture's.
        grey: share of views without colour. People's photos that have none are few, and no worse for it.
        small: share of views shrunk, to half of their side at least: a camera's photo has finer detail than a data
            set's small ones.
        dropout: share of the embedding's entries that are left out.
        alpha: how far to go from the encoder as it was, 0, to the one as it became, 1.
    """

    epochs: int = 5
    rated: int = 14
    ruined: int = 2
    worsened: int = 1
    first_stage: int = 2
    learning_rate: float = 2e-4
    score_rate: float = 2e-4
    projection_rate: float = 1e-3
    warm_up: int = 40
    words: float = 0.1
    ranking: float = 0.2
    order: float = 1.0
    least_step: float = 2.0
    smallest_side: float = 0.8
    grey: float = 0.1
    small: float = 0.4
    dropout: float = 0.3
    ridge: float = 1000.0
    alpha: float = 0.5


class _Reader(nn.Module):
    """What the losses read off a standardised embedding: a score, and a vector among those of sentences."""

    def __init__(self, weight: Tensor, mean_score: float, words: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.tensor(mean_score))
        self.projection = nn.Linear(len(weight), words)
        nn.init.normal_(self.projection.weight, std=0.02)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def score(self, x: Tensor) -> Tensor:
        """Score standardised embeddings [B, E]: [B]."""
        return x @ self.weight + self.bias


def align(
    encoder: nn.Module,
    photos: Sequence[Image.Image],
    scores: NDArray[np.float64],
    sentences: Sentences,
    kept_shares: Mapping[Fault, float],
    preprocessing: Preprocessing,
    tuning: Alignment,
    *,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
) -> nn.Module:
    """Align a copy of ``encoder`` with words.

    Args:
        photos, scores: rated, 0 to 100 [P].
        kept_shares: how much of its quality a good photo keeps under a fault, 0 to 1.
        checkpoint: written after each epoch; where it holds an earlier run's, that run goes on, to the same result.
        on_epoch: told the epoch, from 1, and its mean losses.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 10_000])
    drawn = [_part(photo, preprocessing, tuning, rng) for photo in photos]
    start = _embedded(encoder, [*(_whole(photo, preprocessing) for photo in photos), *drawn], preprocessing)  # [2P, E]
    mean, scale = start[: len(photos)].mean(dim=0), start[: len(photos)].std(dim=0).clamp(min=1e-6)  # [E] each
    weight, mean_score = _ridge((start - mean) / scale, np.tile(scores, 2), tuning.ridge)

    tuned = copy.deepcopy(encoder)
    learning = later_stages(tuned, tuning.first_stage)
    reader = _Reader(weight, mean_score, sentences.rated.shape[-1])
    words = [*reader.projection.parameters(), reader.log_scale]
    optimiser = torch.optim.AdamW(
        [
            {"params": learning, "lr": tuning.learning_rate},
            {"params": [reader.weight, reader.bias], "lr": tuning.score_rate},
            {"params": words, "lr": tuning.projection_rate},
        ],
        weight_decay=0.01,
    )
    highest = [float(group["lr"]) for group in optimiser.param_groups]
    average = copy.deepcopy(tuned)
    learnt: dict[str, Any] = {"tuned": tuned, "average": average, "reader": reader, "optimiser": optimiser}
    steps_an_epoch = len(photos) // tuning.rated
    for epoch in range(_resumed(checkpoint, learnt), tuning.epochs):
        rng = np.random.default_rng([seed, epoch])  # so that an epoch is the same whether or not others ran before it
        torch.manual_seed(seed * 1000 + epoch)
        order, sums = rng.permutation(len(photos)), np.zeros(len(LOSSES))
        for number in range(steps_an_epoch):
            step = epoch * steps_an_epoch + number
            for group, rate in zip(optimiser.param_groups, highest, strict=True):
                group["lr"] = rate * learning_rate_at(step, tuning.epochs * steps_an_epoch, tuning.warm_up)
            chosen = order[number * tuning.rated : (number + 1) * tuning.rated]
            batch = _drawn(photos, scores, chosen, preprocessing, tuning, rng)
            x = (tuned(normalised(batch.pixels, preprocessing)) - mean) / scale  # [B, E]
            # A copy loses the same entries as its photo: what is left of their difference is the fault's.
            x = x * functional.dropout(torch.ones_like(x[: len(chosen)]), tuning.dropout)[batch.of]
            losses = _losses(reader, x, batch, sentences, kept_shares, tuning, rng)
            optimiser.zero_grad()
            losses.sum().backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learning, 5.0)
            optimiser.step()
            move_average(average, tuned, min(0.99, (step + 2) / (step + 11)))
            sums += losses.detach().numpy()
        if checkpoint is not None:
            save_checkpoint(checkpoint, {"epochs": epoch + 1} | {name: of.state_dict() for name, of in learnt.items()})
        on_epoch(epoch + 1, dict(zip(LOSSES, sums / steps_an_epoch, strict=True)))
    return between(encoder, average, tuning.alpha).eval().requires_grad_(False)


def _resumed(checkpoint: Path | None, learnt: Mapping[str, Any]) -> int:
    """Take over what an earlier run left; return how many epochs it had done."""
    found = load_checkpoint(checkpoint) if checkpoint is not None else None
    if found is None:
        return 0
    for name, of in learnt.items():
        of.load_state_dict(found[name])
    return int(found["epochs"])


class _Batch(NamedTuple):
    """Views of rated photos, ruined copies of some, then worsened copies of some: the weaker ones, the stronger ones.

    Attributes:
        pixels: [B, H, W, 3].
        photos, scores: of the rated [R].
        sources, faults: of which of the rated, and by what, each copy is ruined.
        worsened: of which of the rated each pair of worsened copies is.
        of: of which of the rated each picture is [B].
    """

    pixels: Pixels
    photos: NDArray[np.intp]
    scores: Tensor
    sources: NDArray[np.intp]
    faults: list[Fault]
    worsened: NDArray[np.intp]
    of: Tensor


def _drawn(
    photos: Sequence[Image.Image],
    scores: NDArray[np.float64],
    chosen: NDArray[np.intp],
    preprocessing: Preprocessing,
    tuning: Alignment,
    rng: np.random.Generator,
) -> _Batch:
    views = [_part(photos[index], preprocessing, tuning, rng) for index in chosen]
    # A bad photo can hardly get worse: better ones are ruined more often.
    liked = np.argsort(-(scores[chosen] + rng.normal(0, 15, len(chosen))))
    sources, worse = liked[: tuning.ruined], liked[tuning.ruined : tuning.ruined + tuning.worsened]
    faults = [(str(rng.choice(list(KINDS))), int(rng.integers(1, 6))) for _ in sources]
    ruined = [distort(views[at], *fault, rng) for at, fault in zip(sources, faults, strict=True)]
    pairs = [worsened(views[at], rng) for at in worse]
    pixels = np.stack([*views, *ruined, *(weak for weak, _ in pairs), *(strong for _, strong in pairs)])
    of = torch.from_numpy(np.concatenate([np.arange(len(chosen)), sources, worse, worse]))
    return _Batch(pixels, chosen, torch.from_numpy(scores[chosen]).float(), sources, faults, worse, of)


def _losses(
    reader: _Reader,
    x: Tensor,
    batch: _Batch,
    sentences: Sentences,
    kept_shares: Mapping[Fault, float],
    tuning: Alignment,
    rng: np.random.Generator,
) -> Tensor:
    """Return each of LOSSES, weighted, for standardised embeddings [B, E]."""
    rated, ruined = len(batch.photos), len(batch.faults)
    predicted = reader.score(x)  # [B]
    said = [sentences.rated[int(index)] for index in batch.photos] + [sentences.faults[each] for each in batch.faults]
    near = ((predicted[:rated] - batch.scores) ** 2).mean() / 100 + 1 - plcc(predicted[:rated], batch.scores)
    shares = [kept_shares[each] for each in batch.faults]
    ranking = _ranking(predicted[: rated + ruined], batch.scores, batch.sources, shares)
    levels = torch.stack([predicted[torch.from_numpy(batch.worsened)], *predicted[rated + ruined :].view(2, -1)])
    order = (functional.relu(tuning.least_step + levels.diff(dim=0)) ** 2).mean() / 100
    words = _contrast(reader, x[: rated + ruined], torch.stack([_one_of(wordings, rng) for wordings in said]))
    return torch.stack([near, tuning.ranking * ranking, tuning.order * order, tuning.words * words])


def _contrast(reader: _Reader, x: Tensor, said: Tensor) -> Tensor:
    """CLIP's loss both ways, for standardised embeddings [B, E] and their sentences' vectors [B, T].

    The targets are soft: where two sentences of a batch mean nearly the same, each picture may be near both.
    """
    seen = functional.normalize(reader.projection(x), dim=-1)  # [B, T]
    logits = seen @ said.T * reader.log_scale.exp()  # [B, B]
    targets = torch.softmax(said @ said.T * TARGET_SHARPNESS, dim=-1)
    ways = (logits, logits.T)
    return -torch.stack([(targets * way.log_softmax(dim=-1)).sum(dim=-1).mean() for way in ways]).mean()


def _ranking(predicted: Tensor, human: Tensor, sources: NDArray[np.intp], shares: Sequence[float]) -> Tensor:
    """Say how far ruined copies, the last of ``predicted``, are from being worse by about as much as they should be.

    Absolute labels made up for copies cost accuracy on real photos; a wide band for the difference does not.
    """
    at = torch.from_numpy(sources.copy())
    drop = (human[at] - WORST_SCORE).clamp(min=0) * (1 - torch.tensor(shares))  # [R]
    gap = predicted[at] - predicted[len(human) :]
    return (functional.relu(0.5 * drop - gap) ** 2 + functional.relu(gap - 1.2 * drop - 6) ** 2).mean() / 100


def _ridge(x: Tensor, scores: NDArray[np.float64], ridge: float) -> tuple[Tensor, float]:
    """Fit scores [N] to standardised embeddings [N, E]: a start that fine-tuning need not find (Kumar et al., 2022)."""
    exact, mean = x.double(), float(scores.mean())
    covariance = exact.T @ exact + ridge * torch.eye(exact.shape[1], dtype=torch.float64)
    weight: Tensor = torch.linalg.solve(covariance, exact.T @ torch.from_numpy(scores - mean))
    return weight.float(), mean


def _embedded(encoder: nn.Module, views: Sequence[Pixels], preprocessing: Preprocessing) -> Tensor:
    batches = (np.stack(views[first : first + 16]) for first in range(0, len(views), 16))
    return torch.from_numpy(np.concatenate([embed(encoder, batch, preprocessing) for batch in batches]))


def _whole(photo: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Return what the model sees of a photo: uint8 [H, W, 3]."""
    return preprocessing.crop(preprocessing.resize(photo))


def _part(photo: Image.Image, preprocessing: Preprocessing, tuning: Alignment, rng: np.random.Generator) -> Pixels:
    """Return what the model sees of a square part of a photo, mirrored, grey or shrunk, or not: uint8 [H, W, 3]."""
    side = round(min(photo.size) * rng.uniform(tuning.smallest_side, 1.0))
    left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
    part = photo.crop((left, top, left + side, top + side))
    if rng.random() < tuning.grey:
        part = part.convert("L").convert("RGB")
    pixels = _whole(part, preprocessing)
    if rng.random() < tuning.small:
        pixels = shrunk(pixels, rng.uniform(0.5, 1.0))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def _one_of(vectors: Tensor, rng: np.random.Generator) -> Tensor:
    return vectors[int(rng.integers(len(vectors)))]

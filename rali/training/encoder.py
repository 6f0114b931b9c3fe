"""Stage 3 for the encoder too: its later stages and the head, end to end against human scores.

Batch normalisation is folded into the convolutions (see :mod:`rali.model.efficientnet`), so there are no running
statistics to care for. Scores are on a scale from 0 to 100. Seeded; exact from run to run on a CPU.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rali.errors import ModelError
from rali.model.efficientnet import EfficientNetLite
from rali.model.network import RaliHead
from rali.model.preprocess import Preprocessing
from rali.training.embed import Pixels, normalised
from rali.training.kept import Stopped, load_checkpoint, save_checkpoint
from rali.training.score import (
    WHOLE_HEAD,
    Floats,
    Ints,
    as_it_runs,
    move_average,
    parameter_groups,
    plcc,
    standardised,
)

Load = Callable[[Ints], Pixels]
Network = TypeVar("Network", bound=nn.Module)

ALPHAS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class EncoderTuning:
    """How to fine-tune an encoder with its head.

    Attributes:
        epochs: in each, every photo is seen once, in one of its views.
        batch: photos in a step.
        first_stage: of the encoder's stages, the first that learns; the stem and those before it stay. The last one
            learns whatever this says.
        learning_rate, head_learning_rate: the highest, after ``warm_up`` steps; then they fall along a cosine to 0.
        rates: how much faster than ``head_learning_rate`` each of the head's parameters moves.
        weight_decay: of the encoder.
        clip: the longest that the gradient may be.
        longest_average: decay of the average of weights; it starts at a tenth.
        dropout: share of the standardised embedding's entries that are left out.
        correlation: weight of 1 - PLCC within the batch, beside the squared error in units of the scores' variance.
    """

    epochs: int = 8
    batch: int = 16
    first_stage: int = 2
    learning_rate: float = 2e-4
    head_learning_rate: float = 3e-4
    rates: Mapping[str, float] = field(default_factory=lambda: WHOLE_HEAD)
    warm_up: int = 40
    weight_decay: float = 0.01
    clip: float = 5.0
    longest_average: float = 0.99
    dropout: float = 0.3
    correlation: float = 1.0


def later_stages(encoder: nn.Module, first_stage: int) -> list[nn.Parameter]:
    """Freeze ``encoder`` but for its stages from ``first_stage`` on; return their parameters.

    Raises:
        ValueError: it has no such stages.
    """
    if not isinstance(encoder, EfficientNetLite):
        raise ValueError(f"{type(encoder).__name__} has no stages to fine-tune")
    encoder.requires_grad_(False)
    stages = encoder.stages[min(first_stage, len(encoder.stages) - 1) :]
    learning = [parameter for stage in stages for parameter in stage.parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    return learning


def learning_rate_at(step: int, steps: int, warm_up: int) -> float:
    """Return the share of the highest learning rate in ``step`` of ``steps``: up a line, down a cosine."""
    warm_up = min(warm_up, steps // 3)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def fine_tune_encoder(
    encoder: nn.Module,
    head: RaliHead,
    preprocessing: Preprocessing,
    load: Load,
    scores: Floats,
    weights: Floats,
    photos: Ints,
    tuning: EncoderTuning,
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    key: str = "",
    on_step: Callable[[int, int], None] = lambda *_: None,
    on_epoch: Callable[[int, float], None] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[nn.Module, RaliHead]:
    """Fine-tune copies of ``encoder`` and ``head`` together, and return the average of their weights over the steps.

    Args:
        load: gives the pixels of so many views by their numbers [B]: uint8 [B, H, W, 3].
        scores, weights, photos: of the views [N]. In each epoch one view of each photo is taken, by its weight.
        checkpoint: written after each epoch under ``key``; where it holds an earlier run's of this very ``key``, that
            run goes on, to the same result.
        on_step: told how many steps of all are done.
        on_epoch: told the epoch, from 1, and its mean loss.

    Raises:
        ValueError: the encoder has no stages to fine-tune.
        Stopped: ``stop()`` is true; whole epochs are in the checkpoint.
    """
    tuned = copy.deepcopy(encoder).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain, mean, scale = standardised(head)
    plain, mean, scale = plain.to(device), mean.to(device), scale.to(device)
    groups: list[dict[str, Any]] = [
        {
            "params": later_stages(tuned, tuning.first_stage),
            "lr": tuning.learning_rate,
            "weight_decay": tuning.weight_decay,
        },
        *parameter_groups(plain, tuning.rates, tuning.head_learning_rate),
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    highest = [float(group["lr"]) for group in optimiser.param_groups]
    learning = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    average = nn.ModuleDict({"encoder": copy.deepcopy(tuned), "head": copy.deepcopy(plain)})
    newest = nn.ModuleDict({"encoder": tuned, "head": plain})
    spread = max(float(scores.var()), 1e-6)
    steps_an_epoch = -(-len(np.unique(photos)) // tuning.batch)
    steps = tuning.epochs * steps_an_epoch
    first = _resumed(checkpoint, key, newest, average, optimiser)
    for epoch in range(first, tuning.epochs):
        rng = np.random.default_rng([seed, epoch])  # so that an epoch is the same whether or not others ran before it
        losses = []
        for number, chosen in enumerate(_batches(photos, weights, tuning.batch, rng)):
            if stop():
                raise Stopped
            step = epoch * steps_an_epoch + number
            for group, rate in zip(optimiser.param_groups, highest, strict=True):
                group["lr"] = rate * learning_rate_at(step, steps, tuning.warm_up)
            x = (tuned(normalised(load(chosen), preprocessing, device)) - mean) / scale  # [B, E]
            kept = (rng.random(tuple(x.shape), np.float32) >= tuning.dropout) / np.float32(1 - tuning.dropout)
            predicted = plain.score(plain.compress(x * torch.from_numpy(kept).to(device)))
            loss = _loss(predicted, torch.from_numpy(scores[chosen]).float().to(device), spread, tuning)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learning, tuning.clip)
            optimiser.step()
            move_average(average, newest, min(tuning.longest_average, (step + 1) / (step + 10)))
            losses.append(loss.item())
            on_step(step + 1, steps)
        if checkpoint is not None:
            _remember(checkpoint, key, epoch + 1, newest, average, optimiser)
        on_epoch(epoch + 1, float(np.mean(losses)))
    found = average["head"].cpu()
    if not isinstance(found, RaliHead):
        raise TypeError(type(found).__name__)
    return average["encoder"].eval().requires_grad_(False), as_it_runs(found, mean.cpu(), scale.cpu())


def _loss(predicted: Tensor, human: Tensor, spread: float, tuning: EncoderTuning) -> Tensor:
    loss = ((predicted - human) ** 2).mean() / spread
    return loss + tuning.correlation * (1 - plcc(predicted, human)) if len(human) > 1 else loss


def _batches(photos: Ints, weights: Floats, size: int, rng: np.random.Generator) -> list[Ints]:
    """Choose one view of each photo by its weight, shuffle them, and cut them into batches of about ``size``."""
    # The largest of log(u) / w wins with a chance in proportion to w (Efraimidis and Spirakis, 2006).
    with np.errstate(divide="ignore"):
        order = np.log(rng.random(len(photos))) / weights
    by_photo = np.lexsort((-order, photos))
    chosen = by_photo[np.unique(photos[by_photo], return_index=True)[1]]
    return np.array_split(rng.permutation(chosen), -(-len(chosen) // size))


def _remember(
    path: Path, key: str, epochs: int, newest: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    values = {"newest": newest.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
    save_checkpoint(path, {"key": key, "epochs": epochs, **values})


def _resumed(
    path: Path | None, key: str, newest: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    """Take over what an earlier run of this key left; return how many epochs it had done."""
    found = None if path is None else load_checkpoint(path)
    if found is None or found["key"] != key:
        return 0
    newest.load_state_dict(found["newest"])
    average.load_state_dict(found["average"])
    optimiser.load_state_dict(found["optimiser"])
    return int(found["epochs"])


# --- how much of it to take -------------------------------------------------------------------------------------------


def between(start: Network, tuned: nn.Module, alpha: float) -> Network:
    """Return a network whose weights lie ``alpha`` of the way from ``start`` to ``tuned``."""
    found = copy.deepcopy(start)
    with torch.no_grad():
        for weight, end in zip(found.parameters(), tuned.parameters(), strict=True):
            weight.lerp_(end.to(weight.device), alpha)
    return found


def averaged(networks: Sequence[Network]) -> Network:
    """Return a network with the mean weights of ``networks``, all trained from one start.

    What chance made of each of them cancels out, as in a vote of all, for the cost of one (Wortsman et al., Model
    Soups, ICML 2022).
    """
    found = copy.deepcopy(networks[0])
    with torch.no_grad():
        for weight, *others in zip(*(network.parameters() for network in (found, *networks[1:])), strict=True):
            weight.copy_(torch.stack([weight, *others]).mean(dim=0))
    return found


def choose_alpha(
    start: tuple[nn.Module, RaliHead],
    tuned: tuple[nn.Module, RaliHead],
    error: Callable[[nn.Module, RaliHead], float],
    alphas: Sequence[float] = ALPHAS,
) -> tuple[float, dict[float, float]]:
    """Find how far to go from ``start`` to ``tuned``: the ``alpha`` with the least ``error`` (Wortsman et al., 2022).

    Returns:
        The alpha, and the error at each.
    """
    errors = {alpha: error(between(start[0], tuned[0], alpha), between(start[1], tuned[1], alpha)) for alpha in alphas}
    return min(errors, key=lambda alpha: errors[alpha]), errors


def rounded(encoder: nn.Module) -> nn.Module:
    """Round an encoder's weights to what a bundle keeps of them."""
    for weight in encoder.parameters():
        weight.data.copy_(_as_kept(weight.data).float())
    return encoder


def kept_tensors(encoder: nn.Module) -> dict[str, Tensor]:
    """Return an encoder's tensors as a bundle keeps them, under their names in a bundle.

    Raises:
        ModelError: one does not fit.
    """
    tensors = {f"encoder.{name}": _as_kept(tensor).contiguous() for name, tensor in encoder.state_dict().items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelError(
                f"training has ended in numbers that cannot be kept ({name}): train again with another --seed"
            )
    return tensors


def _as_kept(weight: Tensor) -> Tensor:
    """Round to a float16 that bfloat16 holds as well.

    A processor that computes in bfloat16 rounds the weights to that, whatever is stored. Where they are so from the
    start, float32 and bfloat16 run the same network, and it is the one that the head has learnt from.
    """
    return weight.to(torch.bfloat16).half()


def view_loader(
    pixels: Callable[[int], NDArray[np.uint8]], squares: Ints, mirrored: NDArray[np.bool_], photos: Ints
) -> Load:
    """Make what gives views' pixels by their numbers.

    Args:
        pixels: a photo's squares by its number: uint8 [S, H, W, 3].
        squares, mirrored, photos: of each view [N]: which of its photo's squares it shows, and whether mirrored.
    """

    def load(chosen: Ints) -> Pixels:
        shown = (pixels(int(photos[at]))[squares[at]] for at in chosen)
        return np.stack([square[:, ::-1] if mirrored[at] else square for at, square in zip(chosen, shown, strict=True)])

    return load

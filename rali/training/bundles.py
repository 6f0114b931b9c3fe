"""From a trained encoder and head to a bundle that every command can use."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rali.config import models_folder
from rali.errors import ModelError, UnsafeError, UsageError
from rali.model.bundle import WORDS_TENSORS, BundleInfo, write_bundle
from rali.model.importer import TOLD_BY_FILE, checked_name
from rali.model.registry import BUNDLE_SUFFIX
from rali.photos.photo import display_path
from rali.training.kept import make_folder

if TYPE_CHECKING:
    from torch import Tensor

    from rali.model.network import RaliHead

# Scales that people rate on, the narrowest first.
SCALES = ((0.0, 1.0), (1.0, 5.0), (0.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))


@dataclass(frozen=True)
class Target:
    """Where a trained model goes: what ``--model`` will call it, and its file."""

    name: str
    path: Path

    @property
    def found_by(self) -> str:
        """What to give to ``--model``."""
        return self.name if self.path.parent == models_folder() else str(self.path)


@dataclass(frozen=True)
class Scale:
    """The ends of a scale of scores; higher is better."""

    low: float
    high: float

    def to_percent(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring scores from this scale to 0 to 100."""
        return (scores - self.low) / (self.high - self.low) * 100


def target_of(output: str, *, force: bool = False) -> Target:
    """Find out where ``output`` is: a name, for a bundle among the user's models, or the path of a bundle.

    Raises:
        UsageError: it is neither.
        UnsafeError: something is there, and ``force`` is not given.
        ModelError: nothing can be written there.
    """
    if output.endswith(BUNDLE_SUFFIX):
        path = Path(os.path.abspath(os.path.expanduser(output)))
        name = path.name.removesuffix(BUNDLE_SUFFIX)
    elif os.sep in output:
        raise UsageError(f"-o {display_path(output)}: give a name, or the path of a file that ends in {BUNDLE_SUFFIX}")
    else:
        name = output
        path = models_folder() / f"{name}{BUNDLE_SUFFIX}"
    target = Target(checked_name(name, option="-o"), path)
    if os.path.lexists(path) and not force:
        raise UnsafeError(f"there is a model at {display_path(path)}: choose another name, or replace it with --force")
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise ModelError(f"{display_path(path.parent)} cannot be written: choose another place with -o")
    return target


def scale_of(scores: NDArray[np.float64], base: BundleInfo) -> Scale:
    """Guess which scale people's scores [N] are on: the base model's if they fill a third of it, else a usual one."""
    low, high = float(scores.min()), float(scores.max())
    if base.score_low <= low and high <= base.score_high and high - low >= (base.score_high - base.score_low) / 3:
        return Scale(base.score_low, base.score_high)
    return next((Scale(*ends) for ends in SCALES if ends[0] <= low and high <= ends[1]), Scale(low, high))


def write_trained(
    target: Target,
    base: BundleInfo,
    encoder: Mapping[str, Tensor],
    head: RaliHead,
    *,
    scale: Scale,
    photos: int,
    words: bool,
) -> BundleInfo:
    """Write a bundle for an encoder and a head that were trained from ``base``.

    Args:
        encoder: tensors by their names in a bundle, ``encoder.`` first, as precise as they are to be kept.
        head: gives scores on ``scale``.
        photos: how many rated photos it has seen.
        words: whether those of ``base`` still hold: neither its encoder nor its PCA has changed.

    Raises:
        ModelError: it cannot be written; what was there stays.
    """
    from rali.model.scorer import golden_scores

    tensors = dict(encoder) | {f"head.{name}": tensor.float() for name, tensor in head.state_dict().items()}
    architecture = {
        **base.architecture,
        "head": {"components": head.pca_components.shape[0], "prototypes": head.prototypes.shape[0]},
    }
    info = replace(
        base,
        name=target.name,
        title=f"Trained on {photos:,} rated photos, from {base.name}",
        architecture=architecture,
        score_low=scale.low,
        score_high=scale.high,
        score_meaning=f"as people would rate it, {scale.low:g} to {scale.high:g}, by {photos:,} rated photos",
        licence=f"{base.licence} (of {base.name}); the rated photos are yours",
        source=f"rali train, from {base.name} ({base.model_id}); {base.source}",
        training_data=f"{photos:,} rated photos of the user's. Before that, {base.name}: {base.training_data}",
    )
    header: dict[str, Any] = {key: value for key, value in asdict(info).items() if key not in TOLD_BY_FILE}
    header["preprocessing"] = info.preprocessing.to_json()
    header["golden_scores"] = golden_scores(info, tensors)
    if words:
        described, vectors = _words(base)
        header |= described
        tensors |= vectors
    return write_bundle(target.path, tensors, header)


def has_words(info: BundleInfo) -> bool:
    """Tell if a bundle holds words."""
    return bool(_words(info)[1])


def _words(info: BundleInfo) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a bundle's words as they stand in it: part of the header, and tensors; both empty if it has none."""
    from safetensors import safe_open

    if info.path.is_dir():
        return {}, {}
    with safe_open(info.path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in WORDS_TENSORS if name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["rali"])
    return ({"words": header["words"]}, tensors) if "words" in header and tensors else ({}, {})

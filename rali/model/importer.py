"""From a release folder to one bundle under the user's models, and out again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rali.config import EMBEDDED_MODEL, default_model, models_folder, set_default_model
from rali.errors import ModelError, UnknownModelError, UsageError
from rali.model.bundle import BundleInfo, write_bundle
from rali.model.registry import BUNDLE_SUFFIX, log_path, source_path

if TYPE_CHECKING:
    from torch import Tensor

    from rali.config import StoredPrecision

# What a bundle's header leaves to the file.
TOLD_BY_FILE = {"weights_sha256", "parameters", "precision", "size_bytes", "path"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def import_checkpoint(
    folder: Path,
    *,
    name: str | None = None,
    precision: StoredPrecision = "float16",
    origin: Mapping[str, Any] | None = None,
) -> BundleInfo:
    """Write a release folder as a bundle, so that it loads in seconds and runs without the folder.

    Args:
        folder: in the released layout.
        name: what ``--model`` will call it; the folder's name by default.
        precision: of the encoder's weights on disk; the head stays float32, it is small and decides the score.
        origin: fields of the header to set, where more is known than the files say (source, licence).

    Returns:
        The bundle, with golden scores that were computed from the weights as they are stored. The text tower lies
        beside it in a file of its own, for later use.

    Raises:
        UsageError: the name cannot be used.
        ModelError: the folder is not a whole release, or the bundle cannot be written; nothing is left of it.
    """
    from rali.model.checkpoint import read_checkpoint
    from rali.model.scorer import golden_scores

    chosen = checked_name(name or folder.resolve().name)
    checkpoint = read_checkpoint(folder)
    weights = {key: tensor for key, tensor in checkpoint.tensors.items() if key.startswith("encoder.")}
    head = {key: tensor for key, tensor in checkpoint.tensors.items() if key.startswith("head.")}
    tensors = _converted(weights, precision) | _converted(head, "float32")
    info = replace(checkpoint.info, name=chosen, **(origin or {}))
    # The folder's own identity is not the bundle's: other precision, other golden scores.
    header = {key: value for key, value in asdict(info).items() if key not in TOLD_BY_FILE}
    header["preprocessing"] = info.preprocessing.to_json()
    header["golden_scores"] = golden_scores(info, tensors)
    # The bundle last: it is what makes the model usable, and an older one of this name stays until it is whole.
    _write_text_tower(_text_path(chosen), _converted(checkpoint.text_tensors, precision))
    return write_bundle(models_folder() / f"{chosen}{BUNDLE_SUFFIX}", tensors, header)


def checked_name(name: str, *, option: str = "--name") -> str:
    """Return ``name`` if a model of the user's can be called so.

    Args:
        option: where the user can give another.

    Raises:
        UsageError: it cannot.
    """
    if name == EMBEDDED_MODEL:
        raise UsageError(f"{EMBEDDED_MODEL} is the model inside rali: give another name with {option}")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a model's name: give another with {option}, of letters, digits, '.', '_' and '-'"
        )
    return name


def remove_model(name: str) -> None:
    """Delete an imported model's files, and stop using it by default.

    Raises:
        UsageError: it is the embedded model.
        UnknownModelError: there is no such model of the user's.
    """
    if name == EMBEDDED_MODEL:
        raise UsageError(f"{EMBEDDED_MODEL} is part of rali and cannot be removed")
    path = models_folder() / f"{name}{BUNDLE_SUFFIX}"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise UnknownModelError(f"there is no imported model {name!r}; see: rali model list")
    if default_model() == name:
        set_default_model(EMBEDDED_MODEL)
    path.unlink()
    _text_path(name).unlink(missing_ok=True)
    source_path(name).unlink(missing_ok=True)
    log_path(path).unlink(missing_ok=True)


def _write_text_tower(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), partial)
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be written ({error}): free some space and import again") from error
    finally:
        partial.unlink(missing_ok=True)


def _text_path(name: str) -> Path:
    return models_folder() / "text" / f"{name}{BUNDLE_SUFFIX}"


def _converted(tensors: Mapping[str, Tensor], precision: StoredPrecision) -> dict[str, Tensor]:
    import torch

    dtype = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]
    converted = {key: tensor.to(dtype).contiguous() for key, tensor in tensors.items()}
    for key, tensor in converted.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{key} does not fit into {precision}, or is not finite: try --precision float32")
    return converted

"""Model names: which there are, and where their bundles lie."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from rali.config import EMBEDDED_MODEL, models_folder
from rali.errors import DamagedModelError, UnknownModelError
from rali.model.bundle import BundleInfo, read_info

BUNDLE_SUFFIX = ".safetensors"


def available_models() -> dict[str, Path]:
    """Bundles by name: the embedded one, then those in :func:`models_folder`."""
    embedded = Path(str(resources.files("rali.model") / "bundles" / f"{EMBEDDED_MODEL}{BUNDLE_SUFFIX}"))
    found = {EMBEDDED_MODEL: embedded}
    folder = models_folder()
    if folder.is_dir():
        found |= {path.stem: path for path in sorted(folder.glob(f"*{BUNDLE_SUFFIX}"))}
    return found


def source_path(name: str) -> Path:
    """Path of the note that a pull leaves beside its bundle: commit, files and their checksums."""
    return models_folder() / f"{name}.source.json"


def log_path(bundle: Path) -> Path:
    """Path of the log that training leaves beside its bundle."""
    return bundle.with_suffix(".log")


def find_model(model: str) -> BundleInfo:
    """Find a model by its name or by its bundle's path.

    Raises:
        UnknownModelError: there is none.
        DamagedModelError: there is one, and it is not whole.
    """
    models = available_models()
    if model in models:
        return read_info(models[model])
    path = Path(os.path.expanduser(model))
    if os.path.isfile(path):  # unlike Path.is_file() it takes a name of any length
        return read_info(path)
    if os.path.isdir(path):
        from rali.model.checkpoint import read_checkpoint  # imports torch, as no bundle needs to be found

        return read_checkpoint(path).info
    raise UnknownModelError(
        f"there is no model {model!r}; use one of: {', '.join(models)}, or the path of a {BUNDLE_SUFFIX} bundle"
    )


def find_by_id(model_id: str, *likely: str) -> BundleInfo | None:
    """Find the bundle that computes what scores were made by; None if it is not, or not any more, on this machine.

    Args:
        likely: names or paths of bundles to look at before all others that have a name.
    """
    models = available_models()
    first = [models.get(model) or Path(os.path.expanduser(model)) for model in likely]
    for path in dict.fromkeys([*first, *models.values()]):
        if not os.path.isfile(path):
            continue
        try:
            info = read_info(path)
        except DamagedModelError:  # said to whoever asks for that very model
            continue
        if info.model_id == model_id:
            return info
    return None

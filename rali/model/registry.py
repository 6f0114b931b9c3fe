"""Model names: which there are, and where their bundles lie."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import platformdirs

from rali.errors import UnknownModelError
from rali.model.bundle import BundleInfo, read_info

BUNDLE_SUFFIX = ".safetensors"
EMBEDDED_MODEL = "mini"


def models_folder() -> Path:
    """Folder in which models of the user's own lie: ``RALI_MODELS``, or the platform's data folder."""
    chosen = os.environ.get("RALI_MODELS")
    return Path(chosen) if chosen else platformdirs.user_data_path("rali", appauthor=False) / "models"


def available_models() -> dict[str, Path]:
    """Bundles by name: the embedded one, then those in :func:`models_folder`."""
    embedded = Path(str(resources.files("rali.model") / "bundles" / f"{EMBEDDED_MODEL}{BUNDLE_SUFFIX}"))
    found = {EMBEDDED_MODEL: embedded}
    folder = models_folder()
    if folder.is_dir():
        found |= {path.stem: path for path in sorted(folder.glob(f"*{BUNDLE_SUFFIX}"))}
    return found


def find_model(model: str) -> BundleInfo:
    """Find a model by its name or by its bundle's path.

    Raises:
        UnknownModelError: there is none.
        DamagedModelError: there is one, and it is not whole.
    """
    models = available_models()
    if model in models:
        return read_info(models[model])
    path = Path(model).expanduser()
    if path.is_file():
        return read_info(path)
    raise UnknownModelError(
        f"there is no model {model!r}; use one of: {', '.join(models)}, or the path of a {BUNDLE_SUFFIX} bundle"
    )

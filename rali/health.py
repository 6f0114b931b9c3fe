"""Is everything in order: versions, decoders, devices, model, catalog."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from rali.catalog.catalog import Catalog
from rali.catalog.connection import set_aside
from rali.config import Settings, config_path
from rali.errors import CatalogDamagedError, ModelError, RaliError
from rali.model.registry import available_models, find_model
from rali.photos.photo import display_path

if TYPE_CHECKING:
    from rali.model.gate import Measured
    from rali.model.ways import Way

# How far golden scores may lie from the bundle's own, in share of its scale: float32 on another processor.
GOLDEN_TOLERANCE = 1e-4
_LIBRARIES = ("torch", "pillow", "pillow-heif", "rawpy", "numpy", "safetensors", "sqlite-utils", "typer")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    ok: bool
    detail: str


def examine(settings: Settings, *, repair: bool = False, measure: bool = False) -> list[Finding]:
    """Look at everything that a run needs.

    Args:
        settings: which model and which catalog.
        repair: set a damaged catalog aside under another name and begin a new one.
        measure: measure on the golden pictures which way of running the model is the fastest, and remember it.
    """
    return [*_versions(), *_devices(), *_model(settings), *_engine(settings, measure), *_catalog(settings, repair)]


def _versions() -> list[Finding]:
    from rali.model.engines.openvino_library import openvino_version

    names = [*_LIBRARIES, *(["openvino"] if openvino_version() else [])]
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    return [
        Finding("rali", True, f"{version('rali')} on Python {platform.python_version()}, {platform.platform()}"),
        Finding("libraries", True, f"{libraries}, SQLite {sqlite3.sqlite_version}"),
        Finding(
            "config", True, f"{display_path(config_path())}{'' if config_path().is_file() else ' (none: defaults)'}"
        ),
    ]


def _devices() -> list[Finding]:
    import torch

    from rali.model.ways import available_device

    cores = os.cpu_count() or 1
    detail = f"auto takes {available_device('auto')}; {cores} cores, {torch.get_num_threads()} torch threads"
    if torch.cuda.is_available():
        detail += f"; {torch.cuda.get_device_name()}"
    return [Finding("devices", True, detail)]


def _model(settings: Settings) -> list[Finding]:
    from rali.model.scorer import Scorer

    models = ", ".join(f"{name} ({display_path(path)})" for name, path in available_models().items())
    try:
        info = find_model(settings.model)
        found = Scorer(info, device="cpu").golden_scores()
    except RaliError as problem:
        return [Finding("models", True, models), Finding("model", False, str(problem))]
    if not info.golden_scores:  # a release folder; its bundle has them
        return [Finding("models", True, models), Finding("model", True, f"{info.name} {info.model_id}; {info.title}")]
    error = float(np.abs(found - np.array(info.golden_scores)).max())
    sound = error <= GOLDEN_TOLERANCE * (info.score_high - info.score_low)
    detail = f"{info.name} {info.model_id}, {info.size_bytes / 1e6:.1f} MB, {info.licence}; {info.title}"
    proof = f"16 golden scores within {error:.1e} of the bundle's own"
    return [Finding("models", True, models), Finding("model", True, detail), Finding("golden scores", sound, proof)]


def _engine(settings: Settings, measure: bool) -> list[Finding]:
    """Say which way of running the model is taken, and why not the others."""
    from rali.model.choice import best_way, measured_here, remembered
    from rali.model.ways import asked_way

    try:
        info = find_model(settings.model)
        way = asked_way(settings)
        if way is not None:
            reason = "the recipe exact" if settings.recipe == "exact" else "the only one that is asked for"
            return [Finding("engine", True, f"{way}: {reason}")]
        known = measured_here(info, settings) if measure else remembered(info)
        chosen = best_way(info, settings, known)
    except ModelError:  # said above
        return []
    except RaliError as problem:
        return [Finding("engine", False, str(problem))]
    if not known:
        detail = f"{chosen}: float32 needs no measurement; for the others: rali doctor --measure"
        return [Finding("engine", True, detail)]
    order = sorted(known, key=lambda result: (result.way != chosen, -result.photos_per_s))
    return [Finding("engine" if at == 0 else "", True, _told(result, chosen)) for at, result in enumerate(order)]


def _told(result: Measured, chosen: Way) -> str:
    """Describe one measurement in a line: how fast, how far off, why not taken."""
    if result.problem and result.problem != "slower":
        return f"{result.way}: not measured ({result.problem})"
    rest = "slower" if result.passed or result.problem else f"not used: {result.verdict}"
    taken = "taken" if result.way == chosen else rest
    off = "" if result.problem else f", {100 * result.largest_share:.2g} % of the scale off at most"
    return f"{result.way}: {result.photos_per_s:.1f} photos/s{off}: {taken}"


def _catalog(settings: Settings, repair: bool) -> list[Finding]:
    shown = display_path(settings.db)
    if not settings.db.exists():
        return [Finding("catalog", True, f"{shown} (none yet: rali score makes it)")]
    try:
        with Catalog(settings.db, create=False) as catalog:
            damage = catalog.check()
            counts = ", ".join(f"{count:,} {name}" for name, count in catalog.counts().items())
    except CatalogDamagedError as error:
        if not repair:
            return [Finding("catalog", False, str(error))]
        damage, counts = str(error), ""
    except RaliError as error:
        return [Finding("catalog", False, str(error))]
    if damage is None:
        return [Finding("catalog", True, f"{shown}: {counts}")]
    if not repair:
        return [Finding("catalog", False, f"{shown} is damaged ({damage}); set it aside with: rali doctor --repair")]
    aside = set_aside(settings.db)
    return [Finding("catalog", True, f"{shown} was damaged and is now {display_path(aside)}; a new one will be begun")]

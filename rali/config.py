"""Settings: a command-line option wins over a RALI_* variable, that over config.toml, that over the default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import platformdirs

from rali.errors import UsageError

Pairs = Literal["together", "each"]
Recipe = Literal["exact", "fast"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["float32", "float16", "bfloat16", "int8"]
AskedPrecision = Literal["auto", "float32", "float16", "bfloat16", "int8"]
# In which a bundle can hold its weights.
StoredPrecision = Literal["float32", "float16", "bfloat16"]
Engine = Literal["torch", "openvino"]
AskedEngine = Literal["auto", "torch", "openvino"]


# The model that ships inside rali.
EMBEDDED_MODEL = "mini"


def models_folder() -> Path:
    """Folder in which models of the user's own lie: ``RALI_MODELS``, or the platform's data folder."""
    chosen = os.environ.get("RALI_MODELS")
    return Path(chosen) if chosen else platformdirs.user_data_path("rali", appauthor=False) / "models"


def cache_folder() -> Path:
    """Folder of what can be made again: ``RALI_CACHE``, or the platform's cache folder."""
    chosen = os.environ.get("RALI_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("rali", appauthor=False)


def default_model() -> str:
    """Name of the model that is used where none is asked for: as :func:`set_default_model` noted, else ``mini``."""
    try:
        return _default_model_file().read_text(encoding="utf-8").strip() or EMBEDDED_MODEL
    except (OSError, UnicodeDecodeError):
        return EMBEDDED_MODEL


def set_default_model(name: str) -> None:
    """Note which model is used where none is asked for."""
    models_folder().mkdir(parents=True, exist_ok=True)
    partial = _default_model_file().with_suffix(".partial")
    partial.write_text(name + "\n", encoding="utf-8")
    partial.replace(_default_model_file())


def _default_model_file() -> Path:
    return models_folder() / "default"


def _default_db() -> Path:
    return platformdirs.user_data_path("rali", appauthor=False) / "catalog.db"


@dataclass(frozen=True)
class Settings:
    """Everything that can be set from outside.

    Attributes:
        db: the catalog's file.
        model: a name, or the path of a bundle.
        recipe: ``fast`` or ``exact``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        engine: what runs the model: ``auto``, ``torch`` or ``openvino``.
        precision: of the encoder: ``auto``, ``float32``, ``float16``, ``bfloat16`` or ``int8``.
        pairs: ``together`` scores a RAW and its JPEG once, ``each`` scores every file.
        workers: decoding processes; 0 means one a core.
        limit_px: photos with more pixels are refused.
        timeout_s: a photo that takes longer to decode is given up.
        cache: folder of what can be made anew, thumbnails above all; it may be deleted at any time.
        thumbnails_mb: what the thumbnails in it may take, in millions of bytes.
    """

    db: Path = field(default_factory=_default_db)
    model: str = field(default_factory=default_model)
    recipe: Recipe = "fast"
    device: Device = "auto"
    engine: AskedEngine = "auto"
    precision: AskedPrecision = "auto"
    pairs: Pairs = "together"
    workers: int = 0
    limit_px: int = 500_000_000
    timeout_s: float = 120.0
    cache: Path = field(default_factory=cache_folder)
    thumbnails_mb: int = 1000


def config_path() -> Path:
    """Path of config.toml: ``RALI_CONFIG``, or in the platform's folder for settings."""
    chosen = os.environ.get("RALI_CONFIG")
    return Path(chosen) if chosen else platformdirs.user_config_path("rali", appauthor=False) / "config.toml"


def load_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """Merge the sources of settings.

    Args:
        options: from the command line; a value of None means not given.

    Raises:
        UsageError: a value cannot be used; the message says where it stands.
    """
    settings = Settings(**given_settings(options))
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UsageError: what to leave out.
    """
    if settings.recipe == "exact" and settings.precision not in ("auto", "float32"):
        raise UsageError(f"the recipe exact is float32: use --precision float32 with it, not {settings.precision}")
    if settings.recipe == "exact" and settings.engine == "openvino":
        raise UsageError("the recipe exact is what torch computes: use --engine torch with it, or --recipe fast")
    if settings.precision == "int8" and settings.engine == "torch":
        raise UsageError("torch does not compute in int8: use --engine openvino with it")
    if settings.precision == "int8" and settings.device not in ("auto", "cpu"):
        raise UsageError(f"int8 is for the CPU: use another --precision with --device {settings.device}")
    if settings.engine == "openvino" and settings.device not in ("auto", "cpu"):
        raise UsageError(f"OpenVINO runs on the CPU: use --engine torch with --device {settings.device}")


def given_settings(options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings that any source names, without the defaults; see :func:`load_settings`."""
    values: dict[str, Any] = {}
    path = config_path()
    if path.is_file():
        try:
            values |= {
                key: _checked(key, value, f"{path}")
                for key, value in tomllib.loads(path.read_text(encoding="utf-8")).items()
            }
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise UsageError(f"{path} cannot be read as TOML ({error}); correct it or remove it") from error
    for known in fields(Settings):
        variable = f"RALI_{known.name.upper()}"
        if os.environ.get(variable):
            values[known.name] = _checked(known.name, os.environ[variable], variable)
    for key, value in (options or {}).items():
        if value is not None:
            values[key] = _checked(key, value, f"--{key.replace('_', '-')}")
    return values


def _checked(key: str, value: object, source: str) -> Any:
    """Convert one value to its setting's type, or say what is wrong with it and where it came from."""
    if key not in _CONVERTERS:
        raise UsageError(f"{source}: there is no setting {key!r}; there are: {', '.join(_CONVERTERS)}")
    try:
        return _CONVERTERS[key](value)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: ~somebody who is not on this machine
        raise UsageError(f"{source}: {value!r} is no good value for {key} ({error})") from error


def _one_of(*choices: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if value not in choices:
            raise ValueError(f"use {' or '.join(choices)}")
        return str(value)

    return convert


def _number(kind: type[int] | type[float], low: float, high: float) -> Callable[[object], float]:
    def convert(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError("use a number")
        if kind is int and isinstance(value, float):
            raise TypeError("use a whole number")
        number = kind(value)
        if not low <= number <= high:
            raise ValueError(f"use {low:g} to {high:g}")
        return number

    return convert


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("use a text in quotes")
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError("use a path in quotes")
    return Path(value).expanduser().absolute()


_CONVERTERS: dict[str, Callable[[object], Any]] = {
    "db": _path,
    "model": _text,
    "recipe": _one_of(*get_args(Recipe)),
    "device": _one_of(*get_args(Device)),
    "engine": _one_of(*get_args(AskedEngine)),
    "precision": _one_of(*get_args(AskedPrecision)),
    "pairs": _one_of(*get_args(Pairs)),
    "workers": _number(int, 0, 256),
    "limit_px": _number(int, 1, 10_000_000_000),
    "timeout_s": _number(float, 0.1, 86_400),
    "cache": _path,
    "thumbnails_mb": _number(int, 0, 1_000_000),
}

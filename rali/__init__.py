"""Score, rank and sort photos by technical quality with the RALI model, on this machine alone.

The names below are the public ones; each is imported when it is first used, so that ``import rali`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Scope
    from rali.config import Settings, load_settings
    from rali.errors import RaliError
    from rali.listing import Wanted, choose_scoring, rank_photos
    from rali.model.registry import find_model
    from rali.model.scorer import Scorer
    from rali.pipeline import score_photos

_HOMES = {
    "Catalog": "rali.catalog.catalog",
    "RaliError": "rali.errors",
    "Scope": "rali.catalog.records",
    "Scorer": "rali.model.scorer",
    "Settings": "rali.config",
    "Wanted": "rali.listing",
    "choose_scoring": "rali.listing",
    "find_model": "rali.model.registry",
    "load_settings": "rali.config",
    "rank_photos": "rali.listing",
    "score_photos": "rali.pipeline",
}

__all__ = [
    "Catalog",
    "RaliError",
    "Scope",
    "Scorer",
    "Settings",
    "Wanted",
    "choose_scoring",
    "find_model",
    "load_settings",
    "rank_photos",
    "score_photos",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rali' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

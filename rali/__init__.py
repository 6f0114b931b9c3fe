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
    from rali.culling.choice import Choice
    from rali.culling.plan import plan_cull
    from rali.errors import RaliError
    from rali.listing import Wanted, choose_scoring, rank_photos
    from rali.model.registry import find_model
    from rali.model.scorer import Scorer
    from rali.moving.runs import apply_plan, undo
    from rali.pipeline import score_photos

_HOMES = {
    "Catalog": "rali.catalog.catalog",
    "Choice": "rali.culling.choice",
    "RaliError": "rali.errors",
    "Scope": "rali.catalog.records",
    "Scorer": "rali.model.scorer",
    "Settings": "rali.config",
    "Wanted": "rali.listing",
    "apply_plan": "rali.moving.runs",
    "choose_scoring": "rali.listing",
    "find_model": "rali.model.registry",
    "load_settings": "rali.config",
    "plan_cull": "rali.culling.plan",
    "rank_photos": "rali.listing",
    "score_photos": "rali.pipeline",
    "undo": "rali.moving.runs",
}

__all__ = [
    "Catalog",
    "Choice",
    "RaliError",
    "Scope",
    "Scorer",
    "Settings",
    "Wanted",
    "apply_plan",
    "choose_scoring",
    "find_model",
    "load_settings",
    "plan_cull",
    "rank_photos",
    "score_photos",
    "undo",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rali' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

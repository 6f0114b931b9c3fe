"""Plans that nobody named a file for: they lie beside the catalog, the last twenty of them."""

from __future__ import annotations

import re
import time
from pathlib import Path

from rali.culling.plan import CullPlan
from rali.culling.plan_file import save_plan
from rali.errors import PathError
from rali.photos.photo import display_path

_KEPT = 20
_OURS = re.compile(r"\d{4}-\d\d-\d\d_\d{6}(-\d+)?\.json")


def keep_plan(plan: CullPlan, db: Path) -> Path:
    """Save a plan beside the catalog at ``db`` under a name of its own; return where.

    Raises:
        PathError: it cannot be written.
    """
    folder = db.parent / "plans"
    try:
        folder.mkdir(exist_ok=True)
        base = time.strftime("%Y-%m-%d_%H%M%S")
        path, number = folder / f"{base}.json", 1
        while path.exists():
            number += 1
            path = folder / f"{base}-{number}.json"
        save_plan(plan, path)
        ours = [file for file in folder.iterdir() if _OURS.fullmatch(file.name) and file != path]
        for old in sorted(ours, reverse=True)[_KEPT - 1 :]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise PathError(f"{display_path(folder)}: {error.strerror or error}; name a file with --plan FILE") from error
    return path

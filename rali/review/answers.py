"""Plans and what became of them, as the page shows them: texts that are safe to show, and numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rali.culling.plan import CullPlan, HeldBack, over_limits
from rali.moving.quarantine import quarantine_for
from rali.moving.runs import Done
from rali.photos.photo import display_path, shell_word


def plan_for_page(plan: CullPlan, number: str) -> dict[str, Any]:
    """Describe a plan: what would go, worst first, what is held back, and where to.

    Args:
        number: what the page has to name to have it applied.
    """
    shots = sorted(plan.shots, key=lambda shot: (shot.score is None, shot.score or 0.0, shot.path))
    return {
        "plan": number,
        "chosen": display_path(plan.chosen),
        "considered": plan.considered,
        "files": plan.files,
        "size_bytes": plan.size_bytes,
        "shots": [
            {
                "name": display_path(shot.files[0].name),
                "folder": display_path(shot.folder),
                "with": [display_path(file.name) for file in shot.files[1:]],
                "score": _finite(shot.score),
                "percentile": None if shot.percentile is None else round(shot.percentile, 1),
                "why": display_path(shot.why),
                "size_bytes": shot.size_bytes,
            }
            for shot in shots
        ],
        "held_back": held_for_page(plan.held_back),
        "places": _quarantines(plan),
        "over": over_limits(plan),
    }


def held_for_page(held: Sequence[HeldBack]) -> list[dict[str, str]]:
    """Describe what stays, and why."""
    return [
        {
            "name": display_path(os.path.basename(one.path)),
            "folder": display_path(os.path.dirname(one.path)),
            "rule": one.rule,
            "detail": display_path(one.detail),
        }
        for one in held
    ]


def done_for_page(done: Done, dropped: Sequence[HeldBack], db: Path | None) -> dict[str, Any]:
    """Describe what a run did, and how to take it back.

    Args:
        dropped: was in the plan, and stays for what happened since.
        db: the catalog, if it was named on the command line.
    """
    carried, run = done.carried, done.run
    trouble = None
    if carried.ended_by is not None:
        trouble = f"ended early ({display_path(carried.ended_by)}): the rest was not touched"
    elif carried.interrupted:
        trouble = "interrupted: what was begun is finished, and the rest was not touched"
    elif carried.unsettled:
        trouble = f"{carried.unsettled:,} files are on both sides; the next rali command tries again"
    return {
        "run": None if run is None else run.name,
        "photos": carried.shots,
        "files": carried.files,
        "size_bytes": carried.size_bytes,
        "places": [] if run is None else [display_path(place.folder) for place in run.places],
        "undo": None if run is None else undo_command(run.name, db),
        "stayed": [
            *held_for_page(dropped),
            *(
                held_for_page([HeldBack(path, None, "refused", reason)])[0]
                for path, reason in carried.refused
            ),
        ],
        "trouble": trouble,
    }  # fmt: skip


def undo_command(run: str, db: Path | None) -> str:
    """Return the command that takes a run back."""
    return f"rali undo {shell_word(run)}" + ("" if db is None else f" --db {shell_word(os.path.abspath(db))}")


def _quarantines(plan: CullPlan) -> list[str]:
    found: dict[str, None] = {}
    for root, folder in dict.fromkeys((shot.root, shot.folder) for shot in plan.shots):
        try:
            found[display_path(quarantine_for(root, folder))] = None
        except OSError:  # not there any more: its photos will stay, with that reason
            continue
    return list(found)


def _finite(score: float | None) -> float | None:
    return round(score, 3) if score is not None and math.isfinite(score) else None

"""How a cull's plan, and what became of it, look: to people before they say yes, and to programs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rali.catalog.journal import Mode
from rali.culling.choice import REJECTED
from rali.culling.plan import CullPlan, HeldBack, PlannedShot
from rali.culling.protect import RULES
from rali.moving.quarantine import quarantine_for
from rali.photos.photo import display_path
from rali_cli.render import (
    counted,
    format_size,
    model_json,
    rule_table,
    score_text,
    short_path,
    titled_table,
    with_companions,
)

_HELD_BACK_SHOWN = 10
_PLACES_SHOWN = 3


def quarantines_of(plan: CullPlan, to: Path | None) -> list[str]:
    """Return the folders in which a run of this plan would get a folder of its own."""
    if to is not None:
        return [os.path.realpath(to)]
    found: dict[str, None] = {}
    for root, folder in dict.fromkeys((shot.root, shot.folder) for shot in plan.shots):
        try:
            found[quarantine_for(root, folder)] = None
        except OSError:  # not there any more: its photos will stay, with that reason
            continue
    return list(found)


def size_of(plan: CullPlan) -> str:
    """Say how much would go: ``3 photos (5 files, 24.3 MB)``."""
    return f"{counted(len(plan.shots), 'photo')} ({counted(plan.files, 'file')}, {format_size(plan.size_bytes)})"


# --- for people ----------------------------------------------------------------------------------------------------


def print_plan(out: Console, plan: CullPlan, count: int, *, mode: Mode) -> None:
    """Print the worst ``count`` shots of a plan, and its totals."""
    shots = worst_first(plan.shots)
    would = {"move": "would go", "copy": "would be copied", "hardlink": "would be linked"}[mode]
    if shots:
        out.print(_table(shots[:count], plan, title=would.capitalize()))
        if len(shots) > count:
            out.print(f"... and {len(shots) - count:,} more; -n shows more")
        out.print()
    amount = f"{counted(plan.files, 'file')}, {format_size(plan.size_bytes)}"
    out.print(f"{len(plan.shots):,} of {counted(plan.considered, 'scored photo')} {would}: {amount}")
    out.print(f"Chosen: {display_path(plan.chosen)}{_and_rejects(plan)}")
    out.print(f"Model {plan.scoring.model_name} ({plan.scoring.model_id}), recipe {plan.scoring.recipe}")


def _and_rejects(plan: CullPlan) -> str:
    rejected = sum(shot.why == REJECTED for shot in plan.shots)
    return f", and {rejected:,} {REJECTED}" if 0 < rejected < len(plan.shots) else ""


def _table(shots: Sequence[PlannedShot], plan: CullPlan, *, title: str) -> Table:
    table = titled_table(title)
    table.add_column("score", justify="right")
    table.add_column("pct", justify="right", style="dim")
    table.add_column("photo", overflow="fold")
    table.add_column("why", style="dim", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for shot in shots:
        table.add_row(
            score_text(shot.score, plan.scoring),
            Text("–" if shot.percentile is None else f"{shot.percentile:.0f}"),
            Text(with_companions(short_path(shot.path), [file.name for file in shot.files[1:]])),
            # Of what, stands below the table; at 80 columns it would cost every photo a line.
            Text(display_path(shot.why.removesuffix(" of its folder").removesuffix(" of all"))),
            Text(format_size(shot.size_bytes)),
        )
    return table


def print_held_back(out: Console, title: str, held: Sequence[HeldBack]) -> None:
    """Print how many photos each rule holds back, and the first of them with the details."""
    by_rule: dict[str, list[HeldBack]] = {}
    for one in held:
        by_rule.setdefault(one.rule, []).append(one)
    rules = sorted(by_rule, key=lambda rule: (RULES.index(rule) if rule in RULES else len(RULES), rule))
    counts = ", ".join(f"{len(by_rule[rule]):,} {display_path(rule)}" for rule in rules)
    shown = [one for rule in rules for one in by_rule[rule]][:_HELD_BACK_SHOWN]
    told = ((one.rule, one.path, one.detail) for one in shown)
    out.print(rule_table(f"{title}: {counted(len(held), 'photo')} ({counts})", told, why="why it stays"))
    if len(held) > len(shown):
        out.print(f"... and {len(held) - len(shown):,} more; --json names them all")


def print_stayed(out: Console, refused: Sequence[tuple[str, str]]) -> None:
    """Print which photos stayed where they were, and why."""
    if not refused:
        return
    out.print(f"{counted(len(refused), 'photo')} stayed:")
    for path, reason in refused[:_HELD_BACK_SHOWN]:
        out.print(f"  {short_path(path)}: {display_path(reason)}", soft_wrap=True)
    if len(refused) > _HELD_BACK_SHOWN:
        out.print(f"  ... and {len(refused) - _HELD_BACK_SHOWN:,} more; --json names them all")


def print_places(out: Console, words: str, places: Sequence[str]) -> None:
    """Print folders below a line of words, or behind it if there is one alone."""
    if len(places) == 1:
        out.print(f"{words} {display_path(places[0])}", soft_wrap=True)
        return
    out.print(f"{words}")
    for place in places[:_PLACES_SHOWN]:
        out.print(f"  {display_path(place)}", soft_wrap=True)
    if len(places) > _PLACES_SHOWN:
        out.print(f"  ... and {len(places) - _PLACES_SHOWN:,} more folders")


# --- for programs --------------------------------------------------------------------------------------------------


def plan_json(plan: CullPlan, quarantines: Sequence[str], over: str | None) -> dict[str, Any]:
    """Describe a plan; its photos are worst first, and ``held_back`` has those that stay."""
    return {
        "model": model_json(plan.scoring),
        "photos": [
            {
                "path": shot.path,
                "score": _finite(shot.score),
                "percentile": None if shot.percentile is None else round(shot.percentile, 3),
                "why": shot.why,
                "companions": [file.name for file in shot.files[1:]],
                "size_bytes": shot.size_bytes,
            }
            for shot in worst_first(plan.shots)
        ],
        "held_back": [vars(held) | {"score": _finite(held.score)} for held in plan.held_back],
        "summary": {
            "photos": len(plan.shots),
            "files": plan.files,
            "size_bytes": plan.size_bytes,
            "considered": plan.considered,
            "chosen": plan.chosen,
            "held_back": dict(plan.held_back_by),
            "roots": list(plan.roots),
            "quarantines": list(quarantines),
            "over_limits": over,
        },
    }


def stayed_json(refused: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Describe what stayed."""
    return [{"path": path, "reason": reason} for path, reason in refused]


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None


def worst_first(shots: Iterable[PlannedShot]) -> list[PlannedShot]:
    """Order shots by score; those without one come last."""
    return sorted(shots, key=lambda shot: (shot.score is None, shot.score or 0.0, shot.path))

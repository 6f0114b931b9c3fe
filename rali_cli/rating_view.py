"""How a rating's plan looks, and the runs that came of one: to people, and to programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from rali.catalog.rating_journal import RatingRun, RatingState
from rali.moving.carrier import Carried
from rali.photos.photo import display_path
from rali.rating.grading import GRADES
from rali.rating.plan import Kept, RatingPlan
from rali_cli.render import counted, model_json, rule_table, short_path, titled_table

_KEPT_SHOWN = 10
_FLAGS = {1: "pick", -1: "reject"}


def print_plan(out: Console, plan: RatingPlan) -> None:
    """Print the mapping with the number of photos of each grade, then what would be written."""
    table = titled_table("Stars")
    table.add_column("grade", justify="right")
    table.add_column(plan.wishes.grading.by if plan.wishes.grading.by == "percentile" else "score")
    table.add_column("photos", justify="right")
    for heading in ("stars", "label", "flag"):
        table.add_column(heading)
    for grade in reversed(GRADES):
        cells = (str(grade), _range_of(plan, grade), f"{plan.grades[grade]:,}", *_written(plan, grade))
        table.add_row(*map(Text, cells))
    out.print(table)
    out.print()
    changed = len(plan.sidecars) - plan.new
    out.print(
        f"{len(plan.sidecars):,} of {counted(plan.considered, 'scored photo')} would be written: "
        f"{counted(plan.new, 'new sidecar')}, {changed:,} changed"
    )
    out.print(f"Left alone: {plan.unchanged:,} that say the same already, {plan.left_out:,} held back by a rule")
    out.print(f"Model {plan.scoring.model_name} ({plan.scoring.model_id}), recipe {plan.scoring.recipe}")
    out.print()


def print_kept(out: Console, kept: Sequence[Kept]) -> None:
    """Print what stays as the user decided, and which photos cannot be rated, with the reasons."""
    if not kept:
        return
    counts = Counter(one.rule for one in kept)
    words = ", ".join(f"{count:,} {rule}" for rule, count in counts.items())
    told = ((one.rule, one.path, one.detail) for one in kept[:_KEPT_SHOWN])
    out.print(rule_table(f"Left as they are: {words}", told, why="what there is"))
    if len(kept) > _KEPT_SHOWN:
        out.print(f"... and {len(kept) - _KEPT_SHOWN:,} more; --json names them all")
    out.print()


def print_left(out: Console, carried: Carried) -> None:
    """Print which sidecars were left, and why."""
    for path, reason in carried.refused[:_KEPT_SHOWN]:
        out.print(f"  {short_path(path)}: {display_path(reason)}", soft_wrap=True)
    if len(carried.refused) > _KEPT_SHOWN:
        out.print(f"  ... and {len(carried.refused) - _KEPT_SHOWN:,} more; --json names them all")


def state_of(run: RatingRun) -> str:
    """Say where a run stands."""
    unfinished = "" if run.state is RatingState.SETTLED else ", unfinished"
    if run.undone:
        return f"undone{unfinished}"
    return (f"{run.restored:,} undone, the others written" if run.restored else "written") + unfinished


def plan_json(plan: RatingPlan) -> dict[str, Any]:
    """Describe a plan; ``kept`` has what stays as it is."""
    wishes = plan.wishes
    return {
        "model": model_json(plan.scoring),
        "photos": [
            {
                "path": one.photo,
                "sidecar": one.path,
                "new": one.old_hash is None,
                "score": one.score,
                "percentile": round(one.percentile, 3),
                "grade": one.grade,
                "properties": {f"{prop.prefix}:{prop.name}": value for prop, value in one.properties.items()},
            }
            for one in plan.sidecars
        ],
        "kept": [kept._asdict() for kept in plan.kept],
        "summary": {
            "photos": plan.considered,
            "sidecars": len(plan.sidecars),
            "new": plan.new,
            "unchanged": plan.unchanged,
            "left_out": plan.left_out,
            "grading": {"by": wishes.grading.by, "edges": list(wishes.grading.edges)},
            "grades": {
                str(grade): {
                    "photos": plan.grades[grade],
                    "stars": wishes.stars_for(grade),
                    "label": wishes.label_for(grade),
                    "flag": wishes.flag_for(grade),
                }
                for grade in GRADES
            },
        },
    }


def run_json(run: RatingRun) -> dict[str, Any]:
    """Describe a run; its fields are those of a cull's that it has."""
    return {
        "run": run.name,
        "started_at": run.started_at,
        "mode": "rate",
        "state": run.state,
        "chosen": run.chosen,
        "model": run.model,
        "recipe": run.recipe,
        "photos": run.files,
        "files": run.files,
        "restored": run.restored,
        "undone": run.undone,
        "places": [{"root": root} for root in run.roots],
    }


def _range_of(plan: RatingPlan, grade: int) -> str:
    low, high = plan.wishes.grading.bounds(grade)
    if low is None:
        return f"below {high:g}"
    return f"{low:g} and more" if high is None else f"{low:g} to {high:g}"


def _written(plan: RatingPlan, grade: int) -> tuple[str, str, str]:
    """Return stars, label and flag of a grade, each in words, or a dash for what is not written."""
    stars = plan.wishes.stars_for(grade)
    shown = "–" if stars is None else str(stars) if stars > 0 else "-1 (rejected)"
    return shown, plan.wishes.label_for(grade) or "–", _FLAGS.get(plan.wishes.flag_for(grade) or 0, "–")

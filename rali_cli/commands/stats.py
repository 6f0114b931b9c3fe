"""``rali stats``: how a collection's scores are spread."""

from __future__ import annotations

from rali_cli import options
from rali_cli.answering import answering

_QUANTILES = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}


def stats(
    paths: options.SomePaths = None,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Show how scores are spread: histogram, mean, quartiles, failures by kind."""
    from collections import Counter

    import numpy as np

    from rali import rank
    from rali.listing import rank_photos, scope_of
    from rali_cli import render

    with answering(db, model, recipe) as (catalog, scoring):
        scope = scope_of(paths or ())
        ranking = rank_photos(catalog, scoring, scope)
        failures = Counter(str(photo.record.failure_kind) for photo in ranking.failures())
        scores = ranking.scores
    bins = rank.histogram(scores, low=scoring.score_low, high=scoring.score_high)
    spread: dict[str, float] = {}
    if len(scores):
        quantiles = np.percentile(scores, list(_QUANTILES.values()))
        spread = dict(zip(_QUANTILES, map(float, quantiles), strict=True)) | {"mean": float(scores.mean())}
    if as_json:
        summary = {
            "photos": len(scores),
            "failed": len(ranking.failed),
            "failures": dict(failures),
            "unscored": ranking.unscored,
            "scores": spread,
            "histogram": [{"low": b.low, "high": b.high, "count": b.count} for b in bins],
        }
        render.print_json({"model": render.model_json(scoring), "photos": [], "summary": summary})
        return
    out = render.console()
    for line in render.histogram_lines(bins, scoring):
        out.print(line)
    out.print()
    out.print("  ".join(f"{name} {scoring.text(value)}" for name, value in spread.items()))
    out.print(f"{len(scores):,} scored photos, {len(ranking.failed):,} failed, {ranking.unscored:,} not scored yet")
    for kind, count in failures.most_common():
        out.print(f"  {count:,} {kind}")
    out.print(f"Model {scoring.model_name} ({scoring.model_id}), recipe {scoring.recipe}")

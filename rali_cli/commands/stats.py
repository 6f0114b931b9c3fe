"""``rali stats``: how a collection's scores are spread."""

from __future__ import annotations

from rali.config import load_settings
from rali_cli import options


def stats(
    paths: options.SomePaths = None,
    model: options.Model = None,
    recipe: options.Recipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Show how scores are spread: histogram, mean, quartiles, failures by kind."""
    from collections import Counter

    import numpy as np

    from rali import rank
    from rali.catalog.catalog import Catalog
    from rali.listing import Wanted, choose_scoring, failed_photos, list_photos, scope_of
    from rali_cli import render

    settings = load_settings({"db": db, "recipe": recipe})
    with Catalog(settings.db, create=False) as catalog:
        scoring = choose_scoring(catalog, model=model, recipe=settings.recipe if recipe else None)
        scope = scope_of(paths or ())
        listing = list_photos(catalog, scoring, scope, Wanted(limit=0))
        failures = Counter(str(photo.record.failure_kind) for photo in failed_photos(catalog, scoring, scope))
    bins = rank.histogram(listing.scores, low=scoring.score_low, high=scoring.score_high)
    quantiles = np.percentile(listing.scores, [0, 5, 25, 50, 75, 95, 100]) if len(listing.scores) else []
    spread = dict(zip(("min", "p5", "p25", "median", "p75", "p95", "max"), map(float, quantiles), strict=False))
    if len(listing.scores):
        spread["mean"] = float(listing.scores.mean())
    if as_json:
        summary = {
            "photos": len(listing.scores),
            "failed": listing.failed,
            "failures": dict(failures),
            "unscored": listing.unscored,
            "scores": spread,
            "histogram": [{"low": b.low, "high": b.high, "count": b.count} for b in bins],
        }
        render.print_json({"model": render.model_json(scoring), "photos": [], "summary": summary})
        return
    out = render.console()
    for line in render.histogram_lines(bins, scoring):
        out.print(line)
    out.print()
    out.print("  ".join(f"{name} {render.format_score(value, scoring)}" for name, value in spread.items()))
    out.print(f"{len(listing.scores):,} scored photos, {listing.failed:,} failed, {listing.unscored:,} not scored yet")
    for kind, count in failures.most_common():
        out.print(f"  {count:,} {kind}")
    out.print(f"Model {scoring.model_name} ({scoring.model_id}), recipe {scoring.recipe}")

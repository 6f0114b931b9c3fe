"""``rali review``: a page in the browser to look through photos and decide, before anything moves."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from rali_cli import options
from rali_cli.answering import answering


def review(
    paths: options.SomePaths = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    include: options.Include = None,
    exclude: options.Exclude = None,
    since: options.Since = None,
    until: options.Until = None,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
) -> None:
    """Look through photos in the browser, mark them, and cull after seeing the plan; ends with Ctrl-C.

    The page is served to this machine alone, and only to the browser that opens the printed link first. Marks and
    stars are stored as they are made; no photo moves before its plan was shown and applied.
    """
    import threading
    import webbrowser

    from rali.config import load_settings
    from rali.listing import rank_photos, scope_of
    from rali.photos.photo import display_path
    from rali.review.pictures import Pictures
    from rali.review.server import Server
    from rali.review.session import Review
    from rali.thumbnails.cache import ThumbnailCache
    from rali_cli import render

    settings = load_settings({"db": db, "model": model, "recipe": recipe})
    with answering(db, model, recipe) as (catalog, scoring):
        scope = scope_of(paths or (), include=include or (), exclude=exclude or (), since=since, until=until)
        count = len(rank_photos(catalog, scoring, scope).ids)
    with (
        Review(settings.db, scoring, scope, db=db) as reviewed,
        ThumbnailCache(settings.cache / "thumbnails", cap_bytes=settings.thumbnails_mb * 1_000_000) as cache,
        Pictures(settings, cache) as pictures,
    ):
        server = Server(reviewed, pictures, port=port)
        print(f"Reviewing {render.counted(count, 'scored photo')}. The link works once:", flush=True)
        print(f"  {server.url}", flush=True)
        print("Ctrl-C ends it; marks and stars are stored as they are made.", flush=True)
        if browser and _has_screen():
            # Some browsers are waited for until they end.
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.serve_until_stopped()
    if cache.trouble is not None:
        render.notice(f"No thumbnails were kept in {display_path(cache.folder)} ({cache.trouble}); set RALI_CACHE")


def _has_screen() -> bool:
    """Tell if a browser could show itself; without a screen one that writes on the terminal might come up."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

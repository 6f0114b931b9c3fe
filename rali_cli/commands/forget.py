"""``rali forget``: take photos that are gone for good out of rankings."""

from __future__ import annotations

from rali.config import load_settings
from rali.errors import PathError
from rali_cli import options
from rali_cli.answering import open_catalog


def forget(paths: options.Paths, db: options.Db = None) -> None:
    """Leave photos below PATHS out of rankings from now on, as after deleting or moving a folder.

    No file is touched and no score is deleted: photos that a later scan finds are back with their scores.
    """
    from rali.listing import scope_of
    from rali_cli import render

    with open_catalog(load_settings({"db": db}).db) as catalog:
        count = catalog.forget(scope_of(paths))
    if not count:
        raise PathError("no photo there is in rankings: there is nothing to forget")
    render.console().print(f"{count:,} {'photo' if count == 1 else 'photos'} left out of rankings; scores are kept.")
